"""The one place for transactions."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from flask import current_app
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.database import connections
from wallet_app.database.engine import POOL_TIMEOUT_S, db

AnyRow = Row[*tuple[Any, ...]]


@contextmanager
def transaction() -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on an error."""
    with shared_connection(), db.engine.begin() as connection:
        yield connection


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


FAREWELLS = (
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.IdleInTransactionSessionTimeout,
)


class ConnectionLostError(Exception):
    """The link to the database broke; whether a COMMIT got through is unknown."""


@contextmanager
def pipeline(*, lock_timeout_ms: int | None = None) -> Iterator[psycopg.Connection]:
    """One transaction on psycopg's own connection, in pipeline mode.

    A statement is sent without waiting for the one before it; reading a result sends
    what is pending. Committed at the end, rolled back on any error. Raises what
    psycopg raises, or ConnectionLostError.
    """
    with db.engine.connect() as pooled:
        connection: psycopg.Connection = pooled.connection.driver_connection  # type: ignore[assignment]
        limits: dict[str, int] = pooled.get_execution_options()["limits"]
        if lock_timeout_ms is not None:
            limits = limits | {"lock_timeout": lock_timeout_ms}
        try:
            with connection.pipeline():
                for limit in connections.limits_sql(limits):
                    connection.execute(limit)
                yield connection
                connection.commit()
        except psycopg.Error as error:
            if not is_sound(connection, error):
                pooled.invalidate(error)
                # What broke this link has probably broken those in the pool as well.
                current_app.extensions["link_lost_at"] = time.monotonic()
                raise ConnectionLostError(str(error)) from error
            raise


def is_sound(connection: psycopg.Connection, error: psycopg.Error) -> bool:
    """Roll back after an error, if the link is still there to do so.

    A server that says farewell may say it instead of what became of a COMMIT.
    """
    if connection.closed or isinstance(error, FAREWELLS):
        return False
    try:
        connection.rollback()
    except psycopg.Error:
        return False
    return True


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection for reads in which each statement is a snapshot of its own.

    Autocommit: one round trip a statement, and no snapshot is held between them.
    With a pooler it takes a transaction, for the sake of its limits.
    """
    with shared_connection(), reader(db.engine).connect() as connection:
        yield connection


@lru_cache(maxsize=16)
def reader(engine: Engine) -> Engine:
    """The same engine and pool for reads; made once, for making it is slow."""
    limited = connections.needs_limits(engine)
    level = "READ COMMITTED" if limited else "AUTOCOMMIT"
    return engine.execution_options(isolation_level=level)


def ping() -> None:
    """Ask the database for a sign of life; raises what SQLAlchemy raises if none."""
    with reading() as connection:
        connection.execute(text("SELECT 1"))
