"""Which key is whose: looked up in the database, and known for a few seconds.

So a busy key costs its requests no round trip, and what is revoked, rotated or expired
is noticed within TRUSTED_S. A process has one look-up under way at a time, for all
keys that are asked for; who asks for a key that does not exist slows down others of
his kind, not the database.
"""

import hmac
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

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
from wallet_app.access.keys import KEYS, TABLE
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
from wallet_app.ledger.gathering import (
    DeadlineError,
    Gather,
    Gathering,
    InterruptedServiceError,
    QueueFullError,
    Ticket,
)

logger = logging.getLogger(__name__)

# Counted from before the look-up; below the 5 s that are promised.
TRUSTED_S = 4.0
MOST_KNOWN = 10_000
MOST_UNKNOWN = 10_000
# Between look-ups, after one that was asked for a key that does not exist.
PAUSE_S = 0.02

IDS = bindparam("ids", type_=ARRAY(String))
NOT_NOTED = or_(
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

Secret = tuple[bytes, type[WalletError] | None]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an id until a monotonic time.

    Each of its digests with what its bearer is refused for, or None.
    """

    until: float
    secrets: tuple[Secret, ...] = ()
    caller: Caller | None = None

    def admit(self, digest: bytes) -> Caller:
        """The key's caller; raises why it is not admitted."""
        for secret, refusal in self.secrets:
            if hmac.compare_digest(secret, digest):
                if refusal is not None:
                    raise refusal
                assert self.caller is not None
                return self.caller
        raise ApiKeyUnknown

    def is_good(self, digest: bytes) -> bool:
        """Whether the bearer is admitted."""
        return any(
            hmac.compare_digest(secret, digest)
            for secret, refusal in self.secrets
            if refusal is None
        )


class KnownKeys:
    """The keys that a process knows of, and the look-ups of the others."""

    def __init__(self, *, deadline_ms: int) -> None:
        self.deadline_ms = deadline_ms
        self.known: dict[str, Known] = {}
        # Apart, so that who tries out ids crowds out nobody.
        self.unknown: dict[str, Known] = {}
        self.not_before = 0.0
        self.gathering: Gathering[tuple[str, bytes]] = Gathering(
            Gather(queue_length=10_000, batch_size=1000), self.serve
        )

    def admit(self, key: str) -> Caller:
        """Whose key it is; raises MalformedKeyError, why it is refused, Unavailable."""
        key_id, digest = key_text.read_id(key), key_text.digest_of(key)
        found = self.known.get(key_id) or self.unknown.get(key_id)
        if found is None or found.until <= time.monotonic():
            found = self.look_up(key_id, digest)
        return found.admit(digest)

    def look_up(self, key_id: str, digest: bytes) -> Known:
        """Ask the database, together with all who ask now."""
        ticket = Ticket((key_id, digest), deadline_ms=self.deadline_ms)
        try:
            self.gathering.submit(ticket)
            found: Known = ticket.wait()
        except (QueueFullError, DeadlineError, InterruptedServiceError):
            raise Unavailable("Too many keys are being looked up.") from None
        return found

    def serve(self, batch: list[Ticket[tuple[str, bytes]]]) -> None:
        time.sleep(max(0.0, self.not_before - time.monotonic()))
        wanted = {ticket.request[0] for ticket in batch}
        # What is revoked from now on may be missed; what was before is not.
        until = time.monotonic() + TRUSTED_S
        try:
            with reading_first() as connection:
                rows = connection.execute(LOOK_UP, {"ids": list(wanted)}).all()
                found = {row.id: known_of(row, until) for row in rows}
                due = {row.id for row in rows if row.not_noted}
                note_use(
                    connection,
                    {
                        key_id
                        for key_id, digest in (ticket.request for ticket in batch)
                        if key_id in due and found[key_id].is_good(digest)
                    },
                )
        except Exception as error:
            for ticket in batch:
                ticket.fail(error)
            return
        missing = {key_id: Known(until) for key_id in wanted - found.keys()}
        self.not_before = time.monotonic() + PAUSE_S if missing else 0.0
        for key_id in wanted:
            self.known.pop(key_id, None)
        keep(self.known, found, MOST_KNOWN)
        keep(self.unknown, missing, MOST_UNKNOWN)
        for ticket in batch:
            ticket.settle((found | missing)[ticket.request[0]])


def keep(kept: dict[str, Known], new: dict[str, Known], most: int) -> None:
    """Add to what is kept; the longest known goes first."""
    for key_id, known in new.items():
        kept.pop(key_id, None)
        kept[key_id] = known
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
