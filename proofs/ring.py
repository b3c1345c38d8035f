"""Transfers round a ring and against it: no deadlock, and the total never changes."""

import asyncio
import random
import sys
import threading
import time
from collections import Counter
from decimal import Decimal

import psycopg

from proofs.client import Client, connect_evenly, make_wallets, transfer
from proofs.evidence import (
    Evidence,
    arguments,
    check_books,
    milliseconds,
    percentile,
    times_applied,
)
from proofs.service import Service, running

WALLETS = 10
CLIENTS = 64
TOTAL = Decimal("10000.00")
READ_EVERY_S = 0.01


class TotalReader(threading.Thread):
    """Reads all balances again and again; one statement is one snapshot."""

    query = "SELECT sum(balance) FROM wallets"

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.connection = service.connect()
        self.done = threading.Event()
        self.totals: Counter[Decimal] = Counter()

    def run(self) -> None:
        while not self.done.wait(READ_EVERY_S):
            row = self.connection.execute(self.query.encode()).fetchone()
            self.totals[row[0] if row else Decimal(0)] += 1


class Ring:
    def __init__(self, port: int, wallets: list[str]) -> None:
        self.wallets = wallets
        self.clients = [Client(port) for _ in range(CLIENTS)]
        self.statuses: Counter[int] = Counter()
        self.durations: list[float] = []
        self.answered: set[str] = set()
        self.totals: Counter[Decimal] = Counter()

    async def run_client(self, seed: int, deadline: float) -> None:
        client, chance = self.clients[seed], random.Random(seed)
        while time.monotonic() < deadline:
            place = chance.randrange(WALLETS)
            pair = [self.wallets[place], self.wallets[(place + 1) % WALLETS]]
            # Half of them against the others: the order in which locks would cross.
            source, target = pair if seed % 2 else reversed(pair)
            cents = chance.randrange(1, 5000)
            path, body = transfer(source, target, f"{cents / 100:.2f}")
            answer = await client.post(path, body)
            self.statuses[answer.status] += 1
            self.durations.append(answer.seconds)
            if answer.status == 200:
                self.answered.add(body["reference_id"])
        client.close()


async def load(service: Service, seconds: int) -> Ring:
    with service.connect() as connection:
        # Sooner than the service's lock_timeout, which would end a deadlock unseen.
        connection.execute("ALTER SYSTEM SET deadlock_timeout = '20ms'")
        connection.execute("SELECT pg_reload_conf()")
    wallets = await make_wallets(service.port, WALLETS, str(TOTAL / WALLETS))
    ring = Ring(service.port, wallets)
    await connect_evenly(ring.clients, service.workers())
    reader = TotalReader(service)
    reader.start()
    try:
        deadline = time.monotonic() + seconds
        await asyncio.gather(*(ring.run_client(n, deadline) for n in range(CLIENTS)))
    finally:
        reader.done.set()
        reader.join()
    ring.totals = reader.totals
    return ring


def main() -> int:
    seconds = arguments(__doc__, seconds=60).seconds
    evidence = Evidence(f"Ring: {CLIENTS} clients, {WALLETS} wallets, {seconds} s")
    with running() as service:
        ring = asyncio.run(load(service, seconds))
        with service.connect() as connection:
            judge(evidence, ring, connection)
            check_books(evidence, connection)
        evidence.check(
            "PostgreSQL met no deadlock", "deadlock detected" not in service.sql_log()
        )
    return evidence.conclude()


def judge(evidence: Evidence, ring: Ring, connection: psycopg.Connection) -> None:
    statuses = ring.statuses
    evidence.figure("transfers applied", statuses[200])
    evidence.figure("refused for want of funds (409)", statuses[409])
    evidence.figure("asked to try again (503)", statuses[503])
    evidence.figure("median answer", milliseconds(percentile(ring.durations, 0.5)))
    evidence.figure("slowest answer", milliseconds(max(ring.durations)))
    evidence.figure("reads of the total", sum(ring.totals.values()))
    evidence.check_none("no other answer was given", statuses.keys() - {200, 409, 503})
    evidence.check_none(
        "the total was the same in each read", ring.totals.keys() - {TOTAL}
    )
    applied = times_applied(connection)
    evidence.check_none("each 200 is in the histories", ring.answered - applied.keys())


if __name__ == "__main__":
    sys.exit(main())
