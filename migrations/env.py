"""Runs the migrations on the application's own database, each in a transaction."""

from logging.config import fileConfig
from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import Connection

from wallet_app.database.connections import limits_sql, needs_limits

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

extension = current_app.extensions["migrate"]


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Neither kombu's tables nor the feed's partitions are for autogenerate."""
    theirs = ("kombu_", "feed_2")
    return not (kind == "table" and name is not None and name.startswith(theirs))


def run_online() -> None:
    with extension.db.engine.connect() as own:
        limits = own.get_execution_options()["limits"]
        connection = own.execution_options(
            limits=limits | limits_sql(statement_timeout=0)
        )
        try:
            migrate(connection)
        finally:
            # Nobody else is to get a session without a limit from the pool.
            connection.invalidate()


def migrate(connection: Connection) -> None:
    """Building an index takes longer than a request may; waiting for a lock does not.

    Requests would wait behind it.
    """
    if not needs_limits(connection):
        # Outside of transactions, too, where an index is built concurrently.
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=extension.db.metadata,
        include_name=is_ours,
        # What one of them has locked, the next need not hold.
        transaction_per_migration=True,
        **extension.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_offline() -> None:
    context.configure(
        url=extension.db.engine.url,
        target_metadata=extension.db.metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
