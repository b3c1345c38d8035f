"""The life of a statement: asked for, claimed by a worker, written, expired."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    DateTime,
    Row,
    Select,
    and_,
    bindparam,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from wallet_app.background.jobs import Jobs
from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import InvalidRequest, StatementNotFound
from wallet_app.ledger import locking, wallets
from wallet_app.ledger.history import seq_before
from wallet_app.ledger.models import Wallet
from wallet_app.ledger.rules import Key
from wallet_app.ledger.sql import WALLETS
from wallet_app.statements.models import Statement

MAX_PERIOD = timedelta(days=366)
MAX_ROWS = {"csv": 2_000_000, "json": 2_000_000, "pdf": 20_000}
# Far longer than a posting can take from its time stamp to its commit.
SETTLED = timedelta(minutes=1)

TABLE = Statement.__table__
STATEMENTS = TABLE.c
JOBS = Jobs(TABLE)
SELECT_STATEMENTS: Select[Any] = select(
    *STATEMENTS, WALLETS.uuid.label("wallet_uuid"), WALLETS.currency
).join_from(TABLE, Wallet.__table__, WALLETS.id == STATEMENTS.wallet_id)
FROM_AT = bindparam("from_at", type_=DateTime(timezone=True))
TO_AT = bindparam("to_at", type_=DateTime(timezone=True))
PERIOD_SEQS = select(
    func.coalesce(seq_before(FROM_AT), 0), func.coalesce(seq_before(TO_AT), 0)
)


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """What a statement shows for ever: the entries above one seq and up to another."""

    wallet_id: int
    wallet_uuid: UUID
    currency: str
    from_at: datetime
    to_at: datetime
    format: str
    after_seq: int
    last_seq: int


@repeated
def request(
    wallet: Key, *, from_at: datetime, to_at: datetime, file_format: str
) -> Row[Any]:
    """The statement of a period: the one there is, or a new one that is pending.

    Raises as `pin_down` does. One that has failed or expired is written once more.
    """
    pinned = pin_down(wallet, from_at=from_at, to_at=to_at, file_format=file_format)
    stored = asdict(pinned)
    del stored["wallet_uuid"], stored["currency"]
    with transaction() as connection:
        return insert_or_revive(connection, {"id": uuid7(), **stored})


@repeated
def pin_down(
    key: Key, *, from_at: datetime, to_at: datetime, file_format: str
) -> Pinned:
    """Find the entries of a period.

    Raises WalletNotFound, or InvalidRequest for a period that is too long, not over,
    or holds too many entries.
    """
    now = datetime.now(UTC)
    refuse_period(from_at, to_at, now)
    with transaction() as connection:
        wallet = wallets.find(connection, *key)
        if to_at > now - SETTLED:
            # What is being posted may belong to the period.
            locking.wait_for_postings(connection, wallet.id)
        period = {"wallet_id": wallet.id, "from_at": from_at, "to_at": to_at}
        after_seq, last_seq = connection.execute(PERIOD_SEQS, period).one()
    refuse_rows(last_seq - after_seq, file_format)
    return Pinned(
        wallet_id=wallet.id,
        wallet_uuid=wallet.uuid,
        currency=wallet.currency,
        from_at=from_at,
        to_at=to_at,
        format=file_format,
        after_seq=after_seq,
        last_seq=last_seq,
    )


def refuse_period(from_at: datetime, to_at: datetime, now: datetime) -> None:
    """Only a period that is over gives the same statement for ever."""
    if to_at > now:
        message = "The period must be over: give a `to` that has passed."
    elif from_at >= to_at:
        message = "`from` must lie before `to`."
    elif to_at - from_at > MAX_PERIOD:
        message = f"Ask for at most {MAX_PERIOD.days} days at a time."
    else:
        return
    raise InvalidRequest(message, errors={"to": [message]})


def refuse_rows(rows: int, file_format: str) -> None:
    if rows > MAX_ROWS[file_format]:
        message = (
            f"The period holds {rows} entries; a {file_format} statement takes at most "
            f"{MAX_ROWS[file_format]}. Ask for a shorter period"
            f"{' or for csv' if file_format == 'pdf' else ''}."
        )
        raise InvalidRequest(message, errors={"format": [message]})


def insert_or_revive(connection: Connection, values: dict[str, Any]) -> Row[Any]:
    keys = ["wallet_id", "from_at", "to_at", "format"]
    connection.execute(
        insert(TABLE).values(values).on_conflict_do_nothing(index_elements=keys)
    )
    same = and_(*(STATEMENTS[key] == values[key] for key in keys))
    connection.execute(
        update(TABLE)
        .where(same, STATEMENTS.state.in_(["failed", "expired"]))
        .values(state="pending", attempts=0, rows_written=0, error=None)
    )
    return connection.execute(SELECT_STATEMENTS.where(same)).one()


def find(connection: Connection, tenant_id: int, statement_id: UUID) -> Row[Any]:
    """A statement with its wallet's uuid and currency; raises StatementNotFound."""
    row = connection.execute(
        SELECT_STATEMENTS.where(
            WALLETS.tenant_id == tenant_id, STATEMENTS.id == statement_id
        )
    ).one_or_none()
    if row is None:
        raise StatementNotFound(f"There is no statement {statement_id}.")
    return row


def due() -> list[UUID]:
    """Statements that a worker should take up, oldest first, a bounded number."""
    return JOBS.due()


def claim(statement_id: UUID) -> Row[Any] | None:
    """Take a free statement for a worker; None if it is not free."""
    if JOBS.claim(statement_id, rows_written=0) is None:
        return None
    this = SELECT_STATEMENTS.where(STATEMENTS.id == statement_id)
    with reading() as connection:
        return connection.execute(this).one()


def note_progress(claimed: Row[Any], rows_written: int) -> None:
    """Show how far it is, and keep the lease."""
    JOBS.keep(claimed, rows_written=rows_written)


def finish(claimed: Row[Any], *, keep: timedelta, **results: Any) -> None:
    """The file is in its place; `results`: sha256, size_bytes, the two balances."""
    JOBS.give_back(
        claimed,
        state="ready",
        rows_written=claimed.last_seq - claimed.after_seq,
        error=None,
        finished_at=func.now(),
        expires_at=func.now() + literal(keep),
        **results,
    )


def release(claimed: Row[Any], *, state: str, error: str) -> None:
    """Give a claimed statement back: "pending" for another try, or "failed"."""
    JOBS.give_back(claimed, state=state, error=error)


@repeated
def reopen(statement_id: UUID) -> None:
    """The file of a ready statement is gone: have it written again."""
    with transaction() as connection:
        connection.execute(
            update(TABLE)
            .where(STATEMENTS.id == statement_id, STATEMENTS.state == "ready")
            .values(state="pending", attempts=0, rows_written=0)
        )


@repeated
def expire() -> list[UUID]:
    """Mark ready statements whose time is over, a bounded number; return their ids."""
    old = (
        select(STATEMENTS.id)
        .where(STATEMENTS.state == "ready", STATEMENTS.expires_at < func.now())
        .order_by(STATEMENTS.expires_at)
        .limit(1000)
    )
    expiring = update(TABLE).where(STATEMENTS.id.in_(old)).values(state="expired")
    with transaction() as connection:
        return list(connection.scalars(expiring.returning(STATEMENTS.id)))


def ready_among(ids: list[UUID]) -> set[UUID]:
    """Which of the statements have a file that is wanted."""
    with reading() as connection:
        return set(
            connection.scalars(
                select(STATEMENTS.id).where(
                    STATEMENTS.id.in_(ids), STATEMENTS.state == "ready"
                )
            )
        )
