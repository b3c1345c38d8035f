"""What a synchronous standby costs, by how far away it is: `make bench-standby`.

The standby's link is a proxy that keeps every byte for half of the round trip, in each
direction. Without a standby the same server does not wait for one.
"""

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks import report
from benchmarks.candidates import Server, serve
from benchmarks.workloads import Workload, hot, lone, uniform
from proofs.service import Service
from tests.replicas import Pair, replicated, wait_for_standby

WALLETS = 1000
SECONDS = 3
ROUNDS = 2
# Milliseconds to the standby and back; None: no standby.
ROUND_TRIPS_MS = (None, 0, 1, 5, 20)
ADD_WALLETS = (
    "INSERT INTO wallets (uuid) SELECT gen_random_uuid()"
    " FROM generate_series(1, %s) RETURNING uuid::text"
)


@contextmanager
def served(pair: Pair, name: str, *, gathered: bool) -> Iterator[Server]:
    with serve(
        name, "wsgi:app", pair.url, group_commit="on" if gathered else "off"
    ) as server:
        yield server


def put_away(pair: Pair, round_trip_ms: int | None) -> None:
    """Let the standby be so far away, or not be waited for."""
    with pair.connect() as connection:
        if round_trip_ms is None:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
            return
    pair.link.delay_s = round_trip_ms / 2000
    wait_for_standby(pair)


def add_wallets(connection: psycopg.Connection) -> list[str]:
    return [uuid for (uuid,) in connection.execute(ADD_WALLETS, [WALLETS])]


def main() -> None:
    figures: dict[tuple[int | None, str, str], list[tuple[float, float]]] = {}
    with replicated() as pair:
        folder = Path(pair.primary.data_dir).parent
        Service(folder, folder, pair.url).migrate()
        with pair.connect() as connection:
            wallets = add_wallets(connection)
        loads: list[Workload] = [hot(wallets), uniform(wallets), lone(wallets)]
        with (
            served(pair, "group commit", gathered=True) as on,
            served(pair, "group commit off", gathered=False) as off,
        ):
            for _ in range(ROUNDS):
                for ms in ROUND_TRIPS_MS:
                    put_away(pair, ms)
                    for load in loads:
                        for server in (on, off):
                            seen = server.load(load, SECONDS)
                            assert not seen.failed, f"{seen.failed} failed"
                            rate = seen.requests / seen.seconds
                            key = ms, load.name, server.name
                            figures.setdefault(key, []).append((rate, seen.p50_ms))
    rows = []
    for (ms, load_name, server_name), seen_here in figures.items():
        rate, p50 = (statistics.median(one) for one in zip(*seen_here, strict=True))
        away = "none" if ms is None else f"{ms} ms"
        rows.append([load_name, server_name, away, f"{rate:,.0f}", f"{p50:,.1f}"])
    rows.sort(key=lambda row: [load.name for load in loads].index(row[0]))
    head = ["load", "candidate", "standby", "operations/s", "p50 ms"]
    print(report.table(head, rows, texts=3))


if __name__ == "__main__":
    sys.exit(main())
