"""Fifty callers send the same operation at once, also while workers are killed."""

import asyncio
import random
import sys
import time
from collections import Counter

import psycopg

from proofs.client import Answer, Client, connect_evenly, deposit, make_wallets
from proofs.evidence import (
    Evidence,
    arguments,
    balances,
    check_books,
    times_applied,
)
from proofs.service import Service, running

CALLERS = 50
ROUND_TIMEOUT_S = 60
KILL_EVERY_S = 1.5


class Race:
    """Rounds of one key each, sent by every caller at the same moment."""

    def __init__(self, port: int, wallet: str) -> None:
        self.wallet = wallet
        self.clients = [Client(port) for _ in range(CALLERS)]
        self.keys: list[str] = []
        self.faults: list[str] = []
        self.replays_by_round: Counter[int] = Counter()

    async def run_round(self) -> None:
        path, body = deposit(self.wallet, "1.00")
        key = body["reference_id"]
        deadline = time.monotonic() + ROUND_TIMEOUT_S
        answers: list[Answer] = await asyncio.gather(
            *(client.insist(path, body, deadline) for client in self.clients)
        )
        self.keys.append(key)
        replays = sum("idempotent-replayed" in answer.headers for answer in answers)
        self.replays_by_round[replays] += 1
        if {answer.status for answer in answers} != {200}:
            self.faults.append(f"{key}: {Counter(one.status for one in answers)}")
        if len({answer.body for answer in answers}) != 1:
            self.faults.append(f"{key}: the answers differ")


async def kill_workers(service: Service, kills: int) -> None:
    chance = random.Random(1)
    for _ in range(kills):
        await asyncio.sleep(KILL_EVERY_S * chance.uniform(0.5, 1.5))
        service.kill_busiest_worker()


async def load(service: Service, rounds: int, kills: int, evidence: Evidence) -> Race:
    (wallet,) = await make_wallets(service.port, 1)
    race = Race(service.port, wallet)
    await connect_evenly(race.clients, service.workers())
    for _ in range(rounds):
        await race.run_round()
    evidence.figure("keys without disturbance", rounds)
    evidence.figure("callers at each worker", service.callers_by_worker())
    evidence.check(
        f"undisturbed, each key had 1 first answer and {CALLERS - 1} replays",
        race.replays_by_round == {CALLERS - 1: rounds},
    )
    killer = asyncio.create_task(kill_workers(service, kills))
    while not killer.done():
        await race.run_round()
    await killer
    evidence.figure("workers killed with kill -9", kills)
    evidence.figure("keys while workers were killed", len(race.keys) - rounds)
    unanswered = sum(client.unanswered for client in race.clients)
    evidence.figure("requests that got no answer and were sent again", unanswered)
    return race


def main() -> int:
    options = arguments(__doc__, rounds=200, kills=10)
    evidence = Evidence(f"Same key: {CALLERS} callers, 2 workers")
    with running() as service:
        race = asyncio.run(load(service, options.rounds, options.kills, evidence))
        with service.connect() as connection:
            judge(evidence, race, connection)
            check_books(evidence, connection)
    return evidence.conclude()


def judge(evidence: Evidence, race: Race, connection: psycopg.Connection) -> None:
    evidence.check_none("each caller got 200, and all the same body", race.faults)
    applied = times_applied(connection)
    evidence.check(
        "each key was applied exactly once", applied == dict.fromkeys(race.keys, 1)
    )
    evidence.check(
        "the balance is one unit a key",
        balances(connection) == {race.wallet: len(race.keys)},
    )


if __name__ == "__main__":
    sys.exit(main())
