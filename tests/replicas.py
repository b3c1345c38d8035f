"""A primary and the standby that it waits for; the link between them can fail."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL

from proofs.tcp_proxy import Proxy
from tests import servers
from wallet_app.standalone import embedded, embedded_cluster
from wallet_app.standalone.embedded_cluster import PORT, SUPERUSER, Cluster

STANDBY = "standby"
WAITING = "wait_event = 'SyncRep' AND datname = current_database()"


class Pair:
    """The two servers; `link` is what the standby reaches the primary by."""

    def __init__(self, url: str, primary: Cluster, standby: Cluster, link: Proxy):
        self.url = url
        self.primary = primary
        self.standby = standby
        self.link = link

    @property
    def standby_url(self) -> str:
        return url_of(self.standby)

    @property
    def both_urls(self) -> str:
        """Of whichever takes writes."""
        hosts = ",".join(str(one.data_dir) for one in (self.primary, self.standby))
        query = {"host": hosts, "port": f"{PORT},{PORT}"}
        return address(query | {"target_session_attrs": "read-write"})

    @staticmethod
    def socket_of(server: Cluster) -> Path:
        return server.data_dir / f".s.PGSQL.{PORT}"

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the primary, in autocommit."""
        return psycopg.connect(servers.dsn(self.url), autocommit=True)

    def count(self, condition: str, table: str = "pg_stat_activity") -> int:
        with self.connect() as connection:
            query = f"SELECT count(*) FROM {table} WHERE {condition}"
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def signal_waiting(self, function: str) -> int:
        """Cancel or terminate who waits for the standby; return how many did."""
        with self.connect() as connection:
            query = f"SELECT pid FROM pg_stat_activity WHERE {WAITING}"
            found = connection.execute(query.encode()).fetchall()
            for pid in found:
                connection.execute(f"SELECT {function}(%s)".encode(), pid)
        return len(found)

    def wait_until_replicated(self) -> None:
        """Wait until the standby has all that is written now."""
        with self.connect() as connection:
            (now,) = connection.execute("SELECT pg_current_wal_lsn()").fetchone() or ()
        wait_until(
            lambda: self.count(f"replay_lsn >= '{now}'", "pg_stat_replication") > 0
        )

    def promote(self) -> None:
        """Let the standby take over with what it has."""
        embedded_cluster.shut_down(self.primary)
        self.standby.run("pg_ctl", "promote", f"--pgdata={self.standby.data_dir}")


def url_of(cluster: Cluster) -> str:
    """The URL of a running server of the embedded kind."""
    return address({"host": str(cluster.data_dir), "port": str(PORT)})


def address(query: dict[str, str]) -> str:
    url = URL.create(
        "postgresql+psycopg", SUPERUSER, database=embedded.DATABASE, query=query
    )
    return url.render_as_string()


@contextlib.contextmanager
def replicated() -> Iterator[Pair]:
    """An empty primary whose COMMIT waits for its standby; both are gone afterwards."""
    with (
        servers.folder("wallet-pair-") as base,
        embedded.start(base / "primary") as server,
        Proxy(base / "primary" / f".s.PGSQL.{PORT}") as link,
    ):
        primary = embedded_cluster.prepare(base / "primary")
        standby = copy_of(primary, base / "standby", link.port)
        embedded_cluster.launch(standby)
        try:
            pair = Pair(server.url, primary, standby, link)
            wait_for_standby(pair)
            yield pair
        finally:
            embedded_cluster.shut_down(standby)


def copy_of(primary: Cluster, data_dir: Path, port: int) -> Cluster:
    """A base backup that follows the primary over a TCP port, once it is started."""
    data_dir.mkdir(mode=0o700)
    primary.own(data_dir)
    source = f"host=127.0.0.1 port={port} user={SUPERUSER} application_name={STANDBY}"
    primary.run(
        "pg_basebackup",
        f"--dbname={source}",
        f"--pgdata={data_dir}",
        "--checkpoint=fast",
        "--write-recovery-conf",
        "--no-sync",
    )
    for left in data_dir.glob("server.log*"):
        left.unlink()
    return replace(primary, data_dir=data_dir)


def wait_for_standby(pair: Pair) -> None:
    with pair.connect() as connection:
        names = f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"
        connection.execute(names.encode())
        connection.execute("SELECT pg_reload_conf()")
    wait_until(lambda: pair.count("sync_state = 'sync'", "pg_stat_replication") == 1)


def wait_until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it has not come about in time"
        time.sleep(0.02)
