"""The database: engine, constraint names, and the one place for transactions."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from flask import Flask, current_app
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, MetaData, Row, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry

from wallet_app import connections
from wallet_app.config import Settings


class Base(DeclarativeBase):
    """The models' base: every constraint has a name that a migration can address."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)
migrate = Migrate(
    db=db,
    render_as_batch=False,
    compare_type=True,
    autogenerate_plugins=[
        "alembic.autogenerate.*",
        "alembic.ext.checkconstraint_byname",
    ],
)


AnyRow = Row[*tuple[Any, ...]]

IDLE_BEFORE_PING_S = 1.0
POOL_TIMEOUT_S = 5
# What the money path uses at once at most; other requests leave so many alone.
RESERVED_CONNECTIONS = 8


def init_app(app: Flask, settings: Settings, database_url: str) -> None:
    """Bind the app to its database and to the migrations."""
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings, database_url)
    app.extensions["shared_connections"] = threading.BoundedSemaphore(
        max(1, settings.pool_size - RESERVED_CONNECTIONS)
    )
    db.init_app(app)
    migrate.init_app(app)
    connections.limit_requests(app, settings)
    with app.app_context():
        connections.make_patient(db.engine)
        connections.set_limits_in_transactions(db.engine)
        ping_if_in_doubt(app, db.engine)


def engine_options(settings: Settings, database_url: str) -> dict[str, Any]:
    """Options for create_engine: a bounded pool, and a bound on every statement."""
    gathered = settings.group_commit
    timeouts = {
        "statement_timeout": settings.statement_timeout_ms,
        # One by one, the callers of a busy wallet wait in the row lock's own queue.
        "lock_timeout": settings.lock_timeout_ms if gathered else settings.deadline_ms,
        # A client that hangs inside a transaction would hold its wallets' locks.
        "idle_in_transaction_session_timeout": settings.deadline_ms,
    }
    connect_args: dict[str, Any] = {"application_name": "wallet"}
    execution_options = {}
    if settings.transaction_pooling:
        # Each transaction may meet another session: nothing is left in one.
        connect_args["prepare_threshold"] = None
        execution_options["limits"] = connections.limits_sql(timeouts)
    else:
        options = " ".join(f"-c {name}={value}" for name, value in timeouts.items())
        own = make_url(database_url).query.get("options")
        connect_args["options"] = f"{own} {options}" if own else options
    return {
        "pool_size": settings.pool_size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT_S,
        "connect_args": connect_args,
        "execution_options": execution_options,
    }


def ping_if_in_doubt(app: Flask, engine: Engine) -> None:
    """Replace a connection that died while it lay in the pool.

    As pool_pre_ping does, but only for a connection that has been idle for a while, or
    since before another one broke: a round trip before every statement would cost as
    much as the statement.
    """
    app.extensions["link_lost_at"] = -math.inf

    @event.listens_for(engine, "checkin")
    def note_time(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        idle_since = record.info.get("idle_since", math.inf)
        idle_too_long = time.monotonic() - IDLE_BEFORE_PING_S
        if idle_since < max(idle_too_long, app.extensions["link_lost_at"]):
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error


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
def pipeline() -> Iterator[psycopg.Connection]:
    """One transaction on psycopg's own connection, in pipeline mode.

    A statement is sent without waiting for the one before it; reading a result sends
    what is pending. Committed at the end, rolled back on any error. Raises what
    psycopg raises, or ConnectionLostError.
    """
    with db.engine.connect() as pooled:
        connection: psycopg.Connection = pooled.connection.driver_connection  # type: ignore[assignment]
        limits = pooled.get_execution_options().get("limits")
        try:
            with connection.pipeline():
                if limits:
                    connection.execute(limits)
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
    pooled = "limits" in engine.get_execution_options()
    level = "READ COMMITTED" if pooled else "AUTOCOMMIT"
    return engine.execution_options(isolation_level=level)


def ping() -> None:
    """Ask the database for a sign of life; raises what SQLAlchemy raises if none."""
    with reading() as connection:
        connection.execute(text("SELECT 1"))
