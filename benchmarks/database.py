"""The throw-away PostgreSQL: made, filled and checked."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy.engine import make_url

from wallet_app.standalone import embedded, embedded_cluster

ROOT = Path(__file__).resolve().parents[1]

# Every wallet begins with this deposit, as often as it has transactions.
OPENING_AMOUNT = 1_000_000
ADD_WALLETS = """
    INSERT INTO wallets (uuid, balance, version)
    SELECT uuidv7(), %(rows)s * %(amount)s, %(rows)s
    FROM generate_series(1, %(wallets)s::bigint)
"""
# In the order of time, as it would have come, so that the indexes are as they would be.
ADD_HISTORY = """
    INSERT INTO transactions (
        wallet_id, seq, operation_type, amount, balance_before, balance_after,
        reference_id, created_at
    )
    SELECT wallets.id, seq, 'DEPOSIT', %(amount)s, (seq - 1) * %(amount)s,
        seq * %(amount)s, uuidv7(), now() - interval '1 day' + seq * interval '1 s'
    FROM generate_series(%(first)s::bigint, %(last)s) AS seq CROSS JOIN wallets
    ORDER BY seq, wallets.id
"""
STEPS_AT_A_TIME = 50
SETTLE_SECONDS = 0.2
SETTLE_TIMEOUT_SECONDS = 10
WRONG_WALLETS = """
    SELECT count(*) FROM wallets LEFT JOIN (
        SELECT wallet_id, count(*) AS steps, max(seq) AS last,
            sum(balance_after - balance_before) AS moved
        FROM transactions GROUP BY wallet_id
    ) AS history ON wallet_id = wallets.id
    WHERE (version, version, balance) IS DISTINCT FROM (steps, last, moved)
"""


class BooksError(Exception):
    """A balance is not what its transactions add up to."""


class Database:
    """A migrated database of the running server; `url` is SQLAlchemy's."""

    def __init__(self, url: str, postmaster: psutil.Process) -> None:
        self.url = url
        self.postmaster = postmaster

    @property
    def parameters(self) -> dict[str, Any]:
        """The same for psycopg."""
        url = make_url(self.url)
        return {"dbname": url.database, "user": url.username, **url.query}

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(**self.parameters, autocommit=True)

    def fill(self, *, wallets: int, rows: int) -> list[str]:
        """Add wallets with so many transactions each; return the wallets' uuids."""
        values = {"wallets": wallets, "rows": rows, "amount": OPENING_AMOUNT}
        with self.connect() as connection:
            # Without the triggers of the foreign keys: the rows are right.
            connection.execute("SET session_replication_role = replica")
            connection.execute(ADD_WALLETS, values)
            for first in range(1, rows + 1, STEPS_AT_A_TIME):
                last = min(rows, first + STEPS_AT_A_TIME - 1)
                connection.execute(
                    ADD_HISTORY, {**values, "first": first, "last": last}
                )
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
            found = connection.execute("SELECT uuid::text FROM wallets ORDER BY id")
            return [uuid for (uuid,) in found]

    def check_books(self) -> None:
        """Raises BooksError if a wallet is not the sum of its transactions."""
        with self.connect() as connection:
            row = connection.execute(WRONG_WALLETS).fetchone()
        if row != (0,):
            raise BooksError(f"{row} wallets do not add up.")

    def version(self) -> str:
        with self.connect() as connection:
            return connection.info.parameter_status("server_version") or ""

    def another(self, name: str) -> "Database":
        """A second database, empty, in the same server."""
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = make_url(self.url).set(database=name).render_as_string(False)
        return migrated(url, self.postmaster)

    def settle(self) -> None:
        """Wait until the server rests from the requests of an earlier load."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_SECONDS
        used_s = -1.0
        while used_s != (used_s := self.cpu_seconds()) and time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)

    def cpu_seconds(self) -> float:
        """What all of the server's processes have used, those that ended included."""
        used = 0.0
        for process in [self.postmaster, *self.postmaster.children()]:
            with suppress(psutil.NoSuchProcess):
                used += used_by(process)
        times = self.postmaster.cpu_times()
        return used + times.children_user + times.children_system


def used_by(process: psutil.Process) -> float:
    """The process's own CPU time, in seconds."""
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def throw_away() -> Iterator[Database]:
    """A migrated database in a temporary folder (TMPDIR says on which disk)."""
    # Ended by make, this program stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="wallet-bench-") as folder:
        data_dir = Path(folder).resolve() / "pg"
        with embedded.start(data_dir) as server:
            pid = int(embedded_cluster.server_note(data_dir)[0])
            yield migrated(server.url, psutil.Process(pid))


def migrated(url: str, postmaster: psutil.Process) -> Database:
    subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"],
        cwd=ROOT,
        env={**os.environ, "WALLET_DATABASE_URL": url},
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return Database(url, postmaster)
