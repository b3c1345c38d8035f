"""The operator's hand: a database that takes no writes, and sessions that are ended."""

import contextlib
import time
from collections.abc import Iterator

import psycopg
from sqlalchemy.engine import make_url

THEIRS = (
    " FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name ^@ 'wallet'"
)


@contextlib.contextmanager
def operator(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection that may write whatever befalls the others."""
    url = make_url(database_url).set(drivername="postgresql")
    options = {"autocommit": True, "options": "-c default_transaction_read_only=off"}
    with psycopg.connect(url.render_as_string(hide_password=False), **options) as own:
        yield own


def end_sessions(admin: psycopg.Connection) -> None:
    """End the service's sessions, and wait until they are gone."""
    pids = admin.execute("SELECT pid, pg_terminate_backend(pid)" + THEIRS).fetchall()
    ended = [pid for pid, _ in pids]
    query = f"SELECT{THEIRS} AND pid = ANY(%s)"
    while admin.execute(query, [ended]).fetchall():
        time.sleep(0.01)


@contextlib.contextmanager
def read_only(admin: psycopg.Connection) -> Iterator[None]:
    """Let the whole database take no writes, as a standby does."""
    name = f'"{admin.info.dbname}"'
    admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    end_sessions(admin)
    try:
        yield
    finally:
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        end_sessions(admin)
