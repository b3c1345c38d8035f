"""Reads posted transactions back as entries."""

from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import aliased

from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.rules import Entry, EntryType
from wallet_app.ledger.sql import REFERENCES

COUNTERPARTY = aliased(Wallet)
SELECT_ENTRIES = (
    select(
        Transaction,
        Wallet.uuid.label("wallet_uuid"),
        Wallet.currency,
        COUNTERPARTY.uuid.label("counterparty_uuid"),
    )
    .join(Wallet, Wallet.id == Transaction.wallet_id)
    .outerjoin(COUNTERPARTY, COUNTERPARTY.id == Transaction.counterparty_id)
)
ENTRIES_BY_REFERENCE = SELECT_ENTRIES.where(
    or_(
        Transaction.reference_id == func.any(REFERENCES),
        Transaction.transfer_id == func.any(REFERENCES),
    )
    # A transfer's outgoing entry, which carries the reference, comes first.
).order_by(Transaction.reference_id.is_(None))


def read_entry(row: Any) -> Entry:
    """An Entry from a row of SELECT_ENTRIES."""
    stored = row.Transaction
    return Entry(
        id=stored.id,
        wallet_id=stored.wallet_id,
        wallet_uuid=row.wallet_uuid,
        currency=row.currency,
        seq=stored.seq,
        entry_type=EntryType(stored.operation_type),
        amount=stored.amount,
        balance_before=stored.balance_before,
        balance_after=stored.balance_after,
        description=stored.description,
        # A transfer's incoming entry has no reference of its own: it must be unique.
        reference_id=stored.reference_id or stored.transfer_id,
        created_at=stored.created_at,
        counterparty_id=stored.counterparty_id,
        counterparty_uuid=row.counterparty_uuid,
    )
