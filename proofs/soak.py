"""Mixed load at 70 % of the peak, for long: nothing grows, nothing slows down."""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg

from proofs.client import make_wallets
from proofs.evidence import (
    Evidence,
    arguments,
    check_books,
    milliseconds,
    percentile,
)
from proofs.mixed_load import CLIENTS, Answered, MixedLoad
from proofs.service import Service, running
from tests.services.workers import Worker

WALLETS = 500
MAKERS = 10
SHARE_OF_PEAK = 0.7
WARM_UP_S = 5
# The first and the last part of the time are compared.
PARTS = 5
P99_BOUND = 1.3
# A part's 99th percentile is the median of those of its windows: a moment in which the
# machine itself stood still is not the end of the soak.
WINDOW_S = 10
# Python's heap is not given back page by page: what grows is more than this.
FLAT = 1.15
LEAST_HOT_SHARE = 0.9
TABLE_BOUND = 1.5
MIB = 2**20


@dataclass(frozen=True)
class Sight:
    """What there is at one moment; memory in bytes, by process."""

    memory: dict[str, int]
    files: int
    connections: int
    dead_rows: int
    table_bytes: int
    updates: int
    hot_updates: int


WALLETS_TABLE = """
    SELECT n_dead_tup, pg_table_size(relid), n_tup_upd, n_tup_hot_upd,
           (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())
    FROM pg_stat_user_tables WHERE relname = 'wallets'
"""


def look(service: Service, celery: Worker) -> Sight:
    named = {f"web worker {n}": one for n, one in enumerate(service.workers(), 1)}
    named["web master"] = psutil.Process(service.gunicorn.pid)
    main = psutil.Process(celery.process.pid)
    named["Celery"] = main
    children = main.children(recursive=True)
    named |= {f"Celery's child {n}": one for n, one in enumerate(children, 1)}
    with service.connect() as connection:
        row = connection.execute(WALLETS_TABLE).fetchone()
    assert row is not None
    dead, size, updates, hot, connections = row
    return Sight(
        memory={name: process.memory_info().rss for name, process in named.items()},
        files=sum(process.num_fds() for process in named.values()),
        connections=connections,
        dead_rows=dead,
        table_bytes=size,
        updates=updates,
        hot_updates=hot,
    )


@contextmanager
def celery_running(service: Service) -> Iterator[Worker]:
    worker = Worker(service.environment, service.folder / "celery.log")
    try:
        yield worker
    finally:
        worker.stop()


async def make_many(port: int) -> list[str]:
    share = WALLETS // MAKERS
    made = await asyncio.gather(
        *(make_wallets(port, share, "1000.00") for _ in range(MAKERS))
    )
    return [wallet for some in made for wallet in some]


async def soak(
    service: Service, celery: Worker, seconds: int, peak_seconds: int
) -> tuple[MixedLoad, float, float, list[Sight]]:
    """The load, its peak and beginning, and sights at start, middle and end."""
    load = MixedLoad(service.port, await make_many(service.port))
    await load.peak(WARM_UP_S)
    peak = await load.peak(peak_seconds)
    rate = SHARE_OF_PEAK * peak
    # The queue that the peak has left behind is not the soak's.
    await load.round(WARM_UP_S, rate)
    began = time.monotonic()
    whole = asyncio.create_task(load.round(seconds, rate))
    sights = []
    for place in range(3):
        moment = began + seconds * place / 2
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        sights.append(await asyncio.to_thread(look, service, celery))
    await whole
    load.close()
    return load, peak, began, sights


def main() -> int:
    options = arguments(__doc__, minutes=20, seconds=0, peak=20)
    seconds = options.seconds or options.minutes * 60
    evidence = Evidence(f"Soak: {CLIENTS} clients, {WALLETS} wallets, {seconds:,} s")
    with running() as service, celery_running(service) as celery:
        load, peak, began, sights = asyncio.run(
            soak(service, celery, seconds, options.peak)
        )
        judge_answers(evidence, load, peak, began, seconds)
        judge_sights(evidence, sights)
        with service.connect() as connection:
            judge_money(evidence, load, connection)
    return evidence.conclude()


def judge_answers(
    evidence: Evidence, load: MixedLoad, peak: float, began: float, seconds: int
) -> None:
    soaked = [one for one in load.answered if one.due >= began]
    part_s = seconds / PARTS
    parts = {
        "first": [one for one in soaked if one.due < began + part_s],
        "last": [one for one in soaked if one.due >= began + seconds - part_s],
    }
    typical = {name: typical_p99(part) for name, part in parts.items()}
    evidence.figure("peak, answers a second", round(peak))
    evidence.figure("soak, answers a second", round(len(soaked) / seconds))
    evidence.figure("answers 200", len(soaked))
    evidence.figure("anything else", load.errors.total())
    for name, part in parts.items():
        seconds_of_all = [one.seconds for one in part]
        middle, high = (percentile(seconds_of_all, share) for share in (0.5, 0.99))
        evidence.figure(f"median, {name} fifth", milliseconds(middle))
        evidence.figure(f"p99, {name} fifth", milliseconds(high))
        evidence.figure(
            f"p99 of its windows, {name} fifth", milliseconds(typical[name])
        )
    evidence.check_none("every answer is 200", load.errors.items())
    evidence.check(
        f"p99 in the last fifth is within {P99_BOUND} of the first",
        typical["last"] <= P99_BOUND * typical["first"],
    )


def typical_p99(part: list[Answered]) -> float:
    """The median of the windows' 99th percentiles, in seconds."""
    windows: dict[int, list[float]] = {}
    for one in part:
        windows.setdefault(int(one.due / WINDOW_S), []).append(one.seconds)
    return statistics.median(percentile(values, 0.99) for values in windows.values())


def judge_sights(evidence: Evidence, sights: list[Sight]) -> None:
    start, middle, end = sights

    def figure(name: str, values: list[object]) -> None:
        evidence.figure(f"{name}: start, middle, end", ", ".join(map(str, values)))

    for name in end.memory:
        figure(f"MiB of {name}", [s.memory.get(name, 0) // MIB for s in sights])
    figure("open files", [s.files for s in sights])
    figure("connections to PostgreSQL", [s.connections for s in sights])
    figure("wallets, dead rows", [s.dead_rows for s in sights])
    figure("wallets, KiB", [s.table_bytes // 1024 for s in sights])
    updates = end.updates - start.updates
    hot_share = (end.hot_updates - start.hot_updates) / max(1, updates)
    evidence.figure("updates of wallets", updates)
    evidence.figure("  of which heap-only (HOT)", f"{hot_share:.1%}")
    evidence.check_none(
        "every process's memory is flat",
        [
            name
            for name in end.memory
            if end.memory[name] > FLAT * middle.memory.get(name, 0)
        ],
    )
    evidence.check("open files are flat", end.files <= FLAT * middle.files)
    evidence.check(
        "connections are flat", end.connections <= FLAT * middle.connections + 2
    )
    evidence.check("updates are heap-only", hot_share >= LEAST_HOT_SHARE)
    evidence.check(
        "the table of wallets does not grow",
        end.table_bytes <= TABLE_BOUND * middle.table_bytes,
    )


def judge_money(
    evidence: Evidence, load: MixedLoad, connection: psycopg.Connection
) -> None:
    row = connection.execute("SELECT count(*) FROM transactions").fetchone()
    assert row is not None
    evidence.check(
        "the histories hold what was answered, and nothing else",
        row[0] == load.entries + WALLETS,
    )
    check_books(evidence, connection)


if __name__ == "__main__":
    sys.exit(main())
