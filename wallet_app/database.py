"""The database: engine options, constraint naming, and the one place for transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, MetaData, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Session

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


def init_app(app: Flask, settings: Settings, database_url: str) -> None:
    """Bind the app to its database and to the migrations."""
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings, database_url)
    db.init_app(app)
    migrate.init_app(app)


def engine_options(settings: Settings, database_url: str) -> dict[str, Any]:
    """Options for create_engine: a bounded pool, and a bound on every statement."""
    timeouts = {
        "statement_timeout": settings.statement_timeout_ms,
        "lock_timeout": settings.lock_timeout_ms,
        # A client that hangs inside a transaction would hold its wallets' locks.
        "idle_in_transaction_session_timeout": settings.deadline_ms,
    }
    options = " ".join(f"-c {name}={value}" for name, value in timeouts.items())
    own = make_url(database_url).query.get("options")
    return {
        # One connection a thread: a request never holds two.
        "pool_size": settings.threads + 4,
        "max_overflow": 0,
        "pool_timeout": 5,
        "pool_pre_ping": True,
        "connect_args": {
            "options": f"{own} {options}" if own else options,
            "connect_timeout": 5,
            "application_name": "wallet",
        },
    }


@contextmanager
def transaction() -> Iterator[Session]:
    """One READ COMMITTED transaction: committed at the end, rolled back on any error."""
    with Session(db.engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """A session for reads in which each statement is a snapshot of its own.

    Autocommit: one round trip a statement, and no snapshot is held between them.
    """
    with Session(reader(db.engine)) as session:
        yield session


def reader(engine: Engine) -> Engine:
    """The same engine and pool, in autocommit."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def ping() -> None:
    """Ask the database for a sign of life; raises what SQLAlchemy raises if none."""
    with reading() as session:
        session.execute(text("SELECT 1"))
