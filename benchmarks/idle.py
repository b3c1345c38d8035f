"""What an idle pass and the service's statistics cost, by the number of wallets.

`make bench-idle`: the same, with few wallets and with a million, in one run.
"""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from benchmarks import database
from wallet_app import create_app
from wallet_app.config import Settings
from wallet_app.database import transaction
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statistics import rollup, service_statistics

FEW, MANY = 1_000, 1_000_000
RUNS = 50
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


def median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def read_statistics() -> None:
    today = datetime.now(UTC).date()
    days = {"first_day": today - timedelta(29), "last_day": today}
    with service_statistics.snapshot() as connection:
        service_statistics.read_service_statistics(
            connection, DEFAULT_TENANT_ID, **days
        )


def fill_up_to(count: int, have: int) -> None:
    """Add wallets with one deposit each, and let the rollup count them."""
    for _ in range(have, count, 50_000):
        with transaction() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(ADD_WALLETS, {"count": min(50_000, count - have)})
    began = time.perf_counter()
    counted = rollup.roll_up()
    seconds = time.perf_counter() - began
    print(
        f"fed and counted {counted:,} transactions: {counted / seconds:,.0f} a second"
    )


def main() -> None:
    figures: dict[int, tuple[float, float]] = {}
    with database.throw_away() as store:
        folder = Path(store.parameters["host"])
        app = create_app(Settings(database_url=store.url, instance_dir=folder))
        with app.app_context():
            have = 0
            for count in (FEW, MANY):
                fill_up_to(count, have)
                have = count
                with transaction() as connection:
                    # An automatic one may be at work.
                    connection.execute(text("SET LOCAL lock_timeout = 0"))
                    connection.execute(text("SET LOCAL statement_timeout = 0"))
                    connection.execute(text("ANALYZE"))
                figures[count] = (
                    median_ms(rollup.roll_up),
                    median_ms(read_statistics),
                )
    print("| wallets | idle pass | GET /statistics |\n| --- | --- | --- |")
    for count, (idle, read) in figures.items():
        print(f"| {count:,} | {idle:.1f} ms | {read:.1f} ms |")
    few, many = figures[FEW], figures[MANY]
    print(f"ratios: {many[0] / few[0]:.2f}, {many[1] / few[1]:.2f}", file=sys.stderr)


if __name__ == "__main__":
    main()
