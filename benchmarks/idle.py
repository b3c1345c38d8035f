"""What an idle pass and the service's statistics cost, by the number of wallets.

`make bench-idle`: two databases on one server, with few wallets and with a million, in
turns.
"""

import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask
from sqlalchemy import text

from benchmarks import database, report
from wallet_app import create_app
from wallet_app.config import Settings
from wallet_app.database import transaction
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statistics import rollup, service_statistics

FEW, MANY = 1_000, 1_000_000
WALLETS_AT_ONCE = 50_000
ROUNDS, CALLS = 100, 10
ADD_WALLETS = text(
    "WITH added AS ("
    " INSERT INTO wallets (uuid, balance, version)"
    " SELECT gen_random_uuid(), 5, 1 FROM generate_series(1, :count) RETURNING id"
    "), posted AS ("
    " INSERT INTO transactions (wallet_id, seq, operation_type, amount,"
    " balance_before, balance_after, reference_id, created_at)"
    " SELECT id, 1, 'DEPOSIT', 5, 0, 5, gen_random_uuid(), now() FROM added"
    " RETURNING wallet_id, seq"
    "), told AS ("
    " INSERT INTO journal (kind, wallet_ids) SELECT 'created', array_agg(id)"
    " FROM added GROUP BY id / 1000"
    ") INSERT INTO journal (kind, wallet_ids, seqs)"
    " SELECT 'posted', array_agg(wallet_id), array_agg(seq) FROM posted"
    " GROUP BY wallet_id / 1000"
)


def mean_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - began) * 1000 / CALLS


def read_statistics() -> None:
    today = datetime.now(UTC).date()
    days = {"first_day": today - timedelta(29), "last_day": today}
    with service_statistics.snapshot() as connection:
        service_statistics.read_service_statistics(
            connection, DEFAULT_TENANT_ID, **days
        )


def fill(wallets: int) -> None:
    """Add wallets with one deposit each, and let the rollup count them."""
    for have in range(0, wallets, WALLETS_AT_ONCE):
        with transaction() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            count = min(WALLETS_AT_ONCE, wallets - have)
            connection.execute(ADD_WALLETS, {"count": count})
    began = time.perf_counter()
    counted = rollup.roll_up()
    rate = counted / (time.perf_counter() - began)
    print(f"fed and counted {counted:,} transactions: {rate:,.0f} a second", flush=True)


def prepared(store: database.Database, wallets: int) -> Flask:
    folder = Path(store.parameters["host"])
    app = create_app(Settings(database_url=store.url, instance_dir=folder))
    with app.app_context():
        fill(wallets)
    with store.connect() as connection:
        connection.execute("VACUUM (ANALYZE)")
    return app


WORK: dict[str, Callable[[], object]] = {
    "idle pass of the rollup": rollup.roll_up,
    "service's statistics": read_statistics,
}


def main() -> None:
    with database.throw_away() as store:
        few = prepared(store, FEW)
        many = prepared(store.another("many"), MANY)
        with store.connect() as connection:
            connection.execute("CHECKPOINT")
        store.settle()
        times = {name: measure(few, many, work) for name, work in WORK.items()}
        print(f"\n{machine(store)}\n")
    head = ["", f"{FEW:,} wallets, ms", f"{MANY:,} wallets, ms", "many / few"]
    rows = [
        [
            name,
            *(f"{statistics.median(side):.2f}" for side in zip(*pairs, strict=True)),
            f"{statistics.median(many / few for few, many in pairs):.2f}",
        ]
        for name, pairs in times.items()
    ]
    print(report.table(head, rows, texts=1))


def measure(
    few: Flask, many: Flask, work: Callable[[], object]
) -> list[tuple[float, float]]:
    """Milliseconds with few wallets and with many, round by round."""
    apps, pairs = [few, many], []
    for number in range(ROUNDS + 1):
        took = {}
        for app in apps if number % 2 else reversed(apps):
            with app.app_context():
                took[app] = mean_ms(work)
        pairs.append((took[few], took[many]))
    # In the first, connections are made and statements prepared.
    return pairs[1:]


def machine(store: database.Database) -> str:
    return (
        f"{os.cpu_count()} cores ({report.processor()}), PostgreSQL {store.version()}; "
        f"medians of {ROUNDS} rounds of {CALLS} calls."
    )


if __name__ == "__main__":
    main()
