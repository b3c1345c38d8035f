"""A mix of everything that clients ask for, as fast as it goes or at a fixed rate."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from proofs.client import Client, NoAnswer, deposit, reference, transfer

CLIENTS = 32
BATCH_SIZE = 20
NO_ANSWER = 0
# What is asked for, in parts of a hundred.
MIX = {
    "deposit, hot wallet": 30,
    "deposit": 15,
    "withdrawal": 10,
    "transfer": 10,
    "batch": 2,
    "read": 20,
    "history": 8,
    "statistics": 4,
    "summary": 1,
}
# How many entries each adds to the histories.
ENTRIES = {
    "deposit, hot wallet": 1,
    "deposit": 1,
    "withdrawal": 1,
    "transfer": 2,
    "batch": BATCH_SIZE,
}

Call = tuple[str, str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """`seconds` count from when the request was due, not from when it could be sent."""

    kind: str
    due: float
    seconds: float


class MixedLoad:
    """Keeps its connections over several rounds; any answer but 200 is kept too."""

    def __init__(self, port: int, wallets: list[str]) -> None:
        self.hot, *self.wallets = wallets
        self.clients = [Client(port) for _ in range(CLIENTS)]
        self.answered: list[Answered] = []
        self.entries = 0
        self.errors: Counter[str] = Counter()

    async def peak(self, seconds: float) -> float:
        """Answers a second when each client sends as soon as it is answered."""
        before = len(self.answered)
        await self.round(seconds, rate=None)
        return (len(self.answered) - before) / seconds

    async def round(self, seconds: float, rate: float | None) -> None:
        start = time.monotonic()
        await asyncio.gather(
            *(self.run_client(n, start, seconds, rate) for n in range(CLIENTS))
        )

    async def run_client(
        self, number: int, start: float, seconds: float, rate: float | None
    ) -> None:
        chance = random.Random(f"{number} {start}")
        turn = 0
        while True:
            due = time.monotonic()
            if rate is not None:
                due = start + (number + turn * CLIENTS) / rate
                await asyncio.sleep(due - time.monotonic())
            if due > start + seconds:
                return
            (kind,) = chance.choices(list(MIX), list(MIX.values()))
            await self.send(self.clients[number], kind, self.choose(kind, chance), due)
            turn += 1

    async def send(self, client: Client, kind: str, call: Call, due: float) -> None:
        try:
            answer = await client.call(*call)
        except NoAnswer as failure:
            self.errors[f"{kind}: {failure}"] += 1
            return
        if answer.status != 200:
            self.errors[f"{kind}: {answer.status} {answer.body[:200]!r}"] += 1
            return
        self.entries += ENTRIES.get(kind, 0)
        self.answered.append(Answered(kind, due, time.monotonic() - due))

    def choose(self, kind: str, chance: random.Random) -> Call:
        one, other = chance.sample(self.wallets, 2)
        path = f"/api/v1/wallets/{one}"
        if kind == "batch":
            uuids = chance.sample(self.wallets, BATCH_SIZE)
            return ("POST", "/api/v1/operations/batch", batch(uuids))
        if kind == "transfer":
            return ("POST", *transfer(one, other, "0.01"))
        if kind == "withdrawal":
            return ("POST", *deposit(one, "0.01", "WITHDRAW"))
        if kind.startswith("deposit"):
            return ("POST", *deposit(self.hot if "hot" in kind else one, "1.00"))
        reads = {
            "read": path,
            "history": f"{path}/transactions?limit=20",
            "statistics": f"{path}/statistics",
            "summary": "/api/v1/statistics",
        }
        return ("GET", reads[kind], None)

    def close(self) -> None:
        for client in self.clients:
            client.close()


def batch(uuids: list[str]) -> Any:
    return {
        "operations": [
            {"operation_type": "DEPOSIT", "wallet": uuid, "amount": "0.01"}
            | reference()
            for uuid in uuids
        ]
    }
