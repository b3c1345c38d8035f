"""Somebody holds one wallet's row for ten seconds: the other wallets do not notice."""

import asyncio
import sys
import time
from collections import Counter
from decimal import Decimal

import psycopg

from proofs.client import Answer, Client, connect_evenly, deposit, make_wallets
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

CALLERS_OF_THE_LOCKED = 40
CALLERS_OF_OTHERS = 24
OTHERS = 8
BEFORE_S = 2
AFTER_S = 3
# Less than the Retry-After that they are given: these callers are impatient.
PAUSE_AFTER_503_S = 0.1
BOUND_S = 1.0


class Load:
    """Deposits of one unit on some wallets; every answer is kept."""

    def __init__(self, port: int, wallets: list[str], clients: int) -> None:
        self.wallets = wallets
        self.clients = [Client(port) for _ in range(clients)]
        self.answers: list[tuple[str, str, Answer]] = []
        self.stopped = False

    async def run_client(self, number: int) -> None:
        client = self.clients[number]
        wallet = self.wallets[number % len(self.wallets)]
        while not self.stopped:
            path, body = deposit(wallet, "1.00")
            answer = await client.post(path, body)
            self.answers.append((wallet, body["reference_id"], answer))
            if answer.status == 503:
                await asyncio.sleep(PAUSE_AFTER_503_S)
        client.close()

    def statuses(self) -> Counter[int]:
        return Counter(answer.status for _, _, answer in self.answers)


async def run(service: Service, seconds: int, evidence: Evidence) -> tuple[Load, Load]:
    locked, *others = await make_wallets(service.port, OTHERS + 1)
    on_locked = Load(service.port, [locked], CALLERS_OF_THE_LOCKED)
    on_others = Load(service.port, others, CALLERS_OF_OTHERS)
    loads = (on_locked, on_others)
    for load in loads:
        await connect_evenly(load.clients, service.workers())
    evidence.figure("callers at each worker", service.callers_by_worker())
    running_clients = asyncio.gather(
        *(load.run_client(n) for load in loads for n in range(len(load.clients)))
    )
    await asyncio.sleep(BEFORE_S)
    with service.connect() as holder, holder.transaction():
        holder.execute("SELECT FROM wallets WHERE uuid = %s FOR UPDATE", [locked])
        held_at = time.monotonic()
        on_others.answers.clear()
        await asyncio.sleep(seconds)
        while_held = list(on_others.answers)
        assert time.monotonic() - held_at < seconds + 5, "this client was too slow"
    await asyncio.sleep(AFTER_S)
    on_locked.stopped = on_others.stopped = True
    await running_clients
    on_others.answers = while_held
    return on_locked, on_others


async def look_up(port: int, references: list[str]) -> dict[str, int]:
    """What the service says has become of each reference: 200 or 404."""
    client = Client(port)
    return {
        one: (await client.call("GET", f"/api/v1/operations/{one}")).status
        for one in references
    }


def main() -> int:
    seconds = arguments(__doc__, seconds=10).seconds
    evidence = Evidence(f"Held lock: one wallet's row is held for {seconds} s")
    with running() as service:
        on_locked, on_others = asyncio.run(run(service, seconds, evidence))
        judge_others(evidence, on_others)
        refused = [key for _, key, one in on_locked.answers if one.status == 503]
        found = asyncio.run(look_up(service.port, refused))
        with service.connect() as connection:
            judge_locked(evidence, on_locked, found, connection)
            check_books(evidence, connection)
    return evidence.conclude()


def judge_others(evidence: Evidence, others: Load) -> None:
    durations = [answer.seconds for _, _, answer in others.answers]
    evidence.figure("answers for other wallets meanwhile", len(durations))
    for name, share in (("median", 0.5), ("99th percentile", 0.99), ("slowest", 1)):
        value = milliseconds(percentile(durations, share))
        evidence.figure(f"  {name}", value)
    evidence.check("others were all answered 200", set(others.statuses()) == {200})
    evidence.check(f"others never waited {BOUND_S:g} s", max(durations) < BOUND_S)


def judge_locked(
    evidence: Evidence,
    load: Load,
    found: dict[str, int],
    connection: psycopg.Connection,
) -> None:
    refusals = {key: one for _, key, one in load.answers if one.status == 503}
    unknown = {key for key, one in refusals.items() if one.json["applied"] == "unknown"}
    evidence.figure("200 for the locked wallet, all in all", load.statuses()[200])
    evidence.figure("503 for the locked wallet", len(refusals))
    evidence.figure("  of which say that the outcome is unknown", len(unknown))
    evidence.check("its callers got 200 or 503", set(load.statuses()) <= {200, 503})
    evidence.check("there were 503", bool(refusals))
    evidence.check(
        "each 503 says when to come back",
        all("retry-after" in one.headers for one in refusals.values()),
    )
    evidence.check_none(
        "what a 503 says was not applied, was not",
        [key for key, status in found.items() if status != 404 and key not in unknown],
    )
    applied = times_applied(connection)
    answered = {key for _, key, one in load.answers if one.status == 200}
    evidence.check_none("each 200 is in the history", answered - applied.keys())
    late = sum(found[key] == 200 for key in unknown)
    evidence.check(
        "the balance is one unit for each 200, and for each look-up that says so",
        balances(connection)[load.wallets[0]] == Decimal(len(answered) + late),
    )


if __name__ == "__main__":
    sys.exit(main())
