"""The statements of posting: their number does not depend on the size of a batch.

Built with SQLAlchemy and kept as text for psycopg, whose pipeline sends several
statements in one round trip.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ClauseElement,
    DateTime,
    Numeric,
    String,
    Text,
    Uuid,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import psycopg

from wallet_app.ledger.journal import POSTED, JournalRow
from wallet_app.ledger.models import Transaction, Wallet

# Tables, not mapped classes: what the ORM adds to a statement costs more than the
# statement itself.
WALLETS = Wallet.__table__.c
TRANSACTIONS = Transaction.__table__.c

UUIDS = bindparam("uuids", type_=ARRAY(Uuid))
REFERENCES = bindparam("references", type_=ARRAY(Uuid))


def driver_sql(statement: ClauseElement) -> bytes:
    """The statement as psycopg takes it."""
    dialect = psycopg.dialect()  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect)).encode()


def unnested(name: str, columns: dict[str, Any]) -> Any:
    """A FROM item with a row per element of arrays bound as <name>_<column>."""
    arrays = [
        bindparam(f"{name}_{column}", type_=ARRAY(kind))
        for column, kind in columns.items()
    ]
    return func.unnest(*arrays).table_valued(*columns, name=name).render_derived()


POSTED_REFERENCES = driver_sql(
    select(TRANSACTIONS.reference_id).where(
        TRANSACTIONS.reference_id == func.any(REFERENCES)
    )
)

STATES = unnested(
    "state",
    {
        "wallet_id": BigInteger,
        "balance": Numeric,
        "version": BigInteger,
        "updated_at": DateTime(timezone=True),
    },
)
UPDATE_WALLETS = driver_sql(
    update(Wallet.__table__)
    .where(WALLETS.id == STATES.c.wallet_id)
    .values(
        balance=STATES.c.balance,
        version=STATES.c.version,
        updated_at=STATES.c.updated_at,
    )
)

ENTRY_COLUMNS = {
    "wallet_id": BigInteger,
    "seq": BigInteger,
    "operation_type": String,
    "amount": Numeric,
    "balance_before": Numeric,
    "balance_after": Numeric,
    "description": Text,
    "reference_id": Uuid,
    "transfer_id": Uuid,
    "counterparty_uuid": Uuid,
    "created_at": DateTime(timezone=True),
}
ENTRIES = unnested("entry", ENTRY_COLUMNS)
# The journal's one row has the entries' own arrays: no more to send.
JOURNALED = insert(JournalRow.__table__).values(
    kind=literal_column(f"'{POSTED}'"),
    wallet_ids=bindparam("entry_wallet_id", type_=ARRAY(BigInteger)),
    seqs=bindparam("entry_seq", type_=ARRAY(BigInteger)),
)
INSERT_TRANSACTIONS = driver_sql(
    insert(Transaction.__table__)
    .from_select(list(ENTRY_COLUMNS), select(*ENTRIES.c))
    .returning(TRANSACTIONS.wallet_id, TRANSACTIONS.seq, TRANSACTIONS.id)
    .add_cte(JOURNALED.cte("journaled"))
)
