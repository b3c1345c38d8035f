"""API keys: made, found, listed, given new secrets, revoked."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, literal, or_, select, tuple_, update

from wallet_app.access import audit, key_text
from wallet_app.access.models import ApiKey
from wallet_app.database import AnyRow, reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import (
    InsufficientScope,
    InvalidRequest,
    KeyNotActive,
    KeyNotFound,
    TooManyKeys,
)
from wallet_app.http.caller import caller
from wallet_app.ledger.tenants import Tenant

# Of one tenant; those that are revoked or expired do not count.
MAX_KEYS = 1000
LONGEST_GRACE = timedelta(days=7)
# How long the old secret is good after a rotation, if nothing else is asked for.
GRACE = timedelta(hours=24)

TABLE = ApiKey.__table__
KEYS = TABLE.c
PLACE = tuple_(KEYS.created_at, KEYS.id)
TENANTS = Tenant.__table__.c
ACTIVE = KEYS.revoked_at.is_(None) & or_(
    KEYS.expires_at.is_(None), KEYS.expires_at > func.now()
)
# What people may see of a key.
SHOWN = (
    "name",
    "scopes",
    "created_at",
    "expires_at",
    "revoked_at",
    "old_digest_until",
)


def count() -> int:
    """How many there are, of all tenants, of whatever state."""
    with reading() as connection:
        return connection.scalar(select(func.count()).select_from(TABLE)) or 0


@repeated
def create(
    *,
    tenant_id: int,
    name: str,
    scopes: Collection[str],
    expires_at: datetime | None = None,
) -> dict[str, Any]:
    """A new key's columns, and `key`, its text, which nobody can show again.

    Raises InsufficientScope for scopes that the caller has not, InvalidRequest for an
    end that has passed, and TooManyKeys.
    """
    refuse_foreign(scopes)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        message = "Give a time that is to come."
        raise InvalidRequest(message, errors={"expires_at": [message]})
    key_id = key_text.new_id()
    key = key_text.new_key(key_id)
    adding = insert(TABLE).values(
        id=key_id,
        tenant_id=tenant_id,
        name=name,
        scopes=sorted(set(scopes)),
        digest=key_text.digest_of(key),
        expires_at=expires_at,
    )
    with transaction() as connection:
        refuse_too_many(connection, tenant_id)
        row = connection.execute(adding.returning(*KEYS)).one()
        log(connection, "key.created", row)
    return {**row._mapping, "key": key}


def refuse_foreign(scopes: Collection[str]) -> None:
    """Nobody gives what he has not."""
    missing = sorted(set(scopes) - caller().scopes)
    if missing:
        names = ", ".join(missing)
        raise InsufficientScope(f"Your key lacks {names} itself.", missing=missing)


def refuse_too_many(connection: Connection, tenant_id: int) -> None:
    # Whoever adds one does so alone; wallets can be created meanwhile.
    connection.execute(
        select(TENANTS.id)
        .where(TENANTS.id == tenant_id)
        .with_for_update(key_share=True)
    )
    active = select(func.count()).where(KEYS.tenant_id == tenant_id, ACTIVE)
    count: Any = connection.scalar(active)
    if count >= MAX_KEYS:
        raise TooManyKeys(f"There are {count} keys; revoke one first.")


def find(
    connection: Connection,
    key_id: str,
    *,
    tenant_id: int | None,
    to_change: bool = False,
) -> AnyRow:
    """A key's row, of any tenant's for None; raises KeyNotFound."""
    statement = select(*KEYS, ACTIVE.label("active")).where(KEYS.id == key_id)
    if tenant_id is not None:
        statement = statement.where(KEYS.tenant_id == tenant_id)
    if to_change:
        statement = statement.with_for_update()
    # Other text might be none that PostgreSQL can hold.
    is_id = key_text.is_id(key_id)
    row = connection.execute(statement).one_or_none() if is_id else None
    if row is None:
        raise KeyNotFound(f"There is no key {key_id}.")
    return row


def list_page(
    connection: Connection,
    tenant_id: int,
    *,
    limit: int,
    before: tuple[datetime, str] | None,
) -> Sequence[AnyRow]:
    """Up to `limit` keys of a tenant, newest first."""
    statement = (
        select(*KEYS)
        .where(KEYS.tenant_id == tenant_id)
        .order_by(KEYS.created_at.desc(), KEYS.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(*before) > PLACE)
    return connection.execute(statement).all()


@repeated
def rotate(
    key_id: str, *, tenant_id: int | None, grace: timedelta = GRACE
) -> dict[str, Any]:
    """Give a key a new secret, shown as `key`; the one before is good for `grace`.

    Raises KeyNotFound, KeyNotActive, or InsufficientScope for a key that may do more
    than the caller.
    """
    key = key_text.new_key(key_id)
    with transaction() as connection:
        before = find(connection, key_id, tenant_id=tenant_id, to_change=True)
        refuse_foreign(before.scopes)
        if not before.active:
            raise KeyNotActive("Make a new key instead.")
        changing = update(TABLE).values(
            digest=key_text.digest_of(key),
            old_digest=before.digest,
            old_digest_until=func.now() + literal(grace),
        )
        row = change(connection, "key.rotated", before, changing)
    return {**row._mapping, "key": key}


@repeated
def revoke(key_id: str, *, tenant_id: int | None) -> AnyRow:
    """End a key, within seconds and for good; raises KeyNotFound."""
    with transaction() as connection:
        before = find(connection, key_id, tenant_id=tenant_id, to_change=True)
        if before.revoked_at is not None:
            return before
        changing = update(TABLE).values(revoked_at=func.now())
        return change(connection, "key.revoked", before, changing)


def change(
    connection: Connection, action: str, before: AnyRow, changing: Any
) -> AnyRow:
    """Change a key in the caller's transaction, and log it."""
    changed = changing.where(KEYS.id == before.id).returning(*KEYS)
    row = connection.execute(changed).one()
    log(connection, action, row, before)
    return row


def log(
    connection: Connection, action: str, row: AnyRow, before: AnyRow | None = None
) -> None:
    audit.record(
        connection,
        action,
        row.id,
        before=None if before is None else shown(before),
        after=shown(row),
        tenant_id=row.tenant_id,
    )


def shown(row: AnyRow) -> dict[str, Any]:
    return {name: row._mapping[name] for name in SHOWN}
