"""Which key is whose: looked up in the database, and known for a few seconds.

So a busy key costs its requests no round trip, and what is revoked, rotated or expired
is noticed within TRUSTED_S. A process has one look-up under way at a time, for all
keys that are asked for; who asks for what is no key slows down others of his kind, not
the database.
"""

import hmac
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    String,
    bindparam,
    extract,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from wallet_app.access import key_text
from wallet_app.access.keys import ACTIVE, KEYS, TABLE
from wallet_app.database import AnyRow, reading_first
from wallet_app.errors import (
    ApiKeyExpired,
    ApiKeyRevoked,
    ApiKeyUnknown,
    Unavailable,
    WalletError,
)
from wallet_app.http.caller import Caller
from wallet_app.http.scopes import Scope
from wallet_app.ledger.gathering import Gather, Gathering
from wallet_app.ledger.tickets import (
    DeadlineError,
    InterruptedServiceError,
    QueueFullError,
    Ticket,
)

logger = logging.getLogger(__name__)

# Counted from before the look-up; below the 5 s that are promised.
TRUSTED_S = 4.0
MOST_KNOWN = 10_000
MOST_UNKNOWN = 10_000
# Between look-ups, after one that was asked for what is no key.
PAUSE_S = 0.02

IDS = bindparam("ids", type_=ARRAY(String))
NOT_NOTED = ACTIVE & or_(
    KEYS.last_used_at.is_(None),
    KEYS.last_used_at < func.now() - literal(timedelta(minutes=1)),
)


