"""What an import does, alone and beside a hot wallet."""

import argparse
import http.client
import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import database, report, workloads
from benchmarks.candidates import Server, serve
from benchmarks.database import Database
from wallet_app.standalone.processes import running

WALLETS = 1000
PART_ROWS = 5000
MIB = 1024 * 1024


def body(wallets: list[str], rows: int) -> Iterator[bytes]:
    """Deposits over all wallets but the first, in parts."""
    rng = random.Random(1)
    for first in range(0, rows, PART_ROWS):
        lines = [
            json.dumps(
                {
                    "operation_type": "DEPOSIT",
                    "wallet": rng.choice(wallets),
                    "amount": f"{rng.randint(1, 9999) / 100:.2f}",
                }
            )
            for _ in range(first, min(first + PART_ROWS, rows))
        ]
        yield ("\n".join(lines) + "\n").encode()


def call(server: Server, method: str, path: str, **options: Any) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    connection.request(method, path, **options)
    answer = connection.getresponse()
    read = answer.read()
    assert answer.status < 300, read
    return dict(json.loads(read))


def memory_mib(server: Server) -> float:
    """What the web workers hold in memory, all together."""
    return sum(one.memory_info().rss for one in server.process.children()) / MIB


class Most:
    """The most that the web workers have held, looked at while something goes on."""

    def __init__(self, server: Server) -> None:
        self.server, self.mib = server, 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self) -> None:
        while not self.stopping.wait(0.1):
            self.mib = max(self.mib, memory_mib(self.server))

    def __enter__(self) -> "Most":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()


def send(server: Server, wallets: list[str], rows: int) -> str:
    parts = list(body(wallets, rows))
    headers = {
        "Content-Type": "application/x-ndjson",
        "Content-Length": str(sum(map(len, parts))),
    }
    path = "/api/v1/operations/import"
    return str(call(server, "POST", path, body=iter(parts), headers=headers)["id"])


def wait(store: Database, import_id: str) -> tuple[int, float]:
    """Wait for its end; the rows that it has, and the seconds since its first one."""
    query = "SELECT state, applied, rows FROM imports WHERE id = %s"
    began = None
    with store.connect() as connection:
        while True:
            row = connection.execute(query, [import_id]).fetchone()
            assert row is not None
            state, applied, rows = row
            if began is None and applied:
                began, before = time.monotonic(), applied
            if state == "finished":
                assert began is not None
                return rows - before, time.monotonic() - began
            time.sleep(0.05)


def worker(store: Database) -> dict[str, list[str]]:
    """A worker as `make run` has one."""
    return {
        "worker": [
            *(
                "env",
                f"WALLET_DATABASE_URL={store.url}",
                sys.executable,
                "-W",
                "ignore",
            ),
            *("-m", "celery", "--quiet", "--app", "celery_worker:celery", "worker"),
            *("--hostname", "import@%h", "--queues", "statements"),
            *("--concurrency", "1", "--loglevel", "WARNING"),
        ]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 8])
    options = parser.parse_args()
    with database.throw_away() as store:
        first, *others = store.fill(wallets=WALLETS + 1, rows=1)
        with serve("web", "wsgi:app", store.url) as server, running(worker(store)):
            before = memory_mib(server)
            with Most(server) as most:
                rows, seconds = wait(store, send(server, others, options.rows))
            print(report.machine(store, rounds=1, seconds=options.seconds))
            print(f"alone: {rows / seconds:,.0f} rows/s ({rows:,} in {seconds:.1f} s)")
            print(
                f"web memory: {before:.0f} MiB before, {most.mib:.0f} at most,"
                f" {memory_mib(server):.0f} after"
            )
            for connections in options.connections:
                beside(store, server, first, others, connections, options.seconds)
        store.check_books()


def beside(
    store: Database,
    server: Server,
    hot: str,
    others: list[str],
    connections: int,
    seconds: int,
) -> None:
    load = workloads.Workload(
        name="hot", requests=[workloads.deposit(hot)], connections=connections
    )
    store.settle()
    server.load(load, 1)
    alone = server.load(load, seconds)
    import_id = send(server, others, 40_000 * seconds)
    query = "SELECT applied FROM imports WHERE id = %s"
    with store.connect() as connection, ThreadPoolExecutor(1) as pool:
        loading = pool.submit(server.load, load, seconds + 1)
        time.sleep(1)
        first = connection.execute(query, [import_id]).fetchone()
        began = time.monotonic()
        time.sleep(seconds - 1)
        last = connection.execute(query, [import_id]).fetchone()
        took = time.monotonic() - began
        outcome = loading.result()
    call(server, "POST", f"/api/v1/operations/imports/{import_id}/cancel")
    assert first is not None
    assert last is not None
    rate = [one.requests / one.seconds for one in (alone, outcome)]
    print(
        f"{connections} connections on a hot wallet: {rate[0]:,.0f}/s alone,"
        f" {rate[1]:,.0f}/s beside ({rate[1] / rate[0]:.2f}), while"
        f" {(last[0] - first[0]) / took:,.0f} rows/s are imported"
    )


if __name__ == "__main__":
    main()
