"""The locks on wallets' rows: nothing else in the service takes them.

Engines differ in how they lock; here is the place for it.
"""

from collections.abc import Collection
from typing import Any

import psycopg
from sqlalchemy import Connection, select

from wallet_app.database import pipeline
from wallet_app.ledger.rules import Key
from wallet_app.ledger.sql import KEYS, OF_KEYS, WALLETS, driver_sql, key_texts

ASKED_FOR = (
    select(
        WALLETS.id,
        WALLETS.tenant_id,
        WALLETS.uuid,
        WALLETS.balance,
        WALLETS.currency,
        WALLETS.status,
        WALLETS.version,
        WALLETS.updated_at,
        WALLETS.held,
        WALLETS.minimum_balance,
        WALLETS.next_expiry,
        WALLETS.blocks,
        WALLETS.limited,
        WALLETS.revision,
    )
    .join(KEYS, OF_KEYS)
    # One order for everybody, so that two opposite transfers cannot deadlock.
    .order_by(WALLETS.id)
)
LOCK = driver_sql(ASKED_FOR.with_for_update(of=WALLETS.id.table))
LOOK = driver_sql(ASKED_FOR)
SNAPSHOT = b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
THESE = select(WALLETS.tenant_id, WALLETS.uuid).join(KEYS, OF_KEYS)
EXISTING = driver_sql(THESE)
FREE = driver_sql(THESE.with_for_update(skip_locked=True, of=WALLETS.id.table))
SHARE = select(WALLETS.id).with_for_update(read=True)


def lock(
    connection: psycopg.Connection, keys: Collection[Key]
) -> "psycopg.Cursor[Any]":
    """Lock those wallets that exist; their rows have a WalletState's fields."""
    return connection.execute(LOCK, key_texts(keys))


def look(
    connection: psycopg.Connection, keys: Collection[Key]
) -> "psycopg.Cursor[Any]":
    """The same without a lock, and the rest of the transaction at the same moment.

    It waits for nobody, keeps nobody waiting and cannot write.
    """
    connection.execute(SNAPSHOT)
    return connection.execute(LOOK, key_texts(keys))


def lock_row(connection: Connection, wallet: Key) -> None:
    """Lock a wallet, if it exists, in the caller's transaction."""
    tenant_id, uuid = wallet
    this = (WALLETS.tenant_id == tenant_id) & (WALLETS.uuid == uuid)
    connection.execute(select(WALLETS.id).where(this).with_for_update())


def locked_wallets(keys: Collection[Key]) -> set[Key]:
    """Which of the wallets exist and are locked by somebody else right now."""
    with pipeline() as connection:
        present = connection.execute(EXISTING, key_texts(keys))
        free = connection.execute(FREE, key_texts(keys))
    return set(present) - set(free)


def wait_for(wallet: Key, *, timeout_ms: int) -> None:
    """Wait until a wallet is free; raises LockNotAvailable if it takes too long."""
    with pipeline(lock_timeout_ms=timeout_ms) as connection:
        lock(connection, [wallet])


def wait_for_postings(connection: Connection, wallet_id: int) -> None:
    """Wait, in the caller's transaction, for the postings that are under way."""
    connection.execute(SHARE.where(WALLETS.id == wallet_id))