def seconds_until(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """The database's clock decides, whatever this machine's says."""
    return extract("epoch", moment - func.now())


LOOK_UP = select(
    *(KEYS[name] for name in ("id", "tenant_id", "scopes", "digest", "old_digest")),
    KEYS.revoked_at.is_not(None).label("revoked"),
    seconds_until(KEYS.expires_at).label("left_s"),
    seconds_until(KEYS.old_digest_until).label("old_left_s"),
    NOT_NOTED.label("not_noted"),
).where(KEYS.id == func.any(IDS))
# One that is being changed is noted the next time.
NOTE_USE = (
    update(TABLE)
    .where(
        KEYS.id.in_(
            select(KEYS.id)
            .where(KEYS.id == func.any(IDS), NOT_NOTED)
            .order_by(KEYS.id)
            .with_for_update(skip_locked=True)
        )
    )
    .values(last_used_at=func.now())
)

Name = TypeVar("Name")
Fact = TypeVar("Fact")
Secret = tuple[bytes, type[WalletError] | None]


@dataclass(frozen=True, slots=True)
class Known:
    """A key as it is until a monotonic time.

    Each of its digests with what its bearer is refused for, or None.
    """

    until: float
    secrets: tuple[Secret, ...]
    caller: Caller

    def admit(self, digest: bytes) -> Caller | None:
        """The key's caller, if that is its secret; raises why it is refused."""
        for secret, refusal in self.secrets:
            if hmac.compare_digest(secret, digest):
                if refusal is not None:
                    raise refusal
                return self.caller
        return None

    def has(self, digest: bytes) -> bool:
        """Whether that is a secret of the key's, good or not."""
        return any(hmac.compare_digest(secret, digest) for secret, _ in self.secrets)


class KnownKeys:
    """The keys that a process knows of, and the look-ups of the others."""

    def __init__(self, *, deadline_ms: int) -> None:
        self.deadline_ms = deadline_ms
        self.known: dict[str, Known] = {}
        # The same for a digest whose bearer is admitted: most requests ask no more.
        self.admitted: dict[bytes, tuple[float, Caller]] = {}
        # Digests of what is no key, and until when. Apart, so that who tries out keys
        # crowds out nobody.
        self.unknown: dict[bytes, float] = {}
        self.not_before = 0.0
        self.gathering: Gathering[tuple[str, bytes]] = Gathering(
            Gather(queue_length=10_000, batch_size=1000), self.serve
        )

    def admit(self, key: str) -> Caller:
        """Whose key it is; raises MalformedKeyError, why it is refused, Unavailable."""
        digest = key_text.digest_of(key)
        now = time.monotonic()
        admitted = self.admitted.get(digest)
        if admitted is not None and admitted[0] > now:
            return admitted[1]
        key_id = key_text.read_id(key)
        known = self.known.get(key_id)
        caller = None
        if known is not None and known.until > now:
            caller = known.admit(digest)
        if caller is None:
            # Since a look-up, the key may have got a new secret: this one.
            if self.unknown.get(digest, 0.0) > now:
                raise ApiKeyUnknown
            known = self.look_up(key_id, digest)
            caller = None if known is None else known.admit(digest)
        if known is None or caller is None:
            raise ApiKeyUnknown
        keep(self.admitted, {digest: (known.until, caller)}, MOST_KNOWN)
        return caller

    def look_up(self, key_id: str, digest: bytes) -> Known | None:
        """Ask the database, together with all who ask now."""
        # Of which tenant it is, the look-up will tell.
        ticket = Ticket((key_id, digest), tenant_id=0, deadline_ms=self.deadline_ms)
        try:
            self.gathering.submit(ticket)
            known: Known | None = ticket.wait()
        except (QueueFullError, DeadlineError, InterruptedServiceError):
            raise Unavailable("Too many keys are being looked up.") from None
        return known

    def serve(self, batch: list[Ticket[tuple[str, bytes]]]) -> None:
        time.sleep(max(0.0, self.not_before - time.monotonic()))
        asked = [ticket.request for ticket in batch]
        # What is revoked from now on may be missed; what was before is not.
        until = time.monotonic() + TRUSTED_S
        try:
            with reading_first() as connection:
                ids = list({key_id for key_id, _ in asked})
                rows = connection.execute(LOOK_UP, {"ids": ids}).all()
                found = {row.id: known_of(row, until) for row in rows}
                wrong = {
                    digest: until
                    for key_id, digest in asked
                    if key_id not in found or not found[key_id].has(digest)
                }
                shown = {key_id for key_id, digest in asked if digest not in wrong}
                due = {row.id for row in rows if row.not_noted}
                note_use(connection, shown & due)
        except Exception as error:
            for ticket in batch:
                ticket.fail(error)
            return
        self.not_before = time.monotonic() + PAUSE_S if wrong else 0.0
        keep(self.known, found, MOST_KNOWN)
        keep(self.unknown, wrong, MOST_UNKNOWN)
        for ticket in batch:
            ticket.settle(found.get(ticket.request[0]))


def keep(kept: dict[Name, Fact], new: dict[Name, Fact], most: int) -> None:
    """Add to what is kept; the longest known goes first."""
    for name, fact in new.items():
        kept.pop(name, None)
        kept[name] = fact
    while len(kept) > most:
        del kept[next(iter(kept))]


def known_of(row: AnyRow, until: float) -> Known:
    """What a row says, and how long that holds."""
    began = until - TRUSTED_S
    left_s, old_left_s = (
        None if one is None else float(one) for one in (row.left_s, row.old_left_s)
    )
    refusal: type[WalletError] | None = None
    if row.revoked:
        refusal = ApiKeyRevoked
    elif is_over(left_s):
        refusal = ApiKeyExpired
    secrets: list[Secret] = [(row.digest, refusal)]
    if row.old_digest is not None:
        old = ApiKeyExpired if is_over(old_left_s) else None
        secrets.append((row.old_digest, refusal or old))
    ends = [began + one for one in (left_s, old_left_s) if one is not None and one > 0]
    # A scope that a later release knows is none here.
    scopes = frozenset(scope for scope in Scope if scope in row.scopes)
    return Known(
        min([until, *ends]), tuple(secrets), Caller(row.tenant_id, row.id, scopes)
    )


def is_over(left_s: float | None) -> bool:
    return left_s is not None and left_s <= 0


def note_use(connection: Connection, key_ids: set[str]) -> None:
    """Remember, to the minute, when keys were used; they work if nobody can."""
    if not key_ids:
        return
    try:
        connection.execute(NOTE_USE, {"ids": list(key_ids)})
        connection.commit()
    except DBAPIError as error:
        logger.warning("the use of keys cannot be noted: %s", error)
