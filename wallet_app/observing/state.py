"""What only the database knows: who is how far behind, and how the books stand.

One statement, whose cost does not grow with the data, when Prometheus asks; and not
more often than every few seconds.
"""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from wallet_app.background import heartbeat
from wallet_app.database import AnyRow, reading
from wallet_app.database.connections import hurry
from wallet_app.feed import readers
from wallet_app.statistics import rollup
from wallet_app.webhooks import recording

logger = logging.getLogger(__name__)

KEPT_S = 5.0
# Prometheus gives up after ten seconds, and then has no figures at all.
PATIENCE_S = 3.0
# More are not counted: of mismatches, and of each webhook's deliveries.
MOST_COUNTED = 1000

QUERY = text(
    """
WITH place AS (
    SELECT coalesce(max(position) FILTER (WHERE name = :relay), 0) AS head,
           coalesce(max(position) FILTER (WHERE name = :rollup), 0) AS rollup,
           coalesce(max(position) FILTER (WHERE name = :webhooks), 0) AS webhooks
    FROM feed_readers
), hook AS (
    SELECT count(*) FILTER (WHERE NOT disabled) AS enabled,
           count(*) FILTER (WHERE NOT disabled AND failing_since IS NOT NULL)
               AS failing,
           count(*) FILTER (WHERE disabled) AS disabled,
           min(after_position) FILTER (WHERE NOT disabled) AS after_position,
           coalesce(sum(waiting.deliveries), 0) AS deliveries,
           max(extract(epoch FROM now() - waiting.since)) AS overdue
    FROM webhooks LEFT JOIN LATERAL (
        SELECT count(*) AS deliveries, min(next_attempt_at) AS since FROM (
            SELECT next_attempt_at FROM webhook_deliveries
            WHERE webhook_id = webhooks.id AND state = 'pending'
            ORDER BY next_attempt_at LIMIT :most
        ) AS first
    ) AS waiting ON NOT disabled
    WHERE NOT deleted
), activity AS (
    SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) AS transaction,
           max(age(backend_xmin)) AS snapshot
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'
)
SELECT
    (SELECT extract(epoch FROM now() - created_at) FROM journal
     WHERE kind <> 'behind' ORDER BY id LIMIT 1) AS feed_lag,
    place.head - place.rollup AS rollup_lag,
    CASE WHEN hook.enabled > 0
         THEN place.head - least(place.head,
                                 greatest(place.webhooks, hook.after_position))
         ELSE 0 END AS webhooks_lag,
    (SELECT extract(epoch FROM now() - seen_at) FROM heartbeats
     WHERE name = :rollup_beat) AS rollup_age,
    (SELECT count(*) FROM heartbeats WHERE starts_with(name, :worker)
     AND seen_at > now() - :alive_for) AS workers,
    (SELECT count(*) FROM (
        SELECT FROM holds WHERE status = 'open' AND expires_at <= now() LIMIT :most
     ) AS counted) AS overdue_holds,
    (SELECT extract(epoch FROM now() - min(expires_at)) FROM holds
     WHERE status = 'open' AND expires_at <= now()) AS holds_overdue,
    (SELECT count(*) FROM (
        SELECT FROM imports WHERE state IN ('pending', 'running') LIMIT :most
     ) AS counted) AS imports,
    (SELECT sum(rows - applied - replayed - refused) FROM (
        SELECT * FROM imports WHERE state IN ('pending', 'running')
        ORDER BY created_at LIMIT :most
     ) AS counted) AS import_rows,
    (SELECT extract(epoch FROM now() - min(created_at)) FROM imports
     WHERE state IN ('pending', 'running')) AS import_age,
    hook.deliveries, greatest(hook.overdue, 0) AS overdue,
    hook.failing, hook.disabled, activity.transaction, activity.snapshot,
    sweep.wallets, sweep.entries,
    extract(epoch FROM now() - coalesce(sweep.finished_at, sweep.started_at))
        AS sweep_age,
    (SELECT count(*) FROM (
        SELECT FROM books_mismatches WHERE cleared_at IS NULL LIMIT :most
     ) AS counted) AS mismatches
FROM place CROSS JOIN hook CROSS JOIN activity
LEFT JOIN books_sweeps AS sweep ON true
"""
)
PARAMETERS = {
    "relay": readers.RELAY,
    "rollup": rollup.READER,
    "webhooks": recording.READER,
    "rollup_beat": heartbeat.ROLLUP,
    "worker": heartbeat.WORKER,
    "alive_for": heartbeat.ALIVE_FOR,
    "most": MOST_COUNTED,
}

