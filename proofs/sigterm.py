"""gunicorn is asked to end under load: no operation is applied without an answer."""

import asyncio
import sys
from collections import Counter

import psycopg

from proofs.client import Client, NoAnswer, Stage, deposit, make_wallets
from proofs.evidence import (
    Evidence,
    arguments,
    balances,
    check_books,
    times_applied,
)
from proofs.service import Service, running

CLIENTS = 64
WALLETS = 8


class Load:
    """Clients that go on until their connection is refused or breaks."""

    def __init__(self, port: int, wallets: list[str]) -> None:
        self.port = port
        self.wallets = wallets
        self.answered: dict[str, int] = {}
        self.failed: dict[str, NoAnswer] = {}

    async def run_client(self, number: int) -> None:
        client = Client(self.port)
        while True:
            path, body = deposit(self.wallets[number % WALLETS], "1.00")
            key = body["reference_id"]
            try:
                self.answered[key] = (await client.post(path, body)).status
            except NoAnswer as failure:
                self.failed[key] = failure
                return


async def end_under_load(
    service: Service, wallets: list[str], seconds: float
) -> tuple[Load, float]:
    load = Load(service.port, wallets)
    clients = asyncio.gather(*map(load.run_client, range(CLIENTS)))
    await asyncio.sleep(seconds)
    took = await asyncio.to_thread(service.stop)
    await clients
    return load, took


def main() -> int:
    options = arguments(__doc__, rounds=10, seconds=3)
    evidence = Evidence(f"SIGTERM: {CLIENTS} clients, {options.rounds} rounds")
    loads: list[Load] = []
    slowest_end = 0.0
    with running() as service:
        wallets = asyncio.run(make_wallets(service.port, WALLETS))
        for _ in range(options.rounds):
            load, took = asyncio.run(end_under_load(service, wallets, options.seconds))
            loads.append(load)
            slowest_end = max(slowest_end, took)
            service.start()
        evidence.figure("slowest end of gunicorn", f"{slowest_end:.1f} s")
        with service.connect() as connection:
            judge(evidence, loads, connection)
            check_books(evidence, connection)
    return evidence.conclude()


def judge(
    evidence: Evidence, loads: list[Load], connection: psycopg.Connection
) -> None:
    answered = {key: one for load in loads for key, one in load.answered.items()}
    failed = {key: one for load in loads for key, one in load.failed.items()}
    statuses = Counter(answered.values())
    applied = times_applied(connection)
    evidence.figure("answers 200", statuses[200])
    evidence.figure("answers 503", statuses[503])
    stages = Counter(one.stage for one in failed.values())
    evidence.figure("connections refused", stages[Stage.CONNECTING])
    evidence.figure("connections ended before they were served", stages[Stage.NEW])
    evidence.figure("kept connections ended between requests", stages[Stage.KEPT])
    evidence.check_none("no other answer was given", statuses.keys() - {200, 503})
    evidence.check_none(
        "no operation was applied whose answer was lost", failed.keys() & applied.keys()
    )
    accepted = {key for key, status in answered.items() if status == 200}
    evidence.check_none("each 200 is in the histories", accepted - applied.keys())
    evidence.check(
        "the balances add up to the 200s",
        sum(balances(connection).values()) == len(accepted),
    )


if __name__ == "__main__":
    sys.exit(main())
