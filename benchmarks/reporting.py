"""What the reports cost: `python -m benchmarks.reporting` (about six minutes)."""

import argparse
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask
from sqlalchemy import event, text

from benchmarks import database, workloads
from benchmarks.candidates import serve
from wallet_app import create_app
from wallet_app.config import Settings
from wallet_app.database import db, reading
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statements import lifecycle, writer
from wallet_app.statistics import rollup

WALLETS, ROWS_EACH, LONG = 10_000, 100, 1_000_000
HOT_SECONDS = 20
READS = 300
LONG_WALLET = """
    INSERT INTO wallets (uuid, balance, version, updated_at)
    VALUES (%(uuid)s, %(rows)s, %(rows)s, now())
"""
LONG_HISTORY = """
    INSERT INTO transactions (wallet_id, seq, operation_type, amount, balance_before,
        balance_after, description, reference_id, created_at)
    SELECT id, seq, 'DEPOSIT', 1, seq - 1, seq, 'Order ' || seq, gen_random_uuid(),
        now() - interval '90 days' + seq * interval '7 s'
    FROM wallets, generate_series(1, %(rows)s) AS seq WHERE uuid = %(uuid)s
"""
BY_HAND = text(
    "SELECT operation_type, count(*), sum(amount), min(amount), max(amount),"
    " min(created_at), max(created_at) FROM transactions"
    " WHERE wallet_id = (SELECT id FROM wallets WHERE uuid = :uuid)"
    " GROUP BY operation_type"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statement", nargs=3, metavar=("URL", "DIR", "ID"))
    parser.add_argument("--rollup", nargs=2, metavar=("URL", "DIR"))
    options = parser.parse_args()
    if options.rollup:
        count_all(*options.rollup)
        return
    if options.statement:
        write_statement(*options.statement)
        return
    with database.throw_away() as store:
        app = create_app(settings(store.url, Path(store.parameters["host"])))
        with app.app_context():
            print("Filling 2,000,000 transactions ...", flush=True)
            wallets = store.fill(wallets=WALLETS, rows=ROWS_EACH)
            measure_rollup(store, wallets[0])
            long, short = add_long_wallet(store), uuid.UUID(wallets[1])
            while rollup.roll_up():
                pass
            measure_reads(app, long, short)
            measure_statement(store.url, long)


def settings(url: str, folder: Path) -> Settings:
    return Settings(
        database_url=url, instance_dir=folder, statements_dir=folder / "statements"
    )


def add_long_wallet(store: database.Database) -> uuid.UUID:
    values = {"uuid": uuid.uuid4(), "rows": LONG}
    with store.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(LONG_WALLET, values)
        connection.execute(LONG_HISTORY, values)
        connection.execute("VACUUM ANALYZE")
    return values["uuid"]  # type: ignore[return-value]


def measure_rollup(store: database.Database, hot_wallet: str) -> None:
    """A million fresh transactions, beside a wallet that takes all the load it can."""
    workload = workloads.hot([hot_wallet])
    with serve("The web server", "wsgi:app", store.url) as server:
        server.load(workload, 5)
        alone = [server.load(workload, HOT_SECONDS)]
        folder = str(store.parameters["host"])
        command = [sys.executable, "-m", "benchmarks.reporting", "--rollup"]
        with subprocess.Popen([*command, store.url, folder]) as counting:
            time.sleep(1.5)
            beside = server.load(workload, HOT_SECONDS)
            assert counting.poll() is None, "the rollup was over before the load"
        alone.append(server.load(workload, HOT_SECONDS))
    rates = [one.requests / one.seconds for one in alone]
    rate = beside.requests / beside.seconds
    say(
        "hot wallet without the rollup, before and after",
        f"{rates[0]:.0f}, {rates[1]:.0f} op/s",
    )
    say(
        "hot wallet beside the rollup",
        f"{rate:.0f} op/s, {rate / max(rates):.2f} of it",
    )


def count_all(url: str, folder: str) -> None:
    """The rollup at Celery's pace."""
    slowest: list[float] = []
    with create_app(settings(url, Path(folder))).app_context():
        listen(slowest)
        started = time.monotonic()
        assert rollup.roll_up_for(600)
        took = time.monotonic() - started
    say("rollup of 1,000,000 transactions over 10,000 wallets", f"{took:.1f} s")
    say("its longest statement", f"{max(slowest) * 1000:.0f} ms")


def listen(durations: list[float]) -> None:
    """Note how long every statement of this process takes."""
    started = threading.local()

    @event.listens_for(db.engine, "before_cursor_execute")
    def before(*_: object) -> None:
        started.at = time.monotonic()

    @event.listens_for(db.engine, "after_cursor_execute")
    def after(*_: object) -> None:
        durations.append(time.monotonic() - started.at)


def measure_reads(app: Flask, long: uuid.UUID, short: uuid.UUID) -> None:
    client = app.test_client()
    p50 = {
        name: median(lambda uuid=uuid: client.get(f"/api/v1/wallets/{uuid}/statistics"))
        for name, uuid in (("100", short), ("1,000,000", long))
    }
    for name, seconds in p50.items():
        say(
            f"GET statistics of a wallet with {name} transactions, p50",
            f"{seconds * 1000:.2f} ms",
        )
    say("the one against the other", f"{p50['1,000,000'] / p50['100']:.2f} times")

    def by_hand() -> None:
        with reading() as connection:
            connection.execute(BY_HAND, {"uuid": long}).all()

    seconds = median(by_hand, 7)
    say("the same figures by SQL from its transactions", f"{seconds * 1000:.0f} ms")
    say("which takes", f"{seconds / p50['1,000,000']:.0f} times as long")
    for path in ("summaries?granularity=day", "balance?at=2026-01-01T00:00:00Z"):
        seconds = median(
            lambda path=path: client.get(f"/api/v1/wallets/{long}/{path}"), 50
        )
        say(f"GET {path} of the same wallet, p50", f"{seconds * 1000:.2f} ms")
    seconds = median(lambda: client.get("/api/v1/statistics"), 20)
    say("GET /api/v1/statistics over 10,001 wallets, p50", f"{seconds * 1000:.1f} ms")


def median(call: Callable[[], object], times: int = READS) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure_statement(url: str, wallet: uuid.UUID) -> None:
    now = datetime.now(UTC)
    for file_format in ("csv", "json"):
        statement = lifecycle.request(
            (DEFAULT_TENANT_ID, wallet),
            from_at=now - timedelta(days=200),
            to_at=now - timedelta(minutes=5),
            file_format=file_format,
        )
        folder = str(Path(db.engine.url.query["host"]))
        command = [sys.executable, "-m", "benchmarks.reporting", "--statement"]
        subprocess.run([*command, url, folder, str(statement.id)], check=True)


def write_statement(url: str, folder: str, statement_id: str) -> None:
    """In a fresh process, so that its memory is its own."""
    with create_app(settings(url, Path(folder))).app_context():
        with reading() as connection:
            statement = lifecycle.find(
                connection, DEFAULT_TENANT_ID, uuid.UUID(statement_id)
            )
        Path("/proc/self/clear_refs").write_text("5")
        before = memory_mb("VmRSS")
        started = time.monotonic()
        assert writer.write(statement.id)
        took = time.monotonic() - started
        grown = memory_mb("VmHWM") - before
    rows = statement.last_seq - statement.after_seq
    say(f"{statement.format} statement of {rows:,} rows", f"{took:.1f} s")
    say("peak memory above that of the process before", f"{grown:.0f} MB")


def memory_mb(name: str) -> float:
    """VmRSS is what this process has, VmHWM the most it had since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def say(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
