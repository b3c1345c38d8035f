"""Long histories by plain SQL: the same rows as posting writes, a million a minute."""

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from wallet_app.database import transaction

START = datetime(2026, 1, 1, tzinfo=UTC)
ADD_WALLETS = text(
    "INSERT INTO wallets (uuid, currency, created_at, updated_at)"
    " SELECT gen_random_uuid(), :currency, :start, :start"
    " FROM generate_series(1, :count) RETURNING uuid"
)
# Three deposits of 10.25, then a withdrawal of 10.25, and so on.
ADD_TRANSACTIONS = text(
    "INSERT INTO transactions (wallet_id, seq, operation_type, amount, balance_before,"
    " balance_after, description, reference_id, created_at)"
    " SELECT id, seq, CASE WHEN seq % 4 = 0 THEN 'WITHDRAW' ELSE 'DEPOSIT' END, 10.25,"
    " 10.25 * (seq - 1 - 2 * ((seq - 1) / 4)), 10.25 * (seq - 2 * (seq / 4)),"
    " 'Order ' || seq, gen_random_uuid(),"
    " :start + seq * CAST(:step AS interval)"
    " FROM wallets, generate_series(wallets.version + 1, wallets.version + :count)"
    " AS seq WHERE wallets.uuid = ANY(:uuids) ORDER BY seq, id"
)
# As a migration leaves a note of what came before the journal.
NOTE = text(
    "INSERT INTO journal (kind, wallet_ids)"
    " SELECT 'behind', array_agg(id) FROM wallets WHERE uuid = ANY(:uuids)"
)
NOTE_WALLETS = text(
    "INSERT INTO journal (kind, wallet_ids)"
    " SELECT 'created', array_agg(id) FROM wallets WHERE uuid = ANY(:uuids)"
)
ADVANCE_WALLETS = text(
    "UPDATE wallets SET version = version + :count,"
    " balance = 10.25 * (version + :count - 2 * ((version + :count) / 4)),"
    " updated_at = :start + (version + :count) * CAST(:step AS interval)"
    " WHERE uuid = ANY(:uuids)"
)


def make_wallets(count: int, currency: str = "USD") -> list[uuid.UUID]:
    """Empty wallets, in one statement."""
    with transaction() as connection:
        added = connection.execute(
            ADD_WALLETS, {"count": count, "currency": currency, "start": START}
        )
        uuids = [row.uuid for row in added]
        connection.execute(NOTE_WALLETS, {"uuids": uuids})
    return uuids


def add_transactions(
    uuids: list[uuid.UUID],
    count: int,
    *,
    start: datetime = START,
    step: timedelta = timedelta(minutes=1),
) -> None:
    """`count` more transactions in each wallet; seq n is at start + n steps."""
    with transaction() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        add_transactions_in(connection, uuids, count, start=start, step=step)


def add_transactions_in(
    connection: Connection,
    uuids: list[uuid.UUID],
    count: int,
    *,
    start: datetime = START,
    step: timedelta = timedelta(minutes=1),
) -> None:
    """The same in a transaction that somebody else commits."""
    values = {"uuids": uuids, "count": count, "start": start, "step": step}
    connection.execute(ADD_TRANSACTIONS, values)
    connection.execute(ADVANCE_WALLETS, values)
    connection.execute(NOTE, values)
