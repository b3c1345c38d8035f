"""Reads posted transactions back as entries."""

from typing import Any

from sqlalchemy import func, or_, select, tuple_

from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.operation_types import EntryType
from wallet_app.ledger.rules import Entry
from wallet_app.ledger.sql import (
    KEY_UUIDS,
    KEYS,
    TRANSACTIONS,
    WALLETS,
    driver_sql,
)

# A transfer's incoming entry has no reference of its own: it must be unique.
REFERENCE = func.coalesce(TRANSACTIONS.reference_id, TRANSACTIONS.transfer_id)
SELECT_ENTRIES = (
    select(
        TRANSACTIONS.id,
        TRANSACTIONS.tenant_id,
        TRANSACTIONS.wallet_id,
        WALLETS.uuid,
        WALLETS.currency,
        TRANSACTIONS.seq,
        TRANSACTIONS.operation_type,
        TRANSACTIONS.amount,
        TRANSACTIONS.balance_before,
        TRANSACTIONS.balance_after,
        TRANSACTIONS.description,
        REFERENCE,
        TRANSACTIONS.created_at,
        TRANSACTIONS.counterparty_uuid,
        TRANSACTIONS.held_before,
        TRANSACTIONS.held_after,
        TRANSACTIONS.parent_reference_id,
        TRANSACTIONS.metadata,
    )
).join_from(
    Transaction.__table__, Wallet.__table__, WALLETS.id == TRANSACTIONS.wallet_id
)
ENTRIES_BY_KEY = SELECT_ENTRIES.where(
    # For the indexes; the pairs decide.
    or_(
        TRANSACTIONS.reference_id == func.any(KEY_UUIDS),
        TRANSACTIONS.transfer_id == func.any(KEY_UUIDS),
    ),
    tuple_(TRANSACTIONS.tenant_id, REFERENCE).in_(select(*KEYS.c)),
    # A transfer's outgoing entry, which carries the reference, comes first.
).order_by(TRANSACTIONS.reference_id.is_(None))
ENTRIES_BY_KEY_SQL = driver_sql(ENTRIES_BY_KEY)


def read_entry(row: Any) -> Entry:
    """An Entry from a row of SELECT_ENTRIES."""
    entry = Entry(*row)
    entry.entry_type = EntryType[entry.entry_type]
    return entry
