"""A million wallets and their transactions: each search looks at a bounded part.

Builds them with INSERT ... SELECT, then has PostgreSQL explain each statement of each
search, and counts the rows that its scans have met.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
from sqlalchemy import Connection, event, text

from proofs.evidence import Evidence
from proofs.service import ROOT
from wallet_app import create_app
from wallet_app.config import Settings
from wallet_app.database import db
from wallet_app.finding import walks
from wallet_app.finding.transaction_queries import find_entries
from wallet_app.finding.wallet_queries import find_wallets
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.standalone import embedded

LIMIT = 50
# The walk, the rows that it leads to, their details or wallets; and twice what a look
# at the index of metadata takes.
MOST_ROWS = 6 * walks.MOST_LOOKED_AT
CHANGED_BY_OPERATIONS = ("balance", "held", "version", "updated_at", "next_expiry")

BUILD = (
    """INSERT INTO wallets (uuid, currency, status, balance, version,
                            created_at, updated_at)
    SELECT gen_random_uuid(), (ARRAY['USD', 'USD', 'EUR', 'JPY'])[1 + n % 4],
           CASE WHEN n % 500 = 0 THEN 'frozen' ELSE 'active' END, 1 + n % 1000, 1,
           timestamptz '2026-01-01Z' + n * interval '1 second',
           timestamptz '2026-06-01Z' + n * interval '1 second'
    FROM generate_series(1, :wallets) AS n""",
    """INSERT INTO wallet_details (wallet_id, tenant_id, uuid, created_at, owner, name,
                                   labels)
    SELECT id, tenant_id, uuid, created_at,
           CASE WHEN id % 2 = 0 THEN 'everybody' ELSE 'customer ' || id END,
           CASE WHEN id % 10 = 0 THEN 'savings ' || id END,
           CASE WHEN id % 10000 = 7 THEN '{common,rare}'::varchar[]
                ELSE '{common}'::varchar[] END
    FROM wallets WHERE id % 2 = 0 OR id % 5 = 2""",
    """INSERT INTO wallet_labels (tenant_id, label, created_at, uuid, wallet_id)
    SELECT tenant_id, unnest(labels), created_at, uuid, wallet_id
    FROM wallet_details""",
    """INSERT INTO transactions (wallet_id, seq, operation_type, amount, balance_before,
                                 balance_after, reference_id, created_at, metadata)
    SELECT id, 1, 'DEPOSIT', balance, 0, balance, uuid, updated_at,
           CASE WHEN id % 5 = 0
           THEN jsonb_build_object('order', id::text, 'shop', id % 3) END
    FROM wallets""",
    "ANALYZE wallets, wallet_details, wallet_labels, transactions",
)

WALLET_SEARCHES: list[dict[str, Any]] = [
    {},
    {"owner": "everybody"},
    {"owner": "customer 7"},
    {"owner": "nobody"},
    {"label": "common"},
    {"label": "rare"},
    {"label": "none"},
    {"currency": "JPY"},
    {"currency": "CHF"},
    {"status": "frozen"},
    {"status": "closed"},
    {"status": "active", "currency": "EUR"},
    {"min_balance": 500, "max_balance": 510},
    {"min_balance": 100_000},
    {"owner": "everybody", "label": "none"},
    {"label": "common", "currency": "JPY", "max_balance": -1},
]
TRANSACTION_SEARCHES: list[dict[str, Any]] = [
    {},
    {"operation_type": "DEPOSIT"},
    {"operation_type": "CAPTURE"},
    {"min_amount": 100_000},
    {"min_amount": 5, "max_amount": 5},
    {"metadata": {"order": "5000"}},
    {"metadata": {"order": "none"}},
    {"metadata": {"shop": 1}},
    {"metadata": {"shop": 1}, "operation_type": "CAPTURE"},
    {"wallet_id": 5000},
    {"wallet_id": 5000, "metadata": {"order": "5000"}},
]


def build(connection: Connection, *, wallets: int) -> None:
    """Fill an empty database, in the caller's transaction."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    for statement in BUILD:
        connection.execute(text(statement), {"wallets": wallets})


