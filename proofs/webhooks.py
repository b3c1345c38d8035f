"""Proves webhooks: `python -m proofs.webhooks`.

First in peace, at a steady rate: how long it takes from a transaction to its arrival.
Then with a receiver that fails at random, while web workers, the webhooks' workers and
PostgreSQL are killed: each event must arrive, in its wallet's order, and doubles must
carry the same id.
"""

import asyncio
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from proofs.client import Client, deposit, make_wallets
from proofs.disturbances import stopped
from proofs.evidence import Evidence, arguments, check_books, milliseconds, percentile
from proofs.service import Service, running, wait_for
from tests.receivers import Receiver
from tests.services.workers import Worker, stopped_at_the_end

WALLETS, CLIENTS = 50, 16
FAILING = 0.02
CATCH_UP_S = 300
PAUSE_S = (0.5, 3)
PATIENCE_S = 120


class Noting(Receiver):
    """Notes how old each event is when it comes for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.ages: list[float] = []

    def take(self, headers: dict[str, str], body: bytes) -> int:
        now, before = datetime.now(UTC), len(self.told)
        status = super().take(headers, body)
        if status < 300 and before < len(self.told):
            event = self.told[before][1]
            then = datetime.fromisoformat(event["timestamp"])
            self.ages.append((now - then).total_seconds())
        return status

    def firsts(self) -> dict[str, list[int]]:
        """The seqs of each wallet's transactions, in the order of their arrival."""
        seqs: dict[str, list[int]] = {}
        for _, event in dict(self.told).items():
            seqs.setdefault(event["wallet_uuid"], []).append(event["data"]["seq"])
        return seqs


def load(port: int, wallets: list[str], rate: int, seconds: float) -> None:
    """Deposits at a rate, each sent again until it is answered."""

    async def send(client: Client, number: int) -> None:
        began = time.monotonic()
        turn = 0
        while time.monotonic() < began + seconds:
            due = began + (turn * CLIENTS + number) / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            path, body = deposit(random.choice(wallets), "1.00")
            answer = await client.insist(path, body, time.monotonic() + PATIENCE_S)
            assert answer.status == 200, answer.body
            turn += 1
        client.close()

    async def send_all() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(send(Client(port), number))

    asyncio.run(send_all())


class Trial:
    """A service with a webhook to a receiver of ours."""

    def __init__(self, service: Service, receiver: Noting) -> None:
        self.service = service
        self.receiver = receiver
        self.workers = [
            Worker(service.settings, service.folder / "beat.log", queues="rollups"),
            Worker(
                service.settings,
                service.folder / "webhooks.log",
                name="webhooks",
                queues="webhooks",
                concurrency=2,
                beat=False,
            ),
        ]
        self.wallets = asyncio.run(make_wallets(service.port, WALLETS))
        self.hits: Counter[str] = Counter()

    def add_webhook(self) -> None:
        body = {"url": self.receiver.url, "event_types": ["transaction.posted"]}
        answer = asyncio.run(call(self.service.port, "/api/v1/webhooks", body))
        self.receiver.secret = answer["secret"]

    def run(self, rate: int, seconds: float, disturb: Callable[[], None]) -> None:
        arguments = (self.service.port, self.wallets, rate, seconds)
        process = multiprocessing.get_context("spawn").Process(
            target=load, args=arguments
        )
        process.start()
        while process.is_alive():
            disturb()
        assert process.exitcode == 0
        expected = self.posted()
        wait_for(lambda: len(dict(self.receiver.told)) >= expected, CATCH_UP_S)

    def posted(self) -> int:
        with self.service.connect() as connection:
            row = connection.execute("SELECT count(*) FROM transactions").fetchone()
        assert row is not None
        return int(row[0])

    def kill_something(self) -> None:
        time.sleep(random.uniform(*PAUSE_S))
        name = random.choice(list(VICTIMS))
        VICTIMS[name](self)
        self.hits[name] += 1

    def kill_web_worker(self) -> None:
        self.service.kill_busiest_worker()

    def kill_sender(self) -> None:
        children = self.workers[1].children()
        if children:
            os.kill(random.choice(children), signal.SIGKILL)

    def kill_worker(self) -> None:
        self.workers[1].kill()
        self.workers[1].start()

    def kill_database(self) -> None:
        fault = stopped(self.service, "immediate")
        fault.begin()
        fault.end()


VICTIMS: dict[str, Callable[[Trial], None]] = {
    "a gunicorn worker killed": Trial.kill_web_worker,
    "a process that delivers killed": Trial.kill_sender,
    "the whole webhook worker killed": Trial.kill_worker,
    "PostgreSQL stopped (immediate)": Trial.kill_database,
}


async def call(port: int, path: str, body: object) -> Any:
    client = Client(port)
    answer = await client.post(path, body)
    client.close()
    assert answer.status == 201, answer.body
    return answer.json


def main() -> int:
    options = arguments(__doc__, rate=500, seconds=30, kills=60)
    evidence = Evidence("Webhooks")
    receiver = Noting()
    try:
        with running(WALLET_WEBHOOKS_PRIVATE="on") as service:
            trial = Trial(service, receiver)
            with stopped_at_the_end(trial.workers):
                trial.add_webhook()
                measure(evidence, trial, options.rate, options.seconds)
                if options.kills:
                    disturb(evidence, trial, options.rate, options.kills)
            with service.connect() as connection:
                check_books(evidence, connection)
    finally:
        receiver.close()
    return evidence.conclude()


def measure(evidence: Evidence, trial: Trial, rate: int, seconds: int) -> None:
    # Not what the worker needs to start.
    trial.run(10, 5, lambda: time.sleep(0.1))
    trial.receiver.ages.clear()
    began = time.monotonic()
    trial.run(rate, seconds, lambda: time.sleep(0.1))
    ages = trial.receiver.ages
    evidence.figure("in peace: events", len(ages))
    per_second = len(ages) / (time.monotonic() - began)
    evidence.figure("arrived a second", f"{per_second:,.0f}")
    evidence.figure(
        "from transaction to arrival: median", milliseconds(percentile(ages, 0.5))
    )
    evidence.figure("99 of 100 within", milliseconds(percentile(ages, 0.99)))
    evidence.check("half of them arrive within 0.5 s", percentile(ages, 0.5) < 0.5)


def disturb(evidence: Evidence, trial: Trial, rate: int, seconds: int) -> None:
    receiver = trial.receiver
    receiver.answer = lambda *_: 500 if random.random() < FAILING else 200
    trial.run(rate // 2, seconds, trial.kill_something)
    for name, times in sorted(trial.hits.items()):
        evidence.figure(name, times)
    seqs = receiver.firsts()
    told = len(dict(receiver.told))
    evidence.figure("transactions posted in all", trial.posted())
    evidence.figure(
        "attempts that the receiver failed", receiver.times.total() - len(receiver.told)
    )
    evidence.figure("doubles", len(receiver.told) - told)
    evidence.check("each transaction has arrived", told == trial.posted())
    evidence.check_none(
        "each wallet's came in order, without a gap",
        (wallet for wallet, one in seqs.items() if one != list(range(1, len(one) + 1))),
    )
    bodies: dict[str, Any] = {}
    evidence.check_none(
        "a double tells the same",
        (
            the_id
            for the_id, body in receiver.told
            if bodies.setdefault(the_id, body) != body
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
