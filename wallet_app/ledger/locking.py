"""The locks on wallets' rows: nothing else in the service takes them.

Engines differ in how they lock; here is the place for it.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, func, select

from wallet_app.database import pipeline
from wallet_app.ledger.sql import UUIDS, WALLETS, driver_sql

LOCK = driver_sql(
    select(
        WALLETS.id,
        WALLETS.uuid,
        WALLETS.balance,
        WALLETS.currency,
        WALLETS.status,
        WALLETS.version,
        WALLETS.updated_at,
    )
    .where(WALLETS.uuid == func.any(UUIDS))
    # One order for everybody, so that two opposite transfers cannot deadlock.
    .order_by(WALLETS.id)
    .with_for_update()
)
THESE = select(WALLETS.uuid).where(WALLETS.uuid == func.any(UUIDS))
EXISTING = driver_sql(THESE)
FREE = driver_sql(THESE.with_for_update(skip_locked=True))
SHARE = select(WALLETS.id).with_for_update(read=True)


def lock(
    connection: psycopg.Connection, uuids: Collection[UUID]
) -> "psycopg.Cursor[Any]":
    """Lock those wallets that exist; their rows have a WalletState's fields."""
    return connection.execute(LOCK, {"uuids": list(uuids)})


def locked_wallets(uuids: Collection[UUID]) -> set[UUID]:
    """Which of the wallets exist and are locked by somebody else right now."""
    with pipeline() as connection:
        present = connection.execute(EXISTING, {"uuids": list(uuids)})
        free = connection.execute(FREE, {"uuids": list(uuids)})
    return {uuid for (uuid,) in present} - {uuid for (uuid,) in free}


def wait_for(wallet: UUID, *, timeout_ms: int) -> None:
    """Wait until a wallet is free; raises LockNotAvailable if it takes too long."""
    with pipeline(lock_timeout_ms=timeout_ms) as connection:
        lock(connection, [wallet])


def wait_for_postings(connection: Connection, wallet_id: int) -> None:
    """Wait, in the caller's transaction, for the postings that are under way."""
    connection.execute(SHARE.where(WALLETS.id == wallet_id))
