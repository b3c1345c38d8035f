"""What Prometheus is told of requests and of the ledger's work.

https://prometheus.io/docs/practices/naming/
"""

import atexit
import collections
import logging
import os
import threading
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from wallet_app.database import db
from wallet_app.ledger.group_commit import GroupCommit
from wallet_app.ledger.observer import Observer, Times
from wallet_app.ledger.posting import Outcome, Receipt, Unit
from wallet_app.ledger.rules import Refusal
from wallet_app.observing.requests import Answer

logger = logging.getLogger(__name__)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
OPERATIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SAMPLE_INTERVAL_S = 1.0
MOST_UNCOUNTED = 100_000
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics(Observer):
    """The figures of this process; with others, if gunicorn has told it a folder."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry}
        self.requests = Histogram(
            "wallet_request_seconds",
            "Requests, from their arrival to the beginning of their answer",
            ["method", "route", "status", "outcome"],
            buckets=SECONDS,
            **made,
        )
        self.operations = Counter(
            "wallet_operations",
            "Operations that were asked for, and what became of them",
            ["operation", "outcome"],
            **made,
        )
        self.batch = Histogram(
            "wallet_batch_operations",
            "Operations that are posted in one database transaction",
            buckets=OPERATIONS,
            **made,
        )
        self.wait = Histogram(
            "wallet_queue_wait_seconds",
            "How long the first of a batch has waited in the queue",
            buckets=SECONDS,
            **made,
        )
        self.lock = Histogram(
            "wallet_lock_seconds",
            "The round trip that locks a batch's wallets",
            buckets=SECONDS,
            **made,
        )
        self.commit = Histogram(
            "wallet_commit_seconds",
            "The round trip that writes a batch and commits it",
            buckets=SECONDS,
            **made,
        )
        live: dict[str, Any] = {"multiprocess_mode": "livesum", **made}
        self.queue = Gauge("wallet_queue_operations", "Operations that wait", **live)
        self.in_use = Gauge(
            "wallet_pool_connections_in_use", "Database connections at work", **live
        )
        self.pool = Gauge(
            "wallet_pool_connections", "Database connections at most", **live
        )
        # What is counted soon: by itself, a request would pay several times as much.
        self.answers: deque[Answer] = deque(maxlen=MOST_UNCOUNTED)
        self.outcomes: deque[tuple[str, str]] = deque(maxlen=MOST_UNCOUNTED)
        self.sampler: threading.Thread | None = None

    def note_request(self, answer: Answer) -> None:
        self.answers.append(answer)

    def taken(self, operations: int, waited_s: float) -> None:
        self.batch.observe(operations)
        self.wait.observe(waited_s)

    def posted(self, units: Sequence[Unit], times: Times) -> None:
        self.lock.observe(times.locked - times.began)
        self.commit.observe(times.committed - times.written)

    def answered(self, unit: Unit, outcomes: Sequence[Outcome] | None) -> None:
        if outcomes is None:
            names = ["internal_error"] * len(unit.operations)
        else:
            names = [outcome_name(outcome) for outcome in outcomes]
        # One that is refused as a whole has outcomes up to its refusal, which counts.
        whole = unit.atomic and outcomes and isinstance(outcomes[-1], Refusal)
        first = len(names) - 1 if whole else 0
        for operation, name in list(zip(unit.operations, names, strict=False))[first:]:
            self.outcomes.append((operation.operation_type, name))

    def count(self) -> None:
        """Hand on what has come to its end."""
        seconds: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
        for one in taken_from(self.answers):
            labels = (one.method, one.route, str(one.status), one.outcome)
            seconds[labels].append(one.seconds)
        for key, values in seconds.items():
            observe_all(self.requests.labels(*key), values)
        for names, times in collections.Counter(taken_from(self.outcomes)).items():
            self.operations.labels(*names).inc(times)

    def start_sampling(self, app: Flask) -> None:
        """Count and look, once a second, from the first request on.

        Not when somebody asks: he asks one process, and these are figures of all.
        """
        if self.sampler is None:
            self.sampler = threading.Thread(
                target=self.sample_always, args=(app,), name="metrics", daemon=True
            )
            self.sampler.start()
            # A worker that is asked to end loses nothing of its last second.
            atexit.register(self.count)

    def sample_always(self, app: Flask) -> None:
        pause = threading.Event()
        with app.app_context():
            while True:
                try:
                    self.sample(app.extensions["ledger"], db.engine.pool)
                except Exception:
                    # Such as no room for a new figure: there may be some later.
                    logger.exception("metrics: what was counted is lost")
                pause.wait(SAMPLE_INTERVAL_S)

    def sample(self, ledger: GroupCommit, pool: Any) -> None:
        self.count()
        self.queue.set(ledger.waiting())
        self.in_use.set(pool.checkedout())
        self.pool.set(pool.size())

    def collected(self) -> CollectorRegistry:
        """The figures of all processes of this server, of others a second old."""
        self.count()
        if FOLDER not in os.environ:
            return self.registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry


Noted = TypeVar("Noted")


def taken_from(queue: deque[Noted]) -> Iterator[Noted]:
    """What is in a queue, to which others go on adding."""
    for _ in range(len(queue)):
        with suppress(IndexError):
            yield queue.popleft()


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """As observe() for each, for which there is no other way than its insides."""
    buckets = collections.Counter(bisect_left(SECONDS, value) for value in values)
    for bucket, times in buckets.items():
        histogram._buckets[bucket].inc(times)
    histogram._sum.inc(sum(values))


def outcome_name(outcome: Outcome) -> str:
    """`applied`, `replayed`, `unknown`, or why it was refused."""
    if isinstance(outcome, Receipt):
        return "replayed" if outcome.replayed else "applied"
    return "unknown" if outcome.facts.get("applied") == "unknown" else outcome.code
