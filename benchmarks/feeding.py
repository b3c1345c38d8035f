"""What feeding and counting a backlog costs a hot wallet, and how fast they are then.

`python -m benchmarks.feeding`: the load alone, and beside one of Celery's tasks, in
turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import database, report, workloads
from benchmarks.candidates import Server, client_name, serve
from benchmarks.database import Database
from wallet_app import create_app
from wallet_app.background.celery_app import NICENESS
from wallet_app.config import Settings
from wallet_app.feed import relay
from wallet_app.statistics import rollup

WALLETS, ROWS_EACH = 1_000, 1_000
SECONDS, ROUNDS = 5, 3
START_TIMEOUT_S = 20
# Which has no entry of the hot wallet, the first.
FORGET = "TRUNCATE journal"
# Of the feed alone nobody asks whether the transactions are there.
ADD_ROWS = """
    INSERT INTO journal (kind, wallet_ids, seqs)
    SELECT 'posted', array_agg(2 + event %% 999), array_agg(1)
    FROM generate_series(0, %(rows)s * %(entries)s - 1) AS event
    GROUP BY event / %(entries)s
"""
# As 64 clients of all wallets would have left it.
ADD_HISTORY = """
    INSERT INTO journal (kind, wallet_ids, seqs)
    SELECT 'posted', array_agg(wallet_id), array_agg(seq)
    FROM (
        SELECT wallet_id, seq, row_number() OVER (ORDER BY seq, wallet_id) AS event
        FROM transactions WHERE wallet_id > 1
    ) AS history
    GROUP BY event / %(entries)s ORDER BY event / %(entries)s
"""
POSITION = "SELECT coalesce(max(position), 0) FROM feed_readers WHERE name = %(name)s"


@dataclass(frozen=True)
class Work:
    """What goes on beside the load: a task, and the reader whose position tells."""

    task: str
    entries: int
    reader: str

    @property
    def name(self) -> str:
        return f"{self.task}, {self.entries} a row"


FEEDING = [
    Work("relay", 1, relay.readers.RELAY),
    Work("relay", 20, relay.readers.RELAY),
]
COUNTING = Work("rollup", 20, rollup.READER)
TASKS: dict[str, Callable[[float], object]] = {
    "relay": relay.relay_for,
    "rollup": rollup.roll_up_for,
}


@dataclass(frozen=True)
class Sample:
    """Operations a second alone and beside the work, and its events a second."""

    alone: float
    beside: float
    events: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=3, metavar=("TASK", "URL", "DIR"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.work:
        do_work(*options.work)
    else:
        measure_all(options.rounds)


def do_work(task: str, url: str, folder: str) -> None:
    """As a process of a worker does, whom beat sends the next when one is over."""
    os.nice(NICENESS)
    with create_app(
        Settings(database_url=url, instance_dir=Path(folder))
    ).app_context():
        while True:
            TASKS[task](60)


def measure_all(rounds: int) -> None:
    samples: dict[str, list[Sample]] = {}
    with database.throw_away() as feeding:
        hot = workloads.hot(feeding.fill(wallets=WALLETS, rows=1))
        counting = feeding.another("counting")
        counted_hot = workloads.hot(counting.fill(wallets=WALLETS, rows=ROWS_EACH))
        with counting.connect() as connection:
            connection.execute(FORGET)
            connection.execute(ADD_HISTORY, {"entries": COUNTING.entries})
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")
        with (
            serve("Beside the relay", "wsgi:app", feeding.url) as feeder,
            serve("Beside the rollup", "wsgi:app", counting.url) as counter,
        ):
            for server, load in ((feeder, hot), (counter, counted_hot)):
                server.load(load, 3)
            for number in range(rounds):
                for work in FEEDING:
                    refill(feeding, work)
                    sample = measure(feeding, feeder, hot, work, number)
                    samples.setdefault(work.name, []).append(sample)
                sample = measure(counting, counter, counted_hot, COUNTING, number)
                samples.setdefault(COUNTING.name, []).append(sample)
        print(f"\n{machine(feeding, rounds)}\n\n{table(samples)}")
        feeding.check_books()
        counting.check_books()


def refill(store: Database, work: Work) -> None:
    """More than the relay can feed meanwhile."""
    values = {"rows": 600_000 // (1 + work.entries // 5), "entries": work.entries}
    with store.connect() as connection:
        connection.execute(FORGET)
        connection.execute(ADD_ROWS, values)
        connection.execute("VACUUM (ANALYZE) journal")


def measure(
    store: Database, server: Server, load: workloads.Workload, work: Work, number: int
) -> Sample:
    """The load alone and beside the work, in an order that changes by the round."""
    rates = {}
    events = 0.0
    for beside in (False, True) if number % 2 else (True, False):
        store.settle()
        if not beside:
            rates[beside], _ = run(store, server, load, work)
            continue
        with working(store, work):
            rates[beside], events = run(store, server, load, work)
    return Sample(rates[False], rates[True], events)


def run(
    store: Database, server: Server, load: workloads.Workload, work: Work
) -> tuple[float, float]:
    """Operations and the reader's events, both a second."""
    began, before = time.monotonic(), position(store, work)
    outcome = server.load(load, SECONDS)
    events = position(store, work) - before
    assert not outcome.failed, outcome
    return outcome.requests / outcome.seconds, events / (time.monotonic() - began)


@contextmanager
def working(store: Database, work: Work) -> Iterator[None]:
    """The work in a process of its own, which has begun and is not at its end."""
    folder = str(store.parameters["host"])
    command = [sys.executable, "-m", "benchmarks.feeding", "--work"]
    before = position(store, work)
    with subprocess.Popen([*command, work.task, store.url, folder]) as child:
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while position(store, work) == before:
                assert time.monotonic() < deadline, "nothing is fed"
                time.sleep(0.05)
            yield
            with store.connect() as connection:
                row = connection.execute("SELECT max(id) - min(id) FROM journal")
                assert row.fetchone() > (1000,), "the backlog was too short"
        finally:
            child.terminate()


def position(store: Database, work: Work) -> int:
    with store.connect() as connection:
        row = connection.execute(POSITION, {"name": work.reader}).fetchone()
    assert row is not None
    return int(row[0])


def machine(store: Database, rounds: int) -> str:
    return (
        f"{os.cpu_count()} cores ({report.processor()}), shared by the load generator "
        f"({client_name()}), two web workers, the task and PostgreSQL "
        f"{store.version()}; medians of {rounds} rounds of {SECONDS} s each."
    )


def table(samples: dict[str, list[Sample]]) -> str:
    head = ["beside", "alone op/s", "beside op/s", "share", "events/s"]
    rows = []
    for name, found in samples.items():
        shares = [one.beside / one.alone for one in found]
        rows.append(
            [
                name,
                f"{statistics.median(one.alone for one in found):,.0f}",
                f"{statistics.median(one.beside for one in found):,.0f}",
                f"{statistics.median(shares):.2f}",
                f"{statistics.median(one.events for one in found):,.0f}",
            ]
        )
    return report.table(head, rows, texts=1)


if __name__ == "__main__":
    main()
