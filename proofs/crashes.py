"""Workers are killed and PostgreSQL crashes; clients retry until they are answered."""

import asyncio
import random
import sys
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import psycopg

from proofs.client import Answer, Client, deposit, make_wallets, transfer
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
START = Decimal(50)
BETWEEN_KILLS_S = 2.0
RETRY_TIMEOUT_S = 120


class Load:
    """Clients that send deposits, withdrawals and transfers until each is answered."""

    def __init__(self, port: int, wallets: list[str]) -> None:
        self.wallets = wallets
        self.clients = [Client(port) for _ in range(CLIENTS)]
        self.answers: dict[str, Answer] = {}
        self.expected = dict.fromkeys(wallets, START)
        self.stopped = False

    async def run_client(self, number: int) -> None:
        client, chance = self.clients[number], random.Random(number)
        while not self.stopped:
            (path, body), moves = self.choose(chance)
            deadline = time.monotonic() + RETRY_TIMEOUT_S
            answer = await client.insist(path, body, deadline)
            self.answers[body["reference_id"]] = answer
            if answer.status == 200:
                for wallet, amount in moves.items():
                    self.expected[wallet] += amount

    def choose(self, chance: random.Random) -> tuple[Any, dict[str, Decimal]]:
        """A request, and what it moves if it is applied."""
        one, other = chance.sample(self.wallets, 2)
        amount = Decimal(chance.randrange(1, 2000)) / 100
        kind = chance.choice(["DEPOSIT", "WITHDRAW", "TRANSFER"])
        if kind == "TRANSFER":
            return transfer(one, other, f"{amount:.2f}"), {one: -amount, other: amount}
        move = amount if kind == "DEPOSIT" else -amount
        return deposit(one, f"{amount:.2f}", kind), {one: move}


async def disturb(service: Service, kills: int, database_crashes: int) -> None:
    """Kill workers at odd moments, and crash the database at even distances."""
    chance = random.Random(2)
    crash_at = {
        round((place + 1) * kills / (database_crashes + 1))
        for place in range(database_crashes)
    }
    for kill in range(kills):
        await asyncio.sleep(BETWEEN_KILLS_S * chance.uniform(0.5, 1.5))
        service.kill_busiest_worker()
        if kill in crash_at:
            await asyncio.sleep(BETWEEN_KILLS_S * chance.uniform(0.5, 1.5))
            await asyncio.to_thread(service.crash_database)
    await asyncio.sleep(BETWEEN_KILLS_S)


async def run(service: Service, kills: int, database_crashes: int) -> Load:
    wallets = await make_wallets(service.port, WALLETS, str(START))
    load = Load(service.port, wallets)
    clients = asyncio.gather(*map(load.run_client, range(CLIENTS)))
    await disturb(service, kills, database_crashes)
    load.stopped = True
    await clients
    return load


def main() -> int:
    options = arguments(__doc__, kills=15, crashes=3)
    evidence = Evidence(f"Crashes: {CLIENTS} clients, {WALLETS} wallets, 2 workers")
    evidence.figure("workers killed with kill -9", options.kills)
    evidence.figure("crashes of PostgreSQL", options.crashes)
    with running() as service:
        load = asyncio.run(run(service, options.kills, options.crashes))
        with service.connect() as connection:
            judge(evidence, load, connection)
            check_books(evidence, connection)
    return evidence.conclude()


def judge(evidence: Evidence, load: Load, connection: psycopg.Connection) -> None:
    statuses = Counter(answer.status for answer in load.answers.values())
    applied = times_applied(connection)
    of_status = {
        status: {key for key, one in load.answers.items() if one.status == status}
        for status in (200, 409)
    }
    evidence.figure("operations applied", statuses[200])
    evidence.figure(
        "  of which the answer came from a retry",
        sum("idempotent-replayed" in one.headers for one in load.answers.values()),
    )
    evidence.figure("refused for want of funds (409)", statuses[409])
    unanswered = sum(client.unanswered for client in load.clients)
    evidence.figure("requests that got no answer and were sent again", unanswered)
    evidence.check_none("no other answer was given", statuses.keys() - {200, 409})
    evidence.check_none(
        "no key was applied twice", [key for key, n in applied.items() if n != 1]
    )
    evidence.check_none("each 200 is in the histories", of_status[200] - applied.keys())
    evidence.check_none("no 409 is in the histories", of_status[409] & applied.keys())
    evidence.check_none(
        "each answer is what the history holds",
        entries_answered(load) - entries_stored(connection),
    )
    evidence.check(
        "each balance is the sum of what was answered 200",
        balances(connection) == load.expected,
    )


def entries_answered(load: Load) -> set[tuple[int, str, int, Decimal]]:
    """Every entry that a client was told of: id, wallet, seq, balance."""
    entries = []
    for answer in load.answers.values():
        if answer.status == 200:
            body = answer.json
            entries += (
                [body["outgoing"], body["incoming"]] if "outgoing" in body else [body]
            )
    return {
        (one["id"], one["wallet_uuid"], one["seq"], Decimal(one["balance_after"]))
        for one in entries
    }


def entries_stored(
    connection: psycopg.Connection,
) -> set[tuple[int, str, int, Decimal]]:
    rows = connection.execute(
        "SELECT transactions.id, wallets.uuid::text, seq, balance_after"
        " FROM transactions JOIN wallets ON wallets.id = wallet_id"
    )
    return set(rows.fetchall())


if __name__ == "__main__":
    sys.exit(main())
