"""Runs the migrations on the application's own database, one transaction for all."""

from logging.config import fileConfig
from typing import Any

from alembic import context
from flask import current_app

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

extension = current_app.extensions["migrate"]


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Neither kombu's tables nor the feed's partitions are for autogenerate."""
    theirs = ("kombu_", "feed_2")
    return not (kind == "table" and name is not None and name.startswith(theirs))


def run_online() -> None:
    with extension.db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=extension.db.metadata,
            include_name=is_ours,
            **extension.configure_args,
        )
        with context.begin_transaction():
            # Building an index on a large table takes longer than a request may.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            context.run_migrations()


def run_offline() -> None:
    context.configure(
        url=extension.db.engine.url,
        target_metadata=extension.db.metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
