"""WALLET_ENV=production: what a start is refused for, and what to do about it."""

import logging
from collections.abc import Callable
from pathlib import Path

import click
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import Flask
from flask.cli import FlaskGroup
from flask.helpers import get_debug_flag
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from wallet_app.config import ConfigurationError, Settings
from wallet_app.database import db, is_outage

logger = logging.getLogger(__name__)

# What docker-compose.yml, the examples and the servers' makers have as a password.
DEFAULT_PASSWORDS = {
    "changeme",
    "guest",
    "password",
    "postgres",
    "rabbitmq",
    "redis",
    "secret",
    "wallet",
}
FIRST_KEY = "flask --app wsgi wallet keys create --name NAME --scopes admin"
MIGRATE = "flask --app wsgi db upgrade"


def refuse_unsafe(settings: Settings) -> None:
    """Raise ConfigurationError with all that is not for production, and what is."""
    if settings.env != "production":
        return
    faults = [
        *unsafe_settings(settings),
        *default_secrets(settings),
    ]
    if faults:
        raise ConfigurationError(
            "WALLET_ENV=production, but\n" + "\n".join(f"* {fault}" for fault in faults)
        )


def unsafe_settings(settings: Settings) -> list[str]:
    faults = []
    if settings.access != "keys":
        faults.append("anybody may move money: set WALLET_ACCESS=keys.")
    if settings.database_url is None:
        faults.append(
            "the embedded database is for development: set WALLET_DATABASE_URL."
        )
    if get_debug_flag():
        faults.append("debugging shows what is inside: unset FLASK_DEBUG and --debug.")
    return faults


def default_secrets(settings: Settings) -> list[str]:
    """The settings whose URL has a password that everybody knows."""
    urls = {
        "WALLET_DATABASE_URL": settings.database_url,
        "WALLET_REPLICA_URL": settings.replica_url,
        "WALLET_BROKER_URL": settings.broker_url,
        "WALLET_LIMITS_STORAGE": settings.limits_storage,
    }
    return [
        f"the password in {name} is a default one: choose another, at the server too."
        for name, url in urls.items()
        if url and password_of(url) in DEFAULT_PASSWORDS
    ]


def password_of(url: str) -> str | None:
    try:
        return make_url(url).password
    except ArgumentError:
        # Whoever connects to it will say what is wrong with it.
        return None


def refuse_unmigrated(app: Flask, settings: Settings, migrations: Path) -> None:
    """Raise ConfigurationError if the database lacks a migration of this release.

    A database that is away is no reason: the service answers 503 until it is back. Nor
    is one that a later release has migrated already, while this one still serves.
    """
    if settings.env != "production" or is_other_command():
        return
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    try:
        found = revision_of_database(app)
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        logger.warning("the database's revision is not known yet: %s", error)
        return
    newest = scripts.get_current_head()
    if found != newest and (found is None or is_known(scripts, found)):
        raise ConfigurationError(
            f"WALLET_ENV=production, but\n* the database is at revision {found}, and "
            f"this release needs {newest}: run `{MIGRATE}`."
        )


def is_other_command() -> bool:
    """Whether this is a `flask` command that serves nobody, such as the migration."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, FlaskGroup):
        return False
    return context.info_name != "run"


def revision_of_database(app: Flask) -> str | None:
    with app.app_context(), db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_known(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        scripts.get_revision(revision)
    except CommandError:
        return False
    return True


def hint_first_key(app: Flask, settings: Settings, count: Callable[[], int]) -> None:
    """Where nobody can come in yet, say in the log how to let the first one in."""
    if settings.access != "keys" or is_other_command():
        return
    try:
        with app.app_context():
            hint = first_key_hint(count())
    except SQLAlchemyError as error:
        logger.warning("whether there is a key is not known yet: %s", error)
        return
    if hint:
        logger.warning(hint)


def first_key_hint(count: int) -> str | None:
    """How to make the first key, where there are none."""
    if count:
        return None
    return f"There is no API key yet, so nobody is let in. Make one: {FIRST_KEY}"
