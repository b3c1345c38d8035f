"""The one place for transactions; those of the money path are in pipelines.py."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import current_app
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.database import connections
from wallet_app.database.engine import POOL_TIMEOUT_S, autocommitting, db
from wallet_app.database.outages import ConnectionLostError

AnyRow = Row[*tuple[Any, ...]]

# What is written last is replicated last. A server that takes no writes has no standby
# to wait for.
WRITE_IF_REPLICATED = text(
    "SELECT pg_logical_emit_message(true, 'wallet', '')"
    " WHERE current_setting('synchronous_standby_names', true) <> ''"
    " AND current_setting('transaction_read_only') = 'off'"
)


@contextmanager
def transaction() -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on an error."""
    with shared_connection(), db.engine.begin() as connection:
        yield connection


@contextmanager
def settled() -> Iterator[Connection]:
    """One transaction to read what no failover takes back.

    At its end it waits until the synchronous standbys, if there are any, have all that
    it may have read; raises an outage if they may not have it.
    """
    with transaction() as connection:
        yield connection
        connection.execute(WRITE_IF_REPLICATED)


@contextmanager
def shared_connection() -> Iterator[None]:
    """A place among those who use the pool; raises sqlalchemy's TimeoutError.

    A request never needs two, and slow ones leave enough for the money path.
    """
    places: threading.Semaphore = current_app.extensions["shared_connections"]
    if not places.acquire(timeout=POOL_TIMEOUT_S):
        raise PoolTimeout("Too many requests are using the database.")
    try:
        yield
    finally:
        places.release()


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection for reads in which each statement is a snapshot of its own.

    Autocommit: one round trip a statement, and no snapshot is held between them.
    With a pooler it takes a transaction, for the sake of its limits.
    """
    with shared_connection(), reading_first() as connection:
        yield connection


@contextmanager
def reading_first() -> Iterator[Connection]:
    """The same, out of what is left alone for the money path.

    For what money waits for, and one caller at a time.
    """
    with reader(db.engine).connect() as connection:
        yield connection


def reader(engine: Engine) -> Engine:
    return engine if connections.needs_limits(engine) else autocommitting(engine)


def ping() -> None:
    """Ask whether the database is there and takes writes; raises an outage if not."""
    with reading() as connection:
        if connection.scalar(text("SHOW transaction_read_only")) == "on":
            raise ConnectionLostError("The server takes no writes.", in_doubt=False)
