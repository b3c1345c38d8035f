"""The life of an import: received, claimed by a worker, posted, expired."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)

from wallet_app.background.jobs import Jobs
from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import ImportNotFound
from wallet_app.imports.models import Import, ImportChunk, ImportOutcome

DELETED_AT_ONCE = 100
# Those that a worker has still to see to, and those that nobody changes any more.
OPEN = ("pending", "running")
ENDED = ("finished", "failed", "cancelled")

TABLE = Import.__table__
IMPORTS = TABLE.c
CHUNKS = ImportChunk.__table__.c
OUTCOMES = ImportOutcome.__table__.c
JOBS = Jobs(TABLE)
IS_SEEN = IMPORTS.state != "receiving"


def find(connection: Connection, tenant_id: int, import_id: UUID) -> Row[Any]:
    """An import; raises ImportNotFound, also for another tenant's."""
    this = (IMPORTS.id == import_id) & (IMPORTS.tenant_id == tenant_id)
    row = connection.execute(select(TABLE).where(this, IS_SEEN)).one_or_none()
    if row is None:
        raise ImportNotFound(f"There is no import {import_id}.")
    return row


def find_by_key(tenant_id: int, key: UUID) -> Row[Any] | None:
    """The import that was sent with this Idempotency-Key."""
    this = (IMPORTS.tenant_id == tenant_id) & (IMPORTS.idempotency_key == key)
    with reading() as connection:
        return connection.execute(select(TABLE).where(this)).one_or_none()


def list_imports(
    connection: Connection,
    tenant_id: int,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None,
) -> list[Row[Any]]:
    """Up to `limit` imports, newest first, from before a created_at and id."""
    place = IMPORTS.created_at, IMPORTS.id
    statement = select(TABLE).where(IMPORTS.tenant_id == tenant_id, IS_SEEN)
    if before is not None:
        statement = statement.where(tuple_(*place) < before)
    ordered = statement.order_by(*(one.desc() for one in place)).limit(limit)
    return list(connection.execute(ordered))


def read_outcomes(import_id: UUID) -> Iterator[bytes]:
    """What is told of its lines, in their order, in short reads."""
    after = 0
    while True:
        statement = (
            select(OUTCOMES.first_line, OUTCOMES.data)
            .where(OUTCOMES.import_id == import_id, OUTCOMES.first_line > after)
            .order_by(OUTCOMES.first_line)
            .limit(1)
        )
        with reading() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return
        after = row.first_line
        yield row.data


def due(keep: timedelta) -> list[UUID]:
    """Imports that a worker should take up, oldest first, a bounded number."""
    return JOBS.due(ended(keep))


def claim(import_id: UUID) -> Row[Any] | None:
    """Take a free import for a worker; None if it is not free."""
    return JOBS.claim(import_id)


def keep_lease(claimed: Row[Any], error: str) -> None:
    """Say why it does not go on, and keep the lease."""
    JOBS.keep(claimed, error=error)


def release(claimed: Row[Any], *, error: str | None = None) -> None:
    """Give a claimed import back, for another try or another worker."""
    JOBS.give_back(claimed, state="pending", error=error)


def finish(claimed: Row[Any], keep: timedelta) -> None:
    """Every line has been seen to."""
    JOBS.give_back(claimed, state="finished", error=None, **ended(keep))


def ended(keep: timedelta) -> dict[str, Any]:
    return {"finished_at": func.now(), "expires_at": func.now() + literal(keep)}


@repeated
def cancel(tenant_id: int, import_id: UUID, keep: timedelta) -> Row[Any]:
    """Post no more of it; what is posted stays. One that has ended stays as it is.

    A worker that is at it loses its lease, and what it has not committed.
    """
    this = (IMPORTS.id == import_id) & IMPORTS.state.in_(OPEN)
    cancelling = (
        update(TABLE)
        .where(this, IMPORTS.tenant_id == tenant_id)
        .values(state="cancelled", lease_id=None, leased_until=None, **ended(keep))
        .returning(IMPORTS.id)
    )
    with transaction() as connection:
        if connection.scalar(cancelling) is not None:
            lines = CHUNKS.import_id == import_id
            connection.execute(delete(ImportChunk.__table__).where(lines))
        return find(connection, tenant_id, import_id)


@repeated
def expire() -> int:
    """Delete what is kept no more, of a bounded number of imports; return how many.

    An import itself stays, so that its key stands for it for ever.
    """
    old = (
        select(IMPORTS.id)
        .where(IMPORTS.state.in_(ENDED), IMPORTS.expires_at < func.now())
        .order_by(IMPORTS.expires_at)
        .limit(DELETED_AT_ONCE)
    )
    expiring = update(TABLE).where(IMPORTS.id.in_(old)).values(state="expired")
    with transaction() as connection:
        ids = list(connection.scalars(expiring.returning(IMPORTS.id)))
        for table in (ImportChunk.__table__, ImportOutcome.__table__):
            connection.execute(delete(table).where(table.c.import_id.in_(ids)))
    return len(ids)
