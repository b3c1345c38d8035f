"""Reads of the reports: rollup and tail in one statement, so always exact."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select, true, union_all
from sqlalchemy.orm import Session

from wallet_app.errors import WalletNotFound
from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.reporting.models import WalletRollup, WalletTotal


def statistics_statement() -> Select[Any]:
    """A row per operation type of one wallet; one row with NULLs if it has none."""
    last_seq = func.coalesce(WalletRollup.last_seq, 0)
    counted = select(
        WalletTotal.operation_type,
        WalletTotal.count,
        WalletTotal.total,
        WalletTotal.smallest,
        WalletTotal.largest,
        WalletTotal.first_at,
        WalletTotal.last_at,
    ).where(WalletTotal.wallet_id == Wallet.id)
    tail = (
        select(
            Transaction.operation_type,
            func.count(),
            func.sum(Transaction.amount),
            func.min(Transaction.amount),
            func.max(Transaction.amount),
            func.min(Transaction.created_at),
            func.max(Transaction.created_at),
        )
        .where(Transaction.wallet_id == Wallet.id, Transaction.seq > last_seq)
        .group_by(Transaction.operation_type)
    )
    parts = union_all(
        counted.correlate(Wallet), tail.correlate(Wallet, WalletRollup)
    ).subquery("part")
    by_type = (
        select(
            parts.c.operation_type,
            func.sum(parts.c["count"]).label("count"),
            func.sum(parts.c.total).label("total"),
            func.min(parts.c.smallest).label("smallest"),
            func.max(parts.c.largest).label("largest"),
            func.min(parts.c.first_at).label("first_at"),
            func.max(parts.c.last_at).label("last_at"),
        )
        .group_by(parts.c.operation_type)
        .lateral("by_type")
    )
    return (
        select(
            Wallet.uuid,
            Wallet.currency,
            Wallet.version,
            last_seq.label("last_seq"),
            *by_type.c,
        )
        .outerjoin(WalletRollup, WalletRollup.wallet_id == Wallet.id)
        .outerjoin(by_type, true())
    )


STATISTICS = statistics_statement()


def wallet_statistics(session: Session, uuid: UUID) -> Sequence[Row[Any]]:
    """The rows of `statistics_statement` for a wallet; raises WalletNotFound."""
    rows = session.execute(STATISTICS.where(Wallet.uuid == uuid)).all()
    if not rows:
        raise WalletNotFound(f"There is no wallet {uuid}.")
    return rows
