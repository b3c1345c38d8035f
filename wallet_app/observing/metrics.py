"""What Prometheus is told of requests and of the ledger's work.

https://prometheus.io/docs/practices/naming/
"""

import os
import threading
from collections.abc import Sequence
from typing import Any

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from wallet_app.database import db
from wallet_app.ledger.group_commit import GroupCommit
from wallet_app.ledger.observer import Observer, Times
from wallet_app.ledger.posting import Outcome, Receipt, Unit
from wallet_app.observing.requests import Answer

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
OPERATIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SAMPLE_INTERVAL_S = 1.0
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
        # Finding a metric by its labels costs as much as counting.
        self.by_request: dict[tuple[str, ...], Histogram] = {}
        self.by_operation: dict[tuple[str, str], Counter] = {}
        self.sampler: threading.Thread | None = None

    def note_request(self, answer: Answer) -> None:
        key = (answer.method, answer.route, str(answer.status), answer.outcome)
        histogram = self.by_request.get(key)
        if histogram is None:
            histogram = self.by_request[key] = self.requests.labels(*key)
        histogram.observe(answer.seconds)

    def taken(self, operations: int, waited_s: float) -> None:
        self.batch.observe(operations)
        self.wait.observe(waited_s)

    def posted(self, units: Sequence[Unit], times: Times) -> None:
        self.lock.observe(times.locked - times.began)
        self.commit.observe(times.committed - times.written)

    def answered(self, unit: Unit, outcomes: Sequence[Outcome] | None) -> None:
        if outcomes is None:
            for operation in unit.operations:
                self.count(operation.operation_type, "internal_error")
            return
        # An atomic unit that is refused has fewer outcomes.
        for operation, outcome in zip(unit.operations, outcomes, strict=False):
            self.count(operation.operation_type, outcome_name(outcome))

    def count(self, operation: str, outcome: str) -> None:
        key = (operation, outcome)
        counter = self.by_operation.get(key)
        if counter is None:
            counter = self.by_operation[key] = self.operations.labels(*key)
        counter.inc()

    def start_sampling(self, app: Flask) -> None:
        """Look once a second, from the first request on, at what is to be seen.

        Not when somebody asks: he asks one process, and these are figures of all.
        """
        if self.sampler is None:
            self.sampler = threading.Thread(
                target=self.sample_always, args=(app,), name="metrics", daemon=True
            )
            self.sampler.start()

    def sample_always(self, app: Flask) -> None:
        pause = threading.Event()
        with app.app_context():
            while True:
                self.sample(app.extensions["ledger"], db.engine.pool)
                pause.wait(SAMPLE_INTERVAL_S)

    def sample(self, ledger: GroupCommit, pool: Any) -> None:
        self.queue.set(ledger.waiting())
        self.in_use.set(pool.checkedout())
        self.pool.set(pool.size())

    def collected(self) -> CollectorRegistry:
        """The figures of all processes of this server, as of now."""
        if FOLDER not in os.environ:
            return self.registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry


def outcome_name(outcome: Outcome) -> str:
    """`applied`, `replayed`, `unknown`, or why it was refused."""
    if isinstance(outcome, Receipt):
        return "replayed" if outcome.replayed else "applied"
    return "unknown" if outcome.facts.get("applied") == "unknown" else outcome.code
