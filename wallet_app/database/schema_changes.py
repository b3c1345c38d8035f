"""How a migration changes tables that are in use, outside of a transaction.

A statement that waits for a table's lock holds up all who come behind it, so it gives
up after a moment and tries again. Each step commits: one that is done before may be
done again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from alembic import op

from wallet_app.database.connections import needs_limits

LOCK_TIMEOUT_MS = 300
PAUSE_S = 0.3
ATTEMPTS = 500
TAKEN = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


@contextmanager
def step_by_step() -> Iterator[None]:
    """Each statement commits by itself, and takes the time that it needs."""
    with op.get_context().autocommit_block():
        # Behind a pooler, a session that is not ours has no limit of ours either. For
        # statements, there is none in a migration: see migrations/env.py.
        limited = not (is_only_shown() or needs_limits(op.get_bind()))
        if limited:
            patiently("SET lock_timeout = 0")
        yield
        if limited:
            patiently("RESET lock_timeout")


def is_only_shown() -> bool:
    """Whether there is no database: the statements are written down, to be read."""
    return op.get_context().as_sql


def patiently(statements: str) -> "psycopg.Cursor[Any] | None":
    """For what blocks nobody that matters."""
    if is_only_shown():
        op.execute(statements)
        return None
    connection = op.get_bind().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    # Several statements in one message are one transaction.
    return connection.execute(statements.encode(), prepare=False)


def quickly(*statements: str) -> None:
    """In one transaction, with locks that are had in a moment or tried again."""
    limit = f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS:d}"
    for _ in range(ATTEMPTS):
        try:
            patiently("; ".join([limit, *statements]))
        except TAKEN:
            time.sleep(PAUSE_S)
        else:
            return
    raise TimeoutError(f"Somebody holds the locks for: {statements}")


def build_index(name: str, place: str, *, unique: bool = False) -> None:
    """While the table is in use; what an interrupted build has left is built again."""
    if has_constraint(name):
        return
    patiently(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    kind = "UNIQUE INDEX" if unique else "INDEX"
    patiently(f"CREATE {kind} CONCURRENTLY {name} ON {place}")


def build_unique(name: str, table: str, columns: str) -> None:
    """A unique constraint, of an index that is built first."""
    build_index(name, f"{table} ({columns})", unique=True)
    if not has_constraint(name):
        quickly(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")


def drop_constraint(name: str, table: str) -> None:
    quickly(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def has_constraint(name: str) -> bool:
    found = patiently(f"SELECT FROM pg_constraint WHERE conname = '{name}'")
    return found is not None and found.rowcount > 0
