"""Who was last seen at work: workers, and the rollup."""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask
from sqlalchemy import delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from wallet_app.background.models import Heartbeat
from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated

logger = logging.getLogger(__name__)

ROLLUP = "rollup"
WORKER = "worker:"
INTERVAL_S = 5
ALIVE_FOR = timedelta(seconds=20)
FORGOTTEN_AFTER = timedelta(days=1)

HEARTBEATS = Heartbeat.__table__.c
NOTE = insert(Heartbeat.__table__)
IS_WORKER = HEARTBEATS.name.startswith(WORKER, autoescape=True)
LAST_ROLLUP = func.max(HEARTBEATS.seen_at).filter(HEARTBEATS.name == ROLLUP)
SEEN = select(
    func.count()
    .filter(IS_WORKER, HEARTBEATS.seen_at > func.now() - literal(ALIVE_FOR))
    .label("workers"),
    LAST_ROLLUP.label("last_rollup_at"),
    func.extract("epoch", func.now() - LAST_ROLLUP).label("rollup_lag_seconds"),
)


@dataclass(frozen=True)
class Seen:
    """Live workers, and when the last rollup came to its end (None: never)."""

    workers: int
    last_rollup_at: datetime | None
    rollup_lag_seconds: float | None


@repeated
def note(name: str) -> None:
    """Write down that something is at work right now."""
    beat = NOTE.values(name=name[:255], seen_at=func.now())
    with transaction() as connection:
        connection.execute(
            beat.on_conflict_do_update(
                index_elements=["name"], set_={"seen_at": beat.excluded.seen_at}
            )
        )


def read() -> Seen:
    """What was seen, by the database's clock."""
    with reading() as connection:
        row = connection.execute(SEEN).one()
    lag = row.rollup_lag_seconds
    return Seen(row.workers, row.last_rollup_at, None if lag is None else float(lag))


@repeated
def forget_old() -> None:
    """Delete workers that have been gone for long."""
    with transaction() as connection:
        connection.execute(
            delete(Heartbeat.__table__).where(
                HEARTBEATS.seen_at < func.now() - literal(FORGOTTEN_AFTER)
            )
        )


class Pulse(threading.Thread):
    """Notes a worker every few seconds until it is told to stop."""

    def __init__(self, app: Flask, worker: str) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.app = app
        self.worker = WORKER + worker
        self.stopping = threading.Event()

    def run(self) -> None:
        with self.app.app_context():
            while not self.stopping.is_set():
                try:
                    note(self.worker)
                except Exception as error:
                    logger.warning("no heartbeat: %s", error)
                self.stopping.wait(INTERVAL_S)

    def stop(self) -> None:
        """Stop, and take the worker off the list."""
        self.stopping.set()
        self.join(INTERVAL_S)
        with self.app.app_context(), transaction() as connection:
            connection.execute(
                delete(Heartbeat.__table__).where(HEARTBEATS.name == self.worker)
            )
