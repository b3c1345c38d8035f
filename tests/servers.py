"""Database servers of the tests' own: private ports and folders, on loopback only."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL, make_url

from tests import debian
from wallet_app.standalone import embedded, embedded_cluster
from wallet_app.standalone.embedded_cluster import PORT, SUPERUSER, Cluster

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = "/usr/sbin/pgbouncer"
START_TIMEOUT_S = 30


@contextlib.contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A folder that is gone at the end, and that the server's user can pass through."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def embedded_server() -> Iterator[str]:
    """The URL of an empty embedded server."""
    with folder("wallet-pg-") as base, embedded.start(base / "pg") as server:
        yield server.url


@contextlib.contextmanager
def serializable() -> Iterator[str]:
    """The embedded server; whoever does not choose a level gets SERIALIZABLE."""
    with embedded_server() as url:
        with psycopg.connect(dsn(url), autocommit=True) as connection:
            connection.execute(
                "ALTER SYSTEM SET default_transaction_isolation = 'serializable'"
            )
            connection.execute("SELECT pg_reload_conf()")
        yield url


@contextlib.contextmanager
def postgres_15() -> Iterator[str]:
    """Debian's PostgreSQL 15, with the settings of the embedded one."""
    debian.need(str(POSTGRES_15 / "initdb"), "postgresql-15")
    with folder("wallet-pg15-") as base:
        owner = embedded_cluster.prepare(base / "18").owner
        cluster = Cluster(base / "15", POSTGRES_15, 15, owner)
        cluster.data_dir.mkdir(mode=0o700)
        cluster.own(cluster.data_dir)
        cluster.run(
            "initdb",
            f"--pgdata={cluster.data_dir}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )
        with (cluster.data_dir / "postgresql.conf").open("a") as configuration:
            configuration.write("include_if_exists = 'wallet.conf'\n")
        embedded_cluster.launch(cluster)
        try:
            query = {"host": str(cluster.data_dir), "port": str(PORT)}
            url = URL.create(
                "postgresql+psycopg", SUPERUSER, database="postgres", query=query
            )
            yield url.render_as_string()
        finally:
            embedded_cluster.shut_down(cluster)


@contextlib.contextmanager
def pgbouncer(database_url: str) -> Iterator[int]:
    """The port of a PgBouncer in transaction mode before a server on a socket."""
    debian.need(PGBOUNCER, "pgbouncer")
    server = make_url(database_url)
    port = free_port()
    with folder("wallet-pgbouncer-") as base:
        (base / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host={server.query['host']} port={server.query['port']}"
            f" user={server.username}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\n"
            "unix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
            "max_client_conn = 1000\ndefault_pool_size = 40\n"
        )
        # Only the server's own user can reach its socket.
        owner = Path(str(server.query["host"])).stat()
        with (base / "pgbouncer.log").open("ab") as log:
            process = subprocess.Popen(
                [PGBOUNCER, "-q", str(base / "pgbouncer.ini")],
                user=owner.st_uid if os.geteuid() == 0 else None,
                group=owner.st_gid if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_for_port(port, process, base / "pgbouncer.log")
            yield port
        finally:
            process.terminate()
            process.wait(START_TIMEOUT_S)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text()[-3000:])
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def dsn(url: str) -> str:
    """The URL as libpq reads it."""
    driverless = make_url(url).set(drivername="postgresql")
    return driverless.render_as_string(hide_password=False)