@contextmanager
def explained() -> Iterator[list[Any]]:
    """The plans, as PostgreSQL has gone about them, of whatever is executed inside."""
    plans: list[Any] = []

    def explain(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        if statement.startswith("SELECT"):
            sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            (plan,) = connection.exec_driver_sql(sql, parameters).scalar_one()
            plans.append(plan["Plan"])

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_met(plans: list[Any]) -> int:
    """How many rows the scans of these plans have read, those that did not pass too."""
    return sum(
        round(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            * node["Actual Loops"]
        )
        for plan in plans
        for node in nodes(plan)
        if "Relation Name" in node
    )


def entries_met(plans: list[Any]) -> int:
    """How many entries of the index of metadata were read: it knows no order."""
    return sum(
        round(node["Actual Rows"] * node["Actual Loops"])
        for plan in plans
        for node in nodes(plan)
        if node["Node Type"] == "Bitmap Index Scan"
    )


def sequential_scans(plans: list[Any]) -> list[str]:
    return [
        node["Relation Name"]
        for plan in plans
        for node in nodes(plan)
        if node["Node Type"] == "Seq Scan"
    ]


def searches() -> Iterator[tuple[str, list[Any]]]:
    """Each search by name, with the plans of its first page and of its second."""
    for filters in WALLET_SEARCHES:
        for sort in ("-created_at", "created_at", "name"):
            yield (
                f"wallets by {filters}, {sort}",
                first_pages(find_wallets, filters, sort=sort),
            )
    for filters in TRANSACTION_SEARCHES:
        yield f"transactions by {filters}", first_pages(find_entries, filters)


def first_pages(find: Any, filters: dict[str, Any], **options: Any) -> list[Any]:
    """The plans of a search's first page, or of its second if that met more rows."""
    after, worst = None, []
    for _ in range(2):
        with explained() as plans, db.engine.connect() as connection:
            found = find(
                connection,
                DEFAULT_TENANT_ID,
                filters,
                limit=LIMIT,
                after=after,
                **options,
            )
        worst = max(plans, worst, key=rows_met)
        after = found.end
        if after is None:
            break
    return worst


def indexes_in_the_way(connection: Connection) -> list[str]:
    """Indexes of wallets that name what an operation changes: its updates are HOT."""
    definitions = connection.scalars(
        text("SELECT indexdef FROM pg_indexes WHERE tablename = 'wallets'")
    )
    return [
        one
        for one in definitions
        if any(column in one.partition("USING")[2] for column in CHANGED_BY_OPERATIONS)
    ]


def judge(evidence: Evidence) -> None:
    scans, too_many, most, slowest, entries = [], [], 0, 0.0, 0
    for name, plans in searches():
        met, took = rows_met(plans), sum(plan["Actual Total Time"] for plan in plans)
        print(f"{met:>8,} rows {took:>8.2f} ms  {name}")
        most, slowest = max(most, met), max(slowest, took)
        entries = max(entries, entries_met(plans))
        scans += [f"{name}: {table}" for table in sequential_scans(plans)]
        if met > MOST_ROWS:
            too_many.append(f"{name}: {met:,}")
    evidence.figure("most rows met for a page", f"{most:,}")
    evidence.figure("most entries of the index of metadata", f"{entries:,}")
    evidence.figure("slowest page, ms", f"{slowest:.0f}")
    evidence.check_none("no table is read from its beginning to its end", scans)
    evidence.check_none(f"no page meets more than {MOST_ROWS:,} rows", too_many)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wallets", type=int, default=1_000_000)
    wallets = parser.parse_args().wallets
    evidence = Evidence("Finding: what a page costs among a million")
    with (
        tempfile.TemporaryDirectory(prefix="wallet-finding-") as name,
        embedded.start(Path(name) / "pg") as server,
    ):
        app = create_app(Settings(database_url=server.url, instance_dir=Path(name)))
        with app.app_context():
            flask_migrate.upgrade(directory=str(ROOT / "migrations"))
            began = time.monotonic()
            with db.engine.begin() as connection:
                build(connection, wallets=wallets)
            evidence.figure("wallets", f"{wallets:,}")
            evidence.figure("seconds to build", f"{time.monotonic() - began:.0f}")
            judge(evidence)
            with db.engine.connect() as connection:
                evidence.check_none(
                    "no index has what an operation changes",
                    indexes_in_the_way(connection),
                )
            db.engine.dispose()
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