# By the query's column: the metric's name, and what it says. NULL is 0.
GAUGES = {
    "feed_lag": (
        "wallet_feed_lag_seconds",
        "Age of the oldest change that is not in the feed yet",
    ),
    "rollup_lag": (
        "wallet_rollup_lag_events",
        "Events in the feed that the statistics' rollup has still to count",
    ),
    "rollup_age": (
        "wallet_rollup_age_seconds",
        "Since the rollup was up to date for the last time",
    ),
    "workers": ("wallet_workers", "Celery workers that were seen lately"),
    "webhooks_lag": (
        "wallet_webhooks_lag_events",
        "Events in the feed that the webhooks' recorder has still to read",
    ),
    "deliveries": (
        "wallet_webhook_deliveries_pending",
        f"Deliveries to be made, of each webhook counted up to {MOST_COUNTED:,}",
    ),
    "overdue": (
        "wallet_webhook_overdue_seconds",
        "By how much the delivery that is due for longest is late",
    ),
    "overdue_holds": (
        "wallet_holds_overdue",
        f"Holds whose time is over and nobody has released, up to {MOST_COUNTED:,}",
    ),
    "holds_overdue": (
        "wallet_holds_overdue_seconds",
        "Since when the first of them is",
    ),
    "imports": (
        "wallet_imports_unfinished",
        f"Imports that wait or are being posted, up to {MOST_COUNTED:,}",
    ),
    "import_rows": ("wallet_import_rows_left", "Rows that they have still to post"),
    "import_age": ("wallet_import_oldest_seconds", "Since when the first of them is"),
    "failing": ("wallet_webhooks_failing", "Webhooks whose last attempt has failed"),
    "disabled": ("wallet_webhooks_disabled", "Webhooks that are disabled"),
    "transaction": (
        "wallet_oldest_transaction_seconds",
        "Age of the oldest open transaction in the database",
    ),
    "snapshot": (
        "wallet_oldest_snapshot_transactions",
        "Transactions since the oldest snapshot that is in use",
    ),
    "sweep_age": (
        "wallet_books_sweep_age_seconds",
        "Since the books were checked to the end; during a check, since its beginning",
    ),
    "mismatches": (
        "wallet_books_mismatches",
        f"What does not agree in the books, counted up to {MOST_COUNTED:,}",
    ),
}
COUNTERS = {
    "wallets": ("wallet_books_wallets_checked", "Wallets checked by the sweeps"),
    "entries": ("wallet_books_entries_checked", "Entries checked by the sweeps"),
}
UP = ("wallet_database_up", "Whether the database has told these figures")


class DatabaseState(Collector):
    """Asks the database when Prometheus asks, unless it has just done so."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.row: AnyRow | None = None
        self.asked_at = -KEPT_S

    def describe(self) -> Iterator[Metric]:
        """Nothing: a registry would ask the database for it."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        row = self.recent()
        yield GaugeMetricFamily(*UP, value=float(row is not None))
        if row is None:
            return
        for name, (metric, meaning) in GAUGES.items():
            yield GaugeMetricFamily(metric, meaning, value=number(row, name))
        for name, (metric, meaning) in COUNTERS.items():
            yield CounterMetricFamily(metric, meaning, value=number(row, name))

    def recent(self) -> AnyRow | None:
        with self.mutex:
            if time.monotonic() - self.asked_at >= KEPT_S:
                self.row = ask()
                self.asked_at = time.monotonic()
            return self.row


def ask() -> AnyRow | None:
    """The figures; None if the database does not tell them."""
    hurry(PATIENCE_S)
    try:
        with reading() as connection:
            return connection.execute(QUERY, PARAMETERS).one()
    except SQLAlchemyError as error:
        # Whatever it is: what the processes have counted must still be told.
        logger.warning("metrics: database: %s", error)
        return None


def number(row: AnyRow, name: str) -> float:
    value: Any = row._mapping[name]
    return 0.0 if value is None else float(value)
