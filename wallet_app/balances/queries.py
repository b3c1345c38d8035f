"""Reads of wallets and histories; every page is a range of an index."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, func, select
from sqlalchemy.orm import Session

from wallet_app.errors import WalletNotFound
from wallet_app.ledger.entries import SELECT_ENTRIES, read_entry
from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.rules import Entry

SELECT_WALLETS = select(
    Wallet.id,
    Wallet.uuid,
    Wallet.balance,
    Wallet.currency,
    Wallet.status,
    Wallet.version,
    Wallet.created_at,
    Wallet.updated_at,
)


def find_wallet(session: Session, uuid: UUID) -> Row[Any]:
    """The wallet's row; raises WalletNotFound."""
    row = session.execute(SELECT_WALLETS.where(Wallet.uuid == uuid)).one_or_none()
    if row is None:
        raise WalletNotFound(f"There is no wallet {uuid}.")
    return row


def list_wallets(
    session: Session, *, limit: int, before_id: int | None
) -> Sequence[Row[Any]]:
    """Up to `limit` wallets, newest first, older than `before_id`."""
    statement = SELECT_WALLETS.order_by(Wallet.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(Wallet.id < before_id)
    return session.execute(statement).all()


def list_entries(
    session: Session,
    wallet_id: int,
    *,
    limit: int,
    order: str,
    after_seq: int | None,
    filters: dict[str, Any],
) -> list[Entry]:
    """Up to `limit` entries in seq order, behind `after_seq`, that pass the filters.

    `filters`: operation_type, since (inclusive), until (exclusive), min_amount,
    max_amount (both inclusive); each may be absent.
    """
    conditions = [
        Transaction.wallet_id == wallet_id,
        *conditions_of(wallet_id, filters),
    ]
    if after_seq is not None:
        conditions.append(
            Transaction.seq > after_seq
            if order == "asc"
            else Transaction.seq < after_seq
        )
    by_seq = Transaction.seq.asc() if order == "asc" else Transaction.seq.desc()
    statement = SELECT_ENTRIES.where(*conditions).order_by(by_seq).limit(limit)
    return [read_entry(row) for row in session.execute(statement)]


def conditions_of(wallet_id: int, filters: dict[str, Any]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if "operation_type" in filters:
        conditions.append(Transaction.operation_type == filters["operation_type"])
    if "min_amount" in filters:
        conditions.append(Transaction.amount >= filters["min_amount"])
    if "max_amount" in filters:
        conditions.append(Transaction.amount <= filters["max_amount"])
    # Time never goes back along seq, so a time range is a seq range: one index
    # serves the filter, the order and the cursor.
    if "since" in filters:
        conditions.append(
            Transaction.seq > last_seq_before(wallet_id, filters["since"])
        )
    if "until" in filters:
        conditions.append(
            Transaction.seq <= last_seq_before(wallet_id, filters["until"])
        )
    return conditions


def last_seq_before(wallet_id: int, moment: datetime) -> ColumnElement[int]:
    """The seq of the wallet's last transaction before a moment, 0 if there is none."""
    earlier = Transaction.__table__.alias("earlier")
    last: ScalarSelect[int] = (
        select(earlier.c.seq)
        .where(earlier.c.wallet_id == wallet_id, earlier.c.created_at < moment)
        .order_by(earlier.c.created_at.desc(), earlier.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(last, 0)
