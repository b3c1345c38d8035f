"""What can go wrong around the service: each fault has a beginning and an end."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from proofs.service import ROOT, Service
from proofs.tcp_proxy import Proxy
from tests import debian
from wallet_app.standalone import embedded_cluster
from wallet_app.standalone.embedded_cluster import PORT

SLOW_FLUSH_S = 1.0
TERMINATE_EVERY_S = 0.2
CLOCK_STEP_S = 3600


@dataclass(frozen=True)
class Fault:
    """`begin` returns at once, `end` when the cause is gone.

    `hurts`: whether 503 are to be expected while it lasts.
    """

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    hurts: bool = True


def pg_ctl(service: Service, *arguments: str) -> None:
    cluster = embedded_cluster.prepare(service.data_dir)
    cluster.run("pg_ctl", *arguments, f"--pgdata={cluster.data_dir}")


def stopped(service: Service, mode: str) -> Fault:
    """PostgreSQL is stopped, and started again."""

    def end() -> None:
        embedded_cluster.launch(embedded_cluster.prepare(service.data_dir))

    def begin() -> None:
        pg_ctl(service, "stop", f"--mode={mode}")

    return Fault(f"PostgreSQL stopped ({mode}), started again", begin, end)


def demoted(service: Service) -> Fault:
    """PostgreSQL comes back as a standby, as after a failover, and is promoted."""

    def begin() -> None:
        pg_ctl(service, "stop", "--mode=fast")
        cluster = embedded_cluster.prepare(service.data_dir)
        signal = cluster.data_dir / "standby.signal"
        signal.touch()
        cluster.own(signal)
        embedded_cluster.launch(cluster)

    def end() -> None:
        with service.connect() as connection:
            connection.execute("SELECT pg_promote()")

    return Fault("PostgreSQL becomes a standby, is promoted", begin, end)


def terminated(service: Service) -> Fault:
    """Somebody ends the service's connections again and again."""
    over = threading.Event()

    def terminate() -> None:
        with service.connect() as connection:
            while not over.wait(TERMINATE_EVERY_S):
                connection.execute(TERMINATE)

    thread = threading.Thread(target=terminate)

    def end() -> None:
        over.set()
        thread.join()

    return Fault("connections terminated, five times a second", thread.start, end)


TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'wallet'"
)


def taken(service: Service) -> Fault:
    """Somebody else holds every connection that PostgreSQL has."""
    held: list[psycopg.Connection] = []

    def begin() -> None:
        held.append(service.connect())
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            held[0].execute(TERMINATE)
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    held.append(service.connect())
            if (
                not held[0]
                .execute(
                    "SELECT FROM pg_stat_activity WHERE application_name = 'wallet'"
                )
                .fetchone()
            ):
                return
        raise RuntimeError("the service keeps its connections")

    def end() -> None:
        for connection in held:
            connection.close()

    return Fault("max_connections reached by somebody else", begin, end)


def hanging(proxy: Proxy, end: Callable[[], None], then: str) -> Fault:
    return Fault(f"network hangs, then {then}", proxy.hang, end)


def row_locked(service: Service, wallet: str) -> Fault:
    """Somebody holds one wallet's row locked."""
    connection = service.connect()

    def begin() -> None:
        connection.execute("BEGIN")
        connection.execute("SELECT FROM wallets WHERE uuid = %s FOR UPDATE", [wallet])

    return Fault("one wallet's row held locked", begin, connection.close)


def slow_disk(folder: Path) -> Fault:
    note = folder / "slow_disk"

    def begin() -> None:
        note.write_text(str(int(SLOW_FLUSH_S * 1e6)))
        note.chmod(0o644)

    name = f"disk slow: each flush takes {SLOW_FLUSH_S:g} s longer"
    return Fault(name, begin, note.unlink)


def preloaded(folder: Path, name: str) -> dict[str, str]:
    """The environment of a program with one of our C files loaded before libc."""
    debian.need("cc", "gcc", "libc6-dev")
    library = folder / f"{name}.so"
    source = ROOT / "proofs" / f"{name}.c"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
    )
    return {"LD_PRELOAD": str(library), name.upper(): str(folder / name)}


@contextlib.contextmanager
def slow_disk_preloaded(folder: Path) -> Iterator[None]:
    """PostgreSQL, started in this block, has a disk that can be slow."""
    added = preloaded(folder, "slow_disk")
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def clock_stepped(folder: Path) -> Fault:
    """The time of day of programs with odd_clock loaded steps back, and forth again."""
    note = folder / "odd_clock"

    def begin() -> None:
        # Renamed into its place: a reader never meets half of it.
        new = note.with_suffix(".new")
        new.write_text(str(-CLOCK_STEP_S))
        new.replace(note)

    return Fault("clock steps back by an hour", begin, note.unlink, hurts=False)


def socket_path(service: Service) -> Path:
    """The Unix socket of the service's PostgreSQL."""
    with service.connect() as connection:
        return Path(connection.info.host) / f".s.PGSQL.{PORT}"
