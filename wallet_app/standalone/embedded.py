"""The embedded PostgreSQL of the one-command start: no server to set up first.

Every process that uses the server holds a shared kernel lock, which dies with the
process: whoever leaves last stops the server, however the others ended.
"""

import atexit
import contextlib
import fcntl
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import psycopg
from sqlalchemy import URL

from wallet_app.standalone import embedded_cluster
from wallet_app.standalone.embedded_cluster import (
    PORT,
    SOCKET_LINE,
    SUPERUSER,
    Cluster,
    EmbeddedDatabaseError,
    server_note,
)

__all__ = ["EmbeddedDatabaseError", "Server", "start", "url"]

DATABASE = "wallet"


class Server:
    """A running server, in use until stop() or the end of a with block."""

    def __init__(self, cluster: Cluster, users: IO[str], socket_dir: Path) -> None:
        self._cluster = cluster
        self._users = users
        address = URL.create(
            "postgresql+psycopg",
            SUPERUSER,
            database=DATABASE,
            query={"host": str(socket_dir), "port": str(PORT)},
        )
        self.url = address.render_as_string()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the server, and stop it if nobody else uses it."""
        if self._users.closed:
            return
        with only_one(self._cluster.data_dir):
            leave(self._cluster, self._users)


def start(data_dir: Path) -> Server:
    """Start the server of a data directory, made if absent, or join a running one."""
    data_dir = data_dir.resolve()
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        with only_one(data_dir):
            cluster = embedded_cluster.prepare(data_dir)
            users = join(data_dir)
            try:
                return Server(cluster, users, ensure_running(cluster))
            except BaseException:
                leave(cluster, users)
                raise
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL cannot use {data_dir}: {error}. Set "
            "WALLET_INSTANCE_DIR to a folder of yours, or WALLET_DATABASE_URL."
        ) from error


def url(data_dir: Path) -> str:
    """The URL of the data directory's server, which runs until this process ends."""
    return attach(data_dir.resolve()).url


@functools.cache
def attach(data_dir: Path) -> Server:
    """Use the server from here to the end of the process."""
    server = start(data_dir)
    atexit.register(server.stop)
    return server


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the server meanwhile."""
    with data_dir.with_suffix(".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def join(data_dir: Path) -> IO[str]:
    """A file that makes this process a user of the server for as long as it is open."""
    users = data_dir.with_suffix(".users").open("a")
    fcntl.flock(users, fcntl.LOCK_SH)
    return users


def leave(cluster: Cluster, users: IO[str]) -> None:
    """Be a user no more, and stop the server if there is no other."""
    users.close()
    if not is_in_use(cluster.data_dir):
        embedded_cluster.shut_down(cluster)


def is_in_use(data_dir: Path) -> bool:
    """Tell whether any process, a forked child included, counts as a user."""
    with data_dir.with_suffix(".users").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def ensure_running(cluster: Cluster) -> Path:
    """Start the server unless it runs, wait until it answers; its socket's folder."""
    deadline = time.monotonic() + embedded_cluster.START_TIMEOUT_SECONDS
    while True:
        if not embedded_cluster.is_running(cluster.data_dir):
            embedded_cluster.launch(cluster)
        try:
            socket_dir = Path(server_note(cluster.data_dir)[SOCKET_LINE])
            create_database(socket_dir)
            return socket_dir
        except (IndexError, psycopg.OperationalError) as error:
            # It may still be starting, or stopping for somebody who was killed.
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"The embedded PostgreSQL does not answer: {error}\n"
                    f"{embedded_cluster.last_lines(cluster.log)}"
                ) from error
        time.sleep(0.1)


def create_database(socket_dir: Path) -> None:
    """Create the service's database if it is absent."""
    with psycopg.connect(
        host=str(socket_dir),
        port=PORT,
        user=SUPERUSER,
        dbname="postgres",
        autocommit=True,
        connect_timeout=5,
    ) as connection:
        query = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(query, [DATABASE]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")
