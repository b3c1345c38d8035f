"""Ends a command that fails with one line on stderr and exit code 1."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import psycopg
from flask.cli import AppGroup, ScriptInfo
from psycopg.errors import UndefinedColumn, UndefinedTable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.cli.tenants import commanding_for
from wallet_app.database import ConnectionLostError, is_outage
from wallet_app.errors import WalletError
from wallet_app.ledger.wallets import WalletClashError

DATABASE_ERRORS = (DBAPIError, psycopg.Error, ConnectionLostError, PoolTimeout)


class WalletGroup(AppGroup):
    """Commands for people, of a tenant: a refusal is a line, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        with silent_log(), one_line_failures():
            tenant = ctx.params["tenant"]
            if tenant is None:
                return super().invoke(ctx)
            app = ctx.ensure_object(ScriptInfo).load_app()
            with app.app_context(), commanding_for(tenant):
                return super().invoke(ctx)


@contextmanager
def silent_log() -> Iterator[None]:
    """The command reports its failure itself; the log would say it a second time."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def one_line_failures() -> Iterator[None]:
    try:
        yield
    except WalletError as error:
        raise click.ClickException(refusal(error)) from error
    except WalletClashError as error:
        raise click.ClickException(str(error)) from error
    except DATABASE_ERRORS as error:
        raise click.ClickException(database_failure(error)) from error


def refusal(error: WalletError) -> str:
    """The detail for people, then the code and the facts."""
    # The messages by field repeat what the detail says.
    facts = [f"{name} {fact}" for name, fact in error.facts.items() if name != "errors"]
    line = f"{error.detail} ({', '.join([error.code, *facts])})"
    if error.facts.get("applied") != "unknown":
        return line
    again = f"--reference-id {error.facts['reference_id']}"
    return f"{line} Repeat it with {again}: it is applied once at most."


def database_failure(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, UndefinedTable | UndefinedColumn):
        return "The database is not up to date; bring it there with: flask db upgrade"
    reason = str(cause).strip().partition("\n")[0]
    if is_outage(error):
        return f"The database is not available; try again. ({reason})"
    return f"The database reports: {reason}"
