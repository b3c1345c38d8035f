"""A thousand connections deposit into one wallet: no answer is lost, memory is flat."""

import asyncio
import resource
import sys
import time
from collections import Counter

import psycopg

from proofs.client import Answer, Client, NoAnswer, deposit, make_wallets
from proofs.evidence import (
    Evidence,
    arguments,
    balances,
    check_books,
    milliseconds,
    percentile,
    times_applied,
)
from proofs.service import Service, running

CONNECTIONS = 1000
FIRST_LOOK_S = 5
# Python's heap is not given back page by page: what grows is more than this.
FLAT = 1.25
OPEN_FILES = 4096


class Load:
    """Clients that deposit one unit again and again; what became of each is kept."""

    def __init__(self, port: int, wallet: str, seconds: int) -> None:
        self.port = port
        self.wallet = wallet
        self.deadline = time.monotonic() + seconds
        self.statuses: Counter[int] = Counter()
        self.durations: list[float] = []
        self.answered: set[str] = set()
        self.lost: list[str] = []
        self.bare_503 = 0

    async def run_client(self) -> None:
        client = Client(self.port)
        while time.monotonic() < self.deadline:
            path, body = deposit(self.wallet, "1.00")
            try:
                answer = await client.post(path, body)
            except NoAnswer as failure:
                self.lost.append(str(failure))
                continue
            self.note(body["reference_id"], answer)
            if answer.status == 503:
                await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
        client.close()

    def note(self, key: str, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        self.durations.append(answer.seconds)
        if answer.status == 200:
            self.answered.add(key)
        elif answer.status == 503 and "retry-after" not in answer.headers:
            self.bare_503 += 1


def memory_bytes(service: Service) -> int:
    return sum(worker.memory_info().rss for worker in service.workers())


async def run(
    service: Service, seconds: int, evidence: Evidence
) -> tuple[Load, int, int]:
    (wallet,) = await make_wallets(service.port, 1)
    load = Load(service.port, wallet, seconds)
    clients = asyncio.gather(*(load.run_client() for _ in range(CONNECTIONS)))
    await asyncio.sleep(min(FIRST_LOOK_S, seconds / 2))
    early = memory_bytes(service)
    evidence.figure("connections at each worker", service.callers_by_worker())
    await asyncio.sleep(max(0.0, load.deadline - time.monotonic()))
    late = memory_bytes(service)
    await clients
    return load, early, late


def main() -> int:
    seconds = arguments(__doc__, seconds=30).seconds
    evidence = Evidence(f"{CONNECTIONS:,} connections on one wallet, {seconds} s")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, OPEN_FILES), hard))
    with running() as service:
        load, early, late = asyncio.run(run(service, seconds, evidence))
        evidence.figure("memory of both workers early", f"{early / 2**20:.0f} MiB")
        evidence.figure("memory of both workers at the end", f"{late / 2**20:.0f} MiB")
        evidence.check("the workers' memory is flat", late < early * FLAT)
        with service.connect() as connection:
            judge(evidence, load, seconds, connection)
            check_books(evidence, connection)
    return evidence.conclude()


def judge(
    evidence: Evidence, load: Load, seconds: int, connection: psycopg.Connection
) -> None:
    statuses = load.statuses
    evidence.figure("answers 200", statuses[200])
    evidence.figure("  a second", round(statuses[200] / seconds))
    evidence.figure("answers 503", statuses[503])
    for name, share in (("median", 0.5), ("99th percentile", 0.99), ("slowest", 1)):
        value = milliseconds(percentile(load.durations, share))
        evidence.figure(f"{name} answer", value)
    evidence.check_none("no other answer was given", statuses.keys() - {200, 503})
    evidence.check("each 503 says when to come back", load.bare_503 == 0)
    evidence.check_none("no request went without an answer", load.lost)
    applied = times_applied(connection).keys()
    evidence.check_none("each 200 is in the history", load.answered - applied)
    evidence.check_none("what is in the history was answered", applied - load.answered)
    evidence.check(
        "the balance is one unit for each 200",
        balances(connection) == {load.wallet: statuses[200]},
    )


if __name__ == "__main__":
    sys.exit(main())
