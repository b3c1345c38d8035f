"""Reads of wallets and histories; every page is a range of an index."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    func,
    select,
)

from wallet_app.database import AnyRow
from wallet_app.ledger.entries import SELECT_ENTRIES, read_entry
from wallet_app.ledger.history import seq_before
from wallet_app.ledger.rules import ZERO, Entry, Key
from wallet_app.ledger.sql import (
    KEY_TENANTS,
    KEY_UUIDS,
    TRANSACTIONS,
    WALLETS,
    key_arrays,
)
from wallet_app.ledger.wallets import SELECT_WALLETS

SELECT_THESE = SELECT_WALLETS.where(
    WALLETS.uuid == func.any(KEY_UUIDS), WALLETS.tenant_id == func.any(KEY_TENANTS)
)


def read_wallets(connection: Connection, keys: Collection[Key]) -> dict[Key, AnyRow]:
    """The rows of those wallets that exist."""
    rows = connection.execute(SELECT_THESE, key_arrays(keys))
    return {(row.tenant_id, row.uuid): row for row in rows}


def list_entries(
    connection: Connection,
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
        TRANSACTIONS.wallet_id == wallet_id,
        *conditions_of(wallet_id, filters),
    ]
    if after_seq is not None:
        conditions.append(
            TRANSACTIONS.seq > after_seq
            if order == "asc"
            else TRANSACTIONS.seq < after_seq
        )
    by_seq = TRANSACTIONS.seq.asc() if order == "asc" else TRANSACTIONS.seq.desc()
    statement = SELECT_ENTRIES.where(*conditions).order_by(by_seq).limit(limit)
    return [read_entry(row) for row in connection.execute(statement)]


def conditions_of(wallet_id: int, filters: dict[str, Any]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if "operation_type" in filters:
        conditions.append(TRANSACTIONS.operation_type == filters["operation_type"])
    if "min_amount" in filters:
        conditions.append(TRANSACTIONS.amount >= filters["min_amount"])
    if "max_amount" in filters:
        conditions.append(TRANSACTIONS.amount <= filters["max_amount"])
    # Time never goes back along seq, so a time range is a seq range: one index
    # serves the filter, the order and the cursor.
    if "since" in filters:
        conditions.append(
            TRANSACTIONS.seq > func.coalesce(seq_before(filters["since"], wallet_id), 0)
        )
    if "until" in filters:
        conditions.append(
            TRANSACTIONS.seq
            <= func.coalesce(seq_before(filters["until"], wallet_id), 0)
        )
    return conditions


def funds_at(
    connection: Connection, wallet: AnyRow, moment: datetime
) -> tuple[Decimal, Decimal]:
    """The wallet's balance and what was held of it, after all that a moment saw."""
    last = connection.execute(
        select(TRANSACTIONS.balance_after, TRANSACTIONS.held_after)
        .where(TRANSACTIONS.wallet_id == wallet.id, TRANSACTIONS.created_at <= moment)
        .order_by(TRANSACTIONS.created_at.desc(), TRANSACTIONS.seq.desc())
        .limit(1)
    ).one_or_none()
    return (ZERO, ZERO) if last is None else (last.balance_after, last.held_after)
