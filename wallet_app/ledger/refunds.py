"""Reads and writes refunds inside of a posting, whose wallets' locks guard them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import (
    Connection,
    Integer,
    Numeric,
    Uuid,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.operation_types import EntryType
from wallet_app.ledger.refund_models import RefundedOperation, RefundRow
from wallet_app.ledger.rules import ZERO, Entry, Key, Original
from wallet_app.ledger.sql import (
    KEY_TENANTS,
    KEY_UUIDS,
    TRANSACTIONS,
    WALLETS,
    array_text,
    driver_sql,
    key_texts,
    unnested,
)

REFUNDED = RefundedOperation.__table__.c
REFUNDS = RefundRow.__table__.c
# So many an operation tells of, the newest.
MOST_LINKED = 100

# In the order of Original's fields.
FIRST_ENTRY = (
    TRANSACTIONS.tenant_id,
    TRANSACTIONS.reference_id,
    TRANSACTIONS.operation_type,
    WALLETS.uuid,
    TRANSACTIONS.counterparty_uuid,
    WALLETS.currency,
    TRANSACTIONS.amount,
)
SELECT_ORIGINALS = (
    select(*FIRST_ENTRY, func.coalesce(REFUNDED.refunded, literal_column("0")))
    .join_from(
        Transaction.__table__, Wallet.__table__, WALLETS.id == TRANSACTIONS.wallet_id
    )
    .outerjoin(
        RefundedOperation.__table__,
        (REFUNDED.reference_id == TRANSACTIONS.reference_id)
        & (REFUNDED.tenant_id == TRANSACTIONS.tenant_id),
    )
)
THESE = driver_sql(
    SELECT_ORIGINALS.where(
        TRANSACTIONS.reference_id == func.any(KEY_UUIDS),
        TRANSACTIONS.tenant_id == func.any(KEY_TENANTS),
    )
)
SELECT_STEPS = driver_sql(
    select(REFUNDS.reference_id, *FIRST_ENTRY, REFUNDS.refunded, REFUNDS.asked_amount)
    .join_from(
        RefundRow.__table__,
        Transaction.__table__,
        (TRANSACTIONS.reference_id == REFUNDS.refund_of)
        & (TRANSACTIONS.tenant_id == REFUNDS.tenant_id),
    )
    .join(Wallet.__table__, WALLETS.id == TRANSACTIONS.wallet_id)
    .where(
        REFUNDS.reference_id == func.any(KEY_UUIDS),
        REFUNDS.tenant_id == func.any(KEY_TENANTS),
    )
)

ORIGINAL_COLUMNS = {
    "reference_id": Uuid,
    "tenant_id": Integer,
    "amount": Numeric,
    "refunded": Numeric,
}
REFUND_COLUMNS = {
    "reference_id": Uuid,
    "tenant_id": Integer,
    "refund_of": Uuid,
    "refunded": Numeric,
    "asked_amount": Numeric,
}
NEW_ORIGINALS = insert(RefundedOperation.__table__).from_select(
    list(ORIGINAL_COLUMNS), select(*unnested("original", ORIGINAL_COLUMNS).c)
)
WRITE_ORIGINALS = driver_sql(
    NEW_ORIGINALS.on_conflict_do_update(
        index_elements=["reference_id", "tenant_id"],
        set_={"refunded": NEW_ORIGINALS.excluded.refunded},
    )
)
WRITE_REFUNDS = driver_sql(
    insert(RefundRow.__table__).from_select(
        list(REFUND_COLUMNS), select(*unnested("refund", REFUND_COLUMNS).c)
    )
)


def ask(
    connection: psycopg.Connection, keys: Collection[Key]
) -> "psycopg.Cursor[Any] | None":
    """Ask for originals behind the locks, in the same round trip; None: there are none.

    Of an original, only the refunded amount needs the locks: its entries never change.
    """
    if not keys:
        return None
    return connection.execute(THESE, key_texts(keys))


def read(cursor: "psycopg.Cursor[Any] | None") -> dict[Key, Original]:
    """The originals that were asked for."""
    rows = () if cursor is None else cursor
    return {original.key: original for original in map(read_original, rows)}


def read_original(row: Sequence[Any], asked_amount: Decimal = ZERO) -> Original:
    """An Original from a row of SELECT_ORIGINALS."""
    tenant_id, reference_id, entry_type, wallet, counterparty, *amounts = row
    currency, amount, refunded = amounts
    return Original(
        tenant_id=tenant_id,
        reference_id=reference_id,
        entry_type=EntryType[entry_type],
        wallet_uuid=wallet,
        counterparty_uuid=counterparty,
        currency=currency,
        amount=amount,
        refunded=refunded,
        asked_amount=asked_amount,
    )


def write(
    connection: psycopg.Connection, steps: Sequence[tuple[Entry, Original]]
) -> None:
    """Write what the refunds have made of their originals."""
    last = {original.key: original for _, original in steps}
    connection.execute(
        WRITE_ORIGINALS,
        {
            f"original_{name}": array_text(getattr(one, name) for one in last.values())
            for name in ORIGINAL_COLUMNS
        },
    )
    connection.execute(
        WRITE_REFUNDS,
        {
            "refund_reference_id": array_text(entry.reference_id for entry, _ in steps),
            "refund_tenant_id": array_text(entry.tenant_id for entry, _ in steps),
            "refund_refund_of": array_text(one.reference_id for _, one in steps),
            "refund_refunded": array_text(one.refunded for _, one in steps),
            "refund_asked_amount": array_text(one.asked_amount for _, one in steps),
        },
    )


def read_steps(
    connection: psycopg.Connection, keys: Collection[Key]
) -> dict[Key, Original]:
    """By the keys of refunds, their originals as they have left them."""
    if not keys:
        return {}
    rows = connection.execute(SELECT_STEPS, key_texts(keys))
    return {
        (tenant_id, reference_id): read_original((tenant_id, *row), asked_amount)
        for reference_id, tenant_id, *row, asked_amount in rows
    }


def find(
    connection: Connection, tenant_id: int, references: Collection[UUID]
) -> dict[UUID, Original]:
    """By reference, those of the operations that exist, whatever they are."""
    rows = connection.execute(
        SELECT_ORIGINALS.where(
            TRANSACTIONS.reference_id.in_(references),
            TRANSACTIONS.tenant_id == tenant_id,
        )
    )
    return {one.reference_id: one for one in map(read_original, rows)}


@dataclass(frozen=True, slots=True)
class Refunds:
    """How much of an operation has been refunded, and by which, the newest first."""

    refunded: Decimal
    references: list[UUID]


OF_ORIGINAL = (REFUNDS.refund_of == bindparam("reference_id", type_=Uuid)) & (
    REFUNDS.tenant_id == bindparam("tenant_id", type_=Integer)
)
NEWEST = (
    select(REFUNDS.refunded, REFUNDS.reference_id)
    .where(OF_ORIGINAL)
    .order_by(REFUNDS.refunded.desc())
    .limit(MOST_LINKED)
)


def refunds_of(connection: Connection, original: Key) -> Refunds:
    """What has been refunded of an operation."""
    tenant_id, reference_id = original
    this = {"tenant_id": tenant_id, "reference_id": reference_id}
    rows = connection.execute(NEWEST, this).all()
    refunded = rows[0].refunded if rows else ZERO
    return Refunds(refunded, [row.reference_id for row in rows])
