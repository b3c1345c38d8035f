"""A throw-away service: an embedded PostgreSQL and a gunicorn on a free port."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
from sqlalchemy.engine import make_url

from wallet_app.standalone import embedded
from wallet_app.standalone.processes import ends_with

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60


class Service:
    """gunicorn and PostgreSQL, and what can be done to them."""

    def __init__(
        self,
        folder: Path,
        data_dir: Path,
        database_url: str,
        *,
        workers: int = 2,
        root: Path = ROOT,
        **settings: str,
    ) -> None:
        self.folder = folder
        self.data_dir = data_dir
        self.url = database_url
        self.application = "wsgi:app"
        # The release that is served.
        self.root = root
        self.worker_count = workers
        self.port = free_port()
        self.log = folder / "gunicorn.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
        self.settings = {
            "WALLET_DATABASE_URL": database_url,
            "WALLET_INSTANCE_DIR": str(folder),
            "WALLET_WORKERS": str(workers),
            **settings,
        }
        self.environment = inherited | self.settings
        if root != ROOT:
            # Before what is installed.
            self.environment["PYTHONPATH"] = str(root)

    def migrate(self) -> None:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
        with self.log.open("a") as log:
            subprocess.run(
                command, cwd=self.root, env=self.environment, stderr=log, check=True
            )

    def start(self) -> None:
        """Start gunicorn, and wait until it answers."""
        self.launch()
        wait_for(self.is_ready, START_TIMEOUT_S)

    def launch(self) -> None:
        """Start gunicorn, which may still find the port taken, and end."""
        address = f"127.0.0.1:{self.port}"
        with self.log.open("a") as log:
            self.gunicorn = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn"),
                    *("--bind", address, self.application),
                ],
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ends_with(os.getpid()),
            )

    def is_ready(self) -> bool:
        assert self.gunicorn.poll() is None, self.log.read_text()[-3000:]
        url = f"http://127.0.0.1:{self.port}/readyz"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return len(self.workers()) == self.worker_count
        return False

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.gunicorn.pid).children()

    def callers(self, worker: psutil.Process) -> int:
        """How many connections a worker serves at this moment."""
        return sum(
            one.laddr.port == self.port and bool(one.raddr)
            for one in worker.net_connections("tcp")
        )

    def callers_by_worker(self) -> str:
        """As in "24 + 26"."""
        return " + ".join(str(self.callers(worker)) for worker in self.workers())

    def kill_busiest_worker(self) -> None:
        """End a worker as the kernel does for want of memory."""
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):
            max(self.workers(), key=self.callers).kill()

    def stop(self) -> float:
        """Ask gunicorn to end, and wait; return the seconds that it took."""
        began = time.monotonic()
        self.gunicorn.terminate()
        try:
            self.gunicorn.wait(STOP_TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.gunicorn.pid, signal.SIGKILL)
        return time.monotonic() - began

    def keep_log_short(self) -> None:
        """Let the write-ahead log take little of a small disk."""
        with self.connect() as connection:
            for name, value in (("max_wal_size", "64MB"), ("min_wal_size", "32MB")):
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")

    def use_up_log(self) -> None:
        """Begin a new segment of the write-ahead log, if PostgreSQL still can."""
        with contextlib.suppress(psycopg.Error), self.connect() as connection:
            connection.execute("SELECT pg_switch_wal()")

    def sql_log(self) -> str:
        """What PostgreSQL has complained of since its last start."""
        return (self.data_dir / "server.log").read_text(errors="replace")

    def connect(self) -> psycopg.Connection:
        """A connection of our own to the database, in autocommit."""
        url = make_url(self.url).set(drivername="postgresql")
        return psycopg.connect(
            url.render_as_string(hide_password=False), autocommit=True
        )


@contextlib.contextmanager
def running(
    *,
    workers: int = 2,
    disk: Path | None = None,
    root: Path = ROOT,
    **settings: str,
) -> Iterator[Service]:
    """A service on an empty database, which is on `disk`; both are gone afterwards.

    `root` is the release that it serves.
    """
    folder = Path(tempfile.mkdtemp(prefix="wallet-proof-"))
    data_dir = (disk or folder) / "pg"
    try:
        with embedded.start(data_dir) as database:
            service = Service(
                folder, data_dir, database.url, workers=workers, root=root, **settings
            )
            service.migrate()
            service.start()
            try:
                yield service
            finally:
                service.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come about in time"
        time.sleep(0.1)
