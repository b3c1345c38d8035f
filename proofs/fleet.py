"""All processes of a service under load: which there are, and how each comes back."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import psutil

from proofs.service import Service
from proofs.traders import Traders
from tests.services.workers import Worker
from wallet_app.standalone import embedded_cluster

MEND_TIMEOUT_S = 120
BUSY_BACKENDS_FIRST = (
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'wallet%'"
    " ORDER BY state = 'idle', random() LIMIT 1"
)


class Fleet(Traders):
    """gunicorn, PostgreSQL, Celery and client processes; mend() restarts what ended."""

    def __init__(self, service: Service, wallets: dict[str, Decimal]) -> None:
        self.cluster = embedded_cluster.prepare(service.data_dir)
        self.celery = Worker(
            service.settings | {"WALLET_ROLLUP_INTERVAL_SECONDS": "1"},
            service.folder / "celery.log",
            concurrency=2,
        )
        super().__init__(service, wallets)

    def victim(self, kind: str, chance: random.Random) -> psutil.Process:
        """A process of that kind which runs at this moment."""
        return VICTIMS[kind](self, chance)

    def gunicorn_master(self, _: random.Random) -> psutil.Process:
        return psutil.Process(self.service.gunicorn.pid)

    def gunicorn_worker(self, chance: random.Random) -> psutil.Process:
        return chance.choice(self.service.workers())

    def celery_worker(self, _: random.Random) -> psutil.Process:
        return psutil.Process(self.celery.process.pid)

    def celery_child(self, chance: random.Random) -> psutil.Process:
        return psutil.Process(chance.choice(self.celery.children()))

    def backend(self, _: random.Random) -> psutil.Process:
        """One that is in the middle of something, if there is one."""
        with self.service.connect() as connection:
            row = connection.execute(BUSY_BACKENDS_FIRST).fetchone()
        assert row is not None
        return psutil.Process(row[0])

    def postmaster(self, _: random.Random) -> psutil.Process:
        found = embedded_cluster.find_server(self.cluster.data_dir)
        assert found is not None
        return found

    def client(self, chance: random.Random) -> psutil.Process:
        return psutil.Process(chance.choice(self.clients).pid)

    def mend(self) -> None:
        """Start again what has ended, until each client process has had an answer."""
        deadline = time.monotonic() + MEND_TIMEOUT_S
        while not self.is_whole():
            assert time.monotonic() < deadline, "the service does not come back"
            time.sleep(0.05)
        self.await_answers(self.is_whole, deadline)

    def is_whole(self) -> bool:
        """Start again what is missing; tell whether all of it is there and ready."""
        return all(
            [
                self.database_runs(),
                self.gunicorn_runs(),
                self.celery_runs(),
                self.clients_run(),
            ]
        )

    def database_runs(self) -> bool:
        if embedded_cluster.is_running(self.cluster.data_dir):
            return True
        try:
            embedded_cluster.launch(self.cluster)
            self.restarts["PostgreSQL"] += 1
        except embedded_cluster.EmbeddedDatabaseError:
            # The backends of one that was killed have not all ended yet.
            self.restarts["PostgreSQL, refused for a moment"] += 1
        return False

    def gunicorn_runs(self) -> bool:
        if self.service.gunicorn.poll() is None:
            return self.service.is_ready()
        self.service.launch()
        self.restarts["gunicorn"] += 1
        return False

    def celery_runs(self) -> bool:
        if self.celery.process.poll() is None:
            return len(self.celery.children()) > 1
        # As a supervisor does it, with what the killed one left behind.
        self.celery.kill()
        self.celery.start()
        self.restarts["Celery"] += 1
        return False

    def stop(self) -> None:
        super().stop()
        self.celery.stop()


VICTIMS: dict[str, Callable[[Fleet, random.Random], psutil.Process]] = {
    "a gunicorn worker": Fleet.gunicorn_worker,
    "the gunicorn master": Fleet.gunicorn_master,
    "the Celery worker": Fleet.celery_worker,
    "a process of the Celery worker": Fleet.celery_child,
    "a PostgreSQL backend": Fleet.backend,
    "the postmaster": Fleet.postmaster,
    "a client process": Fleet.client,
}


@contextlib.contextmanager
def sailing(service: Service, wallets: dict[str, Decimal]) -> Iterator[Fleet]:
    fleet = Fleet(service, wallets)
    try:
        yield fleet
    finally:
        fleet.stop()
