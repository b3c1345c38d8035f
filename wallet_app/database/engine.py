"""The engine: constraint names, migrations, a bounded pool, a bound on statements."""

import math
import threading
import time
from functools import lru_cache
from typing import Any

import psycopg
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry

from wallet_app.config import Settings
from wallet_app.database import connections


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

IDLE_BEFORE_PING_S = 1.0
POOL_TIMEOUT_S = 5
# What the money path uses at once at most; other requests leave so many alone.
RESERVED_CONNECTIONS = 8
# The name of the second engine, of those who have a replica.
REPLICA = "replica"
REPLICA_CONNECTIONS = 8
REPLICA_POOL_TIMEOUT_S = 0.25


def init_app(app: Flask, settings: Settings, database_url: str) -> None:
    """Bind the app to its database and to the migrations."""
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings, database_url)
    if settings.replica_url:
        app.config["SQLALCHEMY_BINDS"] = {REPLICA: replica_options(settings)}
    app.extensions["shared_connections"] = threading.BoundedSemaphore(
        max(1, settings.pool_size - RESERVED_CONNECTIONS)
    )
    db.init_app(app)
    migrate.init_app(app)
    connections.limit_requests(app, settings, database_url)
    with app.app_context():
        for engine in db.engines.values():
            connections.make_patient(engine)
            connections.part_from_useless_links(engine)
            connections.set_limits_in_transactions(engine)
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
    limits = timeouts
    if settings.transaction_pooling:
        # Each transaction may meet another session: nothing is left in one.
        connect_args["prepare_threshold"] = None
    else:
        # A session's limits do not reach every node of a sharded engine: what money
        # waits for is limited in the transaction as well.
        limits = {
            name: timeouts[name] for name in ("lock_timeout", "statement_timeout")
        }
        # COMMIT says by a warning that no standby may have it: see connections.py.
        session = timeouts | {"client_min_messages": "warning"}
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        own = make_url(database_url).query.get("options")
        connect_args["options"] = f"{own} {options}" if own else options
    return {
        "pool_size": settings.pool_size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT_S,
        "connect_args": connect_args,
        "execution_options": {
            "limits": connections.limits_sql(**limits),
            "limits_every_transaction": settings.transaction_pooling,
        },
    }


def replica_options(settings: Settings) -> dict[str, Any]:
    """The same for the replica: a small pool, for whose places nobody waits long."""
    assert settings.replica_url is not None
    return engine_options(settings, settings.replica_url) | {
        "url": settings.replica_url,
        "pool_size": REPLICA_CONNECTIONS,
        "pool_timeout": REPLICA_POOL_TIMEOUT_S,
    }


@lru_cache(maxsize=16)
def autocommitting(engine: Engine) -> Engine:
    """The same engine and pool in autocommit; made once, for making it is slow."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def ping_if_in_doubt(app: Flask, engine: Engine) -> None:
    """Replace the pool if a connection died in it, or leads to what is now a standby.

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
                if not takes_writes(connection):
                    raise InvalidatePoolError
            except psycopg.Error as error:
                raise InvalidatePoolError from error


def takes_writes(connection: psycopg.Connection) -> bool:
    """Ask without a transaction, which would go on until the caller's ends."""
    connection.autocommit = True
    answer = connection.execute("SHOW transaction_read_only").fetchone()
    connection.autocommit = False
    return answer == ("off",)
