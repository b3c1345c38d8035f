"""The statements of posting: their number does not depend on the size of a batch.

Built with SQLAlchemy and kept as text for psycopg, whose pipeline sends several
statements in one round trip.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ClauseElement,
    DateTime,
    Integer,
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
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, psycopg

from wallet_app.ledger.journal import POSTED, JournalRow
from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.rules import Key

# Tables, not mapped classes: what the ORM adds to a statement costs more than the
# statement itself.
WALLETS = Wallet.__table__.c
TRANSACTIONS = Transaction.__table__.c


def driver_sql(statement: ClauseElement) -> bytes:
    """The statement as psycopg takes it."""
    dialect = psycopg.dialect()  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect)).encode()


def unnested(name: str, columns: dict[str, Any], **options: Any) -> Any:
    """A FROM item with a row per element of arrays bound as <name>_<column>."""
    arrays = [
        bindparam(f"{name}_{column}", type_=ARRAY(kind))
        for column, kind in columns.items()
    ]
    rows = func.unnest(*arrays).table_valued(*columns, name=name, **options)
    return rows.render_derived()


# Whoever asks for a uuid asks within a tenant: a batch holds those of many.
KEYS = unnested("key", {"tenant_id": Integer, "uuid": Uuid})
KEY_UUIDS = bindparam("key_uuid", type_=ARRAY(Uuid))
KEY_TENANTS = bindparam("key_tenant_id", type_=ARRAY(Integer))
OF_KEYS = (WALLETS.tenant_id == KEYS.c.tenant_id) & (WALLETS.uuid == KEYS.c.uuid)


def key_arrays(keys: Iterable[Key]) -> dict[str, list[Any]]:
    """The arrays of KEYS."""
    tenant_ids, uuids = map(list, zip(*keys, strict=True))
    return {"key_tenant_id": tenant_ids, "key_uuid": uuids}


def key_texts(keys: Iterable[Key]) -> dict[str, str]:
    """The same, as text for the driver."""
    return {name: array_text(values) for name, values in key_arrays(keys).items()}


def array_text(values: Iterable[Any]) -> str:
    """PostgreSQL's text of an array of numbers, UUIDs, times or names.

    psycopg would look at each value by itself: a sixth of what a large batch costs.
    None is NULL; in no other such value's text there is a None.
    """
    return f"{{{','.join(map(str, values)).replace('None', 'NULL')}}}"


# For reads, two arrays find the pairs quicker than a join: by the index, and without a
# plan to make. What they find besides, of tenants that ask as well, nobody asks for.
POSTED_KEYS = driver_sql(
    select(TRANSACTIONS.tenant_id, TRANSACTIONS.reference_id).where(
        TRANSACTIONS.reference_id == func.any(KEY_UUIDS),
        TRANSACTIONS.tenant_id == func.any(KEY_TENANTS),
    )
)

STATE_COLUMNS = {
    "wallet_id": BigInteger,
    "balance": Numeric,
    "version": BigInteger,
    "updated_at": DateTime(timezone=True),
}
# Where nothing is held, and nothing was, there is less to send.
HOLDING_COLUMNS = {
    **STATE_COLUMNS,
    "held": Numeric,
    "next_expiry": DateTime(timezone=True),
}


def update_wallets(columns: dict[str, Any]) -> bytes:
    """The statement that writes these columns of all changed wallets."""
    states = unnested("state", columns)
    changed = {name: states.c[name] for name in columns if name != "wallet_id"}
    return driver_sql(
        update(Wallet.__table__)
        .where(WALLETS.id == states.c.wallet_id)
        .values(**changed)
    )


UPDATE_WALLETS = update_wallets(STATE_COLUMNS)
UPDATE_HOLDING_WALLETS = update_wallets(HOLDING_COLUMNS)

ENTRY_COLUMNS = {
    "tenant_id": Integer,
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
# What few entries have: the others' inserts leave it out.
FULL_ENTRY_COLUMNS = {
    **ENTRY_COLUMNS,
    "held_before": Numeric,
    "held_after": Numeric,
    "parent_reference_id": Uuid,
    "metadata": JSONB,
}
# The journal's rows, one for each tenant, come of the entries' own arrays: no more to
# send.
TOLD = unnested(
    "entry",
    {name: ENTRY_COLUMNS[name] for name in ("tenant_id", "wallet_id", "seq")},
    with_ordinality="place",
)


def in_order(column: Any) -> Any:
    return func.array_agg(aggregate_order_by(column, TOLD.c.place))


JOURNALED = insert(JournalRow.__table__).from_select(
    ["tenant_id", "kind", "wallet_ids", "seqs"],
    select(
        TOLD.c.tenant_id,
        literal_column(f"'{POSTED}'"),
        in_order(TOLD.c.wallet_id),
        in_order(TOLD.c.seq),
    ).group_by(TOLD.c.tenant_id),
)


def insert_transactions(columns: dict[str, Any]) -> bytes:
    """The statement that inserts these columns of entries, and the journal's rows."""
    entries = unnested("entry", columns)
    return driver_sql(
        insert(Transaction.__table__)
        .from_select(list(columns), select(*entries.c))
        .returning(TRANSACTIONS.wallet_id, TRANSACTIONS.seq, TRANSACTIONS.id)
        .add_cte(JOURNALED.cte("journaled"))
    )


INSERT_TRANSACTIONS = insert_transactions(ENTRY_COLUMNS)
INSERT_FULL_TRANSACTIONS = insert_transactions(FULL_ENTRY_COLUMNS)
