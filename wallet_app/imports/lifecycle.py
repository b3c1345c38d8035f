"""The life of an import: received, claimed by a worker, posted, expired.

The table decides. Messages only say that it is worth a look: a lost one is replaced by
the next beat, a doubled one finds the import claimed.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    and_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from uuid_utils.compat import uuid7

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import ImportNotFound
from wallet_app.imports.models import Import, ImportChunk, ImportOutcome

LEASE = timedelta(seconds=30)
MAX_ATTEMPTS = 10
DUE_AT_ONCE = 100
DELETED_AT_ONCE = 100
# Those that a worker has still to see to, and those that nobody changes any more.
OPEN = ("pending", "running")
ENDED = ("finished", "failed", "cancelled")

TABLE = Import.__table__
IMPORTS = TABLE.c
CHUNKS = ImportChunk.__table__.c
OUTCOMES = ImportOutcome.__table__.c
IS_SEEN = IMPORTS.state != "receiving"


class LeaseLostError(RuntimeError):
    """The import is another worker's, was cancelled, or is further than thought."""


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


def is_free() -> Any:
    """Nobody works on it: it waits, or its worker has not been heard of for a while."""
    return or_(
        IMPORTS.state == "pending",
        and_(IMPORTS.state == "running", IMPORTS.leased_until < func.now()),
    )


@repeated
def due() -> list[UUID]:
    """Imports that a worker should take up, oldest first, a bounded number."""
    waiting = select(IMPORTS.id).where(is_free()).order_by(IMPORTS.created_at)
    with reading() as connection:
        return list(connection.scalars(waiting.limit(DUE_AT_ONCE)))


@repeated
def claim(import_id: UUID, keep: timedelta) -> Row[Any] | None:
    """Take a free import for LEASE; None if it is not free.

    One whose workers died too often without a step forward has failed.
    """
    gives_up = IMPORTS.attempts >= MAX_ATTEMPTS
    claiming = (
        update(TABLE)
        .where(IMPORTS.id == import_id, is_free())
        .values(
            state=case((gives_up, "failed"), else_="running"),
            error=case(
                (gives_up, "The worker was interrupted too often."),
                else_=IMPORTS.error,
            ),
            attempts=IMPORTS.attempts + 1,
            lease_id=uuid7(),
            leased_until=func.now() + literal(LEASE),
            finished_at=case((gives_up, func.now())),
            expires_at=case((gives_up, func.now() + literal(keep))),
        )
        .returning(TABLE)
    )
    with transaction() as connection:
        claimed = connection.execute(claiming).one_or_none()
    return claimed if claimed is not None and claimed.state == "running" else None


@repeated
def update_leased(claimed: Row[Any], **values: Any) -> None:
    """Change a claimed import; raises LeaseLostError if it is no longer ours."""
    changing = (
        update(TABLE)
        .where(IMPORTS.id == claimed.id, IMPORTS.lease_id == claimed.lease_id)
        .values(values)
        .returning(IMPORTS.id)
    )
    with transaction() as connection:
        if connection.scalar(changing) is None:
            raise LeaseLostError(f"import {claimed.id}")


def keep_lease(claimed: Row[Any], error: str) -> None:
    """Say why it does not go on, and keep the lease."""
    update_leased(claimed, error=error, leased_until=func.now() + literal(LEASE))


def release(claimed: Row[Any], *, error: str | None = None) -> None:
    """Give a claimed import back, for another try or another worker."""
    update_leased(
        claimed, state="pending", error=error, lease_id=None, leased_until=None
    )


def finish(claimed: Row[Any], keep: timedelta) -> None:
    """Every line has been seen to."""
    update_leased(
        claimed,
        state="finished",
        lease_id=None,
        leased_until=None,
        error=None,
        **ended(keep),
    )


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
