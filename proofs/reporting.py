"""Proves the reports right under fire: `python -m proofs.reporting`.

Two beats and four worker processes count while money moves, and get killed: every
read of a wallet's statistics must equal a fresh count of its transactions in the same
snapshot, nothing may be counted twice or lost, and every statement must end.
"""

import argparse
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import text

from benchmarks import database
from tests import recount
from tests.services.workers import Worker, eventually
from wallet_app import create_app
from wallet_app.background import hints
from wallet_app.config import Settings
from wallet_app.database import reading
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.rules import Operation
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statements import lifecycle
from wallet_app.statistics import rebuild, rollup, service_statistics, wallet_statistics

WALLETS, READERS, WRITERS, KILLS = 40, 3, 8, 20
FRESH = text(
    "SELECT operation_type, count(*), sum(amount), min(amount), max(amount),"
    " min(transactions.created_at), max(transactions.created_at)"
    " FROM transactions JOIN wallets"
    " ON wallets.id = wallet_id WHERE uuid = :uuid GROUP BY 1 ORDER BY 1"
)
COLUMNS = (
    "operation_type",
    "count",
    "total",
    "smallest",
    "largest",
    "first_at",
    "last_at",
)


class Fire:
    """Writers and readers in threads, until told to stop."""

    def __init__(self, app: Flask, wallets: list[uuid.UUID]) -> None:
        self.app = app
        self.wallets = wallets
        self.stopping = threading.Event()
        self.seen: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self.threads = [
            threading.Thread(target=self.repeat, args=(work,))
            for work, times in ((self.write, WRITERS), (self.read, READERS))
            for _ in range(times)
        ]

    def repeat(self, work: Any) -> None:
        with self.app.app_context():
            try:
                while not self.stopping.is_set():
                    work()
            except BaseException as error:
                self.errors.append(error)
                raise

    def write(self) -> None:
        source, target = random.sample(self.wallets, 2)
        kind = random.choice(list(OperationType))
        outcome = self.app.extensions["ledger"].submit(
            Operation(
                tenant_id=DEFAULT_TENANT_ID,
                operation_type=kind,
                wallet_uuid=source,
                target_uuid=target if kind is OperationType.TRANSFER else None,
                amount=Decimal(random.randint(1, 500)),
                reference_id=uuid.uuid4(),
            )
        )
        self.seen[type(outcome).__name__] += 1
        time.sleep(0.002)

    def read(self) -> None:
        """One snapshot, two ways to count."""
        wallet = random.choice(self.wallets)
        with service_statistics.snapshot() as connection:
            told = wallet_statistics.read_wallet_statistics(connection, wallet)
            fresh = connection.execute(FRESH, {"uuid": wallet}).all()
        found = sorted(
            tuple(one[name] for name in COLUMNS) for one in told["operations"]
        )
        self.seen["reads"] += 1
        behind = told["rolled_up_to_seq"] < told["as_of_seq"]
        self.seen["reads behind the ledger"] += behind
        self.seen["mismatches"] += found != [tuple(row) for row in fresh]

    def __enter__(self) -> "Fire":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of the reading part")
    seconds = parser.parse_args().seconds
    with database.throw_away() as store:
        folder = Path(store.parameters["host"])
        app = create_app(Settings(database_url=store.url, instance_dir=folder))
        with app.app_context():
            wallets = [uuid.UUID(one) for one in store.fill(wallets=WALLETS, rows=2000)]
            workers = start_workers(store.url, folder)
            try:
                prove_reads(app, wallets, seconds)
                prove_kills(app, wallets, workers)
            finally:
                for worker in workers:
                    worker.kill()
            store.check_books()


def start_workers(url: str, folder: Path) -> list[Worker]:
    """Two workers with two processes each, and a beat in both."""
    environment = {
        "WALLET_DATABASE_URL": url,
        "WALLET_INSTANCE_DIR": str(folder),
        "WALLET_ROLLUP_INTERVAL_SECONDS": "1",
    }
    return [
        Worker(environment, folder / f"{name}.log", name=name, concurrency=2)
        for name in ("one", "two")
    ]


def prove_reads(app: Flask, wallets: list[uuid.UUID], seconds: int) -> None:
    with Fire(app, wallets) as fire:
        time.sleep(seconds)
    say("operations posted meanwhile", f"{fire.seen['Receipt']:,}")
    say("reads compared with a fresh count", f"{fire.seen['reads']:,}")
    say(
        "of them with a tail to add to the rollup",
        f"{fire.seen['reads behind the ledger']:,}",
    )
    say("mismatches", str(fire.seen["mismatches"]))
    assert fire.seen["mismatches"] == 0
    assert fire.seen["reads"] > 1000


def prove_kills(app: Flask, wallets: list[uuid.UUID], workers: list[Worker]) -> None:
    asked: list[uuid.UUID] = []
    hit: Counter[str] = Counter()
    with Fire(app, wallets) as fire:
        for number in range(KILLS):
            asked += ask(wallets, number)
            time.sleep(random.uniform(0.5, 3))
            kill_one(workers[number % 2], hit, whole=number % 4 >= 2)
        eventually(lambda: ended(asked) == len(asked), 180, "a statement does not end")
    for name, times in hit.items():
        say(f"killed with SIGKILL: {name}", str(times))
    states = Counter(state_of(one) for one in asked)
    say("statements asked for meanwhile", str(len(asked)))
    say("how they ended", ", ".join(f"{n} {state}" for state, n in states.items()))
    say(
        "mismatches in reads meanwhile",
        f"{fire.seen['mismatches']} of {fire.seen['reads']:,}",
    )
    assert set(states) == {"ready"}
    assert fire.seen["mismatches"] == 0
    while rollup.roll_up():
        pass
    with reading() as connection:
        assert recount.differences(connection) == {}
    checked = list(rebuild.rebuild())
    say(
        "transactions counted afresh at the end",
        f"{sum(c.transactions for c in checked):,}",
    )
    wrong = sum(len(one.differing) for one in checked) + rebuild.rebuild_service_days()
    say("rollups that differed", str(wrong))
    assert wrong == 0


def ask(wallets: list[uuid.UUID], number: int) -> list[uuid.UUID]:
    """Three statements of different periods, in all formats."""
    found = []
    now = datetime.now(UTC)
    for file_format in ("csv", "json", "pdf"):
        statement = lifecycle.request(
            (DEFAULT_TENANT_ID, random.choice(wallets)),
            from_at=now - timedelta(days=3, minutes=number),
            to_at=now,
            file_format=file_format,
        )
        hints.send(hints.WRITE_STATEMENT, str(statement.id))
        found.append(statement.id)
    return found


def kill_one(worker: Worker, hit: Counter[str], *, whole: bool) -> None:
    """A process that runs tasks, or a whole worker, which is then started again."""
    children = eventually(worker.children)
    if whole:
        worker.kill()
        worker.start()
        hit["whole workers"] += 1
        return
    os.kill(random.choice(children), signal.SIGKILL)
    hit["processes of a worker"] += 1


def ended(asked: list[uuid.UUID]) -> int:
    return sum(state_of(one) in ("ready", "failed") for one in asked)


def state_of(statement_id: uuid.UUID) -> str:
    with reading() as connection:
        return str(lifecycle.find(connection, DEFAULT_TENANT_ID, statement_id).state)


def say(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
