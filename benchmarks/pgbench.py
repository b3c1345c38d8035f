"""The yardstick of PostgreSQL: pgbench does the same work, a transaction for each."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.candidates import Outcome
from benchmarks.database import Database
from benchmarks.quantiles import quantile
from benchmarks.workloads import ZIPF_EXPONENT, Workload
from wallet_app.standalone import embedded_cluster

# More of them make a hot row slower: they stand in line for its lock.
CLIENTS = 16
TABLES = """
    CREATE TABLE pgbench_wallets (
        id bigint PRIMARY KEY, balance numeric NOT NULL, version bigint NOT NULL
    ) WITH (fillfactor = 50);
    CREATE TABLE pgbench_steps (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        wallet_id bigint NOT NULL,
        seq bigint NOT NULL,
        amount numeric NOT NULL,
        balance_after numeric NOT NULL,
        created_at timestamptz NOT NULL,
        UNIQUE (wallet_id, seq)
    );
    INSERT INTO pgbench_wallets SELECT id, 0, 0 FROM generate_series(1, {wallets}) id;
"""
SCRIPT = """
\\set id {wallet}
BEGIN;
SELECT balance, version FROM pgbench_wallets WHERE id = :id FOR UPDATE \\gset
UPDATE pgbench_wallets SET balance = :balance + 1, version = :version + 1
    WHERE id = :id;
INSERT INTO pgbench_steps (wallet_id, seq, amount, balance_after, created_at)
    VALUES (:id, :version + 1, 1, :balance + 1, now());
COMMIT;
"""


@dataclass(frozen=True)
class PgBench:
    """Wallets of its own in the same database; `wallet_of` picks one by workload."""

    name: str
    database: Database
    wallet_of: dict[str, str]

    def cpu_seconds(self) -> float:
        """There are no web workers."""
        return 0.0

    def load(self, workload: Workload, seconds: int) -> Outcome:
        """Lock, update and insert for a time."""
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "script.sql")
            script.write_text(SCRIPT.format(wallet=self.wallet_of[workload.name]))
            finished = subprocess.run(
                [*self.command(), f"--time={seconds}", f"--file={script}"],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            )
            latencies_ms = [
                int(line.split()[2]) / 1000
                for log in Path(folder).glob("pgbench_log*")
                for line in log.read_text().splitlines()
            ]
        rate = re.search(r"tps = ([\d.]+)", finished.stdout)
        assert rate is not None, "pgbench prints its rate"
        return Outcome(
            requests=len(latencies_ms),
            seconds=len(latencies_ms) / float(rate[1]),
            failed=0,
            p50_ms=quantile(latencies_ms, 0.5),
            p99_ms=quantile(latencies_ms, 0.99),
        )

    def command(self) -> list[str]:
        parameters = self.database.parameters
        cluster = embedded_cluster.prepare(Path(parameters["host"]))
        return [
            *(str(cluster.bin_dir / "pgbench"), "--no-vacuum", "--log"),
            *(f"--client={CLIENTS}", "--jobs=2", "--protocol=prepared"),
            *("--host", parameters["host"], "--port", parameters["port"]),
            *("--username", parameters["user"], parameters["dbname"]),
        ]


def prepare(name: str, database: Database, wallets: int) -> PgBench:
    """Make its tables and wallets."""
    with database.connect() as connection:
        connection.execute(TABLES.format(wallets=wallets))
        connection.execute("VACUUM ANALYZE pgbench_wallets")
    return PgBench(
        name,
        database,
        {
            "one hot wallet": "1",
            f"{wallets:,} wallets": f"random(1, {wallets})",
            f"{wallets:,} wallets, Zipf": (
                f"random_zipfian(1, {wallets}, {ZIPF_EXPONENT})"
            ),
        },
    )
