"""A fault while clients call: every answer is kept, and what the service holds."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from sqlalchemy.engine import make_url

from proofs.client import Client, NoAnswer, deposit, transfer
from proofs.disturbances import Fault
from proofs.service import Service

CLIENTS = 24
BEFORE_S = 2.0
# Longer than it may take to recover.
AFTER_S = 6.0
QUIET_S = 1.5
PAUSE_S = 0.02
PAUSE_AFTER_503_S = 0.1
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One request; `status` is NO_ANSWER if the connection failed."""

    wallet: str
    reference: str | None
    status: int
    began: float
    seconds: float
    retry_after: bool
    applied: str | None

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass
class Held:
    """What the service's processes and PostgreSQL hold while nobody calls."""

    threads: int
    files: int
    connections: int
    in_transaction: int

    def __str__(self) -> str:
        return f"{self.threads} / {self.files} / {self.connections}"


@dataclass
class Trial:
    """A fault under load, and what was seen of it."""

    fault: Fault
    records: list[Record]
    began: float
    ended: float
    before: Held
    after: Held = field(init=False)

    def since_end(self, statuses: set[int]) -> list[float]:
        """When, after the fault's end, such answers came."""
        return [
            one.ended - self.ended
            for one in self.records
            if one.status in statuses and one.ended > self.ended
        ]

    @property
    def recovery_s(self) -> float:
        return min(self.since_end({200}), default=float("inf"))

    @property
    def settled_s(self) -> float:
        return max([0.0, *self.since_end({503})])

    @property
    def slowest_s(self) -> float:
        return max(one.seconds for one in self.records)

    def count(self, status: int) -> int:
        return sum(one.status == status for one in self.records)


class Load:
    """Clients that deposit, transfer and read at a bounded rate."""

    def __init__(self, port: int, wallets: list[str]) -> None:
        self.port = port
        self.wallets = wallets
        self.records: list[Record] = []
        self.stopped = False

    async def run_client(self, number: int) -> None:
        client, chance = Client(self.port), random.Random(number)
        while not self.stopped:
            wallet = self.wallets[number % len(self.wallets)]
            record = await self.call(client, wallet, chance)
            self.records.append(record)
            quiet = PAUSE_S if record.status == 200 else PAUSE_AFTER_503_S
            await asyncio.sleep(quiet)
        client.close()

    async def call(self, client: Client, wallet: str, chance: random.Random) -> Record:
        kind = chance.choice(["deposit", "deposit", "read", "transfer", "history"])
        path, body, method = f"/api/v1/wallets/{wallet}", None, "GET"
        if kind == "history":
            path += "/transactions?limit=5"
        elif kind == "deposit":
            (path, body), method = deposit(wallet, "1.00"), "POST"
        elif kind == "transfer":
            place = self.wallets.index(wallet)
            # Pairs: who does not touch a wallet does not wait for it.
            (path, body), method = (
                transfer(wallet, self.wallets[place ^ 1], "1.00"),
                "POST",
            )
        reference = body and body["reference_id"]
        began = time.monotonic()
        try:
            answer = await client.call(method, path, body)
        except NoAnswer:
            seconds = time.monotonic() - began
            return Record(wallet, reference, NO_ANSWER, began, seconds, False, None)
        problem = answer.json if answer.status != 200 else {}
        return Record(
            wallet,
            reference,
            answer.status,
            began,
            answer.seconds,
            "retry-after" in answer.headers,
            problem.get("applied"),
        )


def held(service: Service) -> Held:
    """What is there without a caller; a connection counts for as long as it is open."""
    workers = service.workers()
    port = make_url(service.environment["WALLET_DATABASE_URL"]).port
    connections = sum(
        bool(one.raddr) and one.raddr.port == port
        for worker in workers
        for one in worker.net_connections("tcp")
    )
    with service.connect() as observer:
        row = observer.execute(
            "SELECT count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity"
            " WHERE application_name = 'wallet'"
        ).fetchone()
    assert row is not None
    return Held(
        threads=sum(worker.num_threads() for worker in workers),
        files=sum(worker.num_fds() for worker in workers) - connections,
        connections=connections,
        in_transaction=row[0],
    )


async def under_load(
    service: Service, wallets: list[str], fault: Fault, seconds: float
) -> Trial:
    load = Load(service.port, wallets)
    before = held(service)
    clients = asyncio.gather(*map(load.run_client, range(CLIENTS)))
    await asyncio.sleep(BEFORE_S)
    began = time.monotonic()
    await asyncio.to_thread(fault.begin)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(fault.end)
    ended = time.monotonic()
    await asyncio.sleep(AFTER_S)
    load.stopped = True
    await clients
    await asyncio.sleep(QUIET_S)
    trial = Trial(fault, load.records, began, ended, before)
    trial.after = held(service)
    return trial
