"""The bank's client processes: some move money, some read all of it again and again."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from proofs.client import Client
from proofs.orders import AGAIN, Order, entries_of, outcomes, random_order, signed

CONNECTIONS = 8
RETRY_AFTER_S = 0.2
SHARE_READ_BACK = 0.05
COUNTED = ("DEPOSIT", "WITHDRAW", "TRANSFER_OUT", "TRANSFER_IN")


@dataclass(frozen=True)
class Bank:
    """Wallets among which money only moves, and others where it comes and goes."""

    port: int
    vaults: list[str]
    tills: list[str]
    total: Decimal


@dataclass
class Traded:
    """What a client process was answered."""

    applied: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    moved: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    requests: int = 0
    read_back: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Seen:
    """What a reading process has seen: (wallet, seq, balance) of all its reads."""

    states: set[tuple[str, int, Decimal]] = field(default_factory=set)
    reads: Counter[str] = field(default_factory=Counter)
    totals: Counter[Decimal] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def trade(bank: Bank, seconds: float, seed: int) -> Traded:
    traded, chance = Traded(), random.Random(seed)
    asyncio.run(
        repeat(bank, seconds, lambda client: one_order(bank, client, chance, traded))
    )
    return traded


def read(bank: Bank, seconds: float, seed: int) -> Seen:
    seen, chance = Seen(), random.Random(seed)
    asyncio.run(
        repeat(bank, seconds, lambda client: one_read(bank, client, chance, seen))
    )
    return seen


async def repeat(
    bank: Bank, seconds: float, act: Callable[[Client], Coroutine[Any, Any, None]]
) -> None:
    deadline = time.monotonic() + seconds

    async def go_on() -> None:
        client = Client(bank.port)
        while time.monotonic() < deadline:
            await act(client)
        client.close()

    await asyncio.gather(*(go_on() for _ in range(CONNECTIONS)))


async def one_order(
    bank: Bank, client: Client, chance: random.Random, traded: Traded
) -> None:
    """A transfer between vaults, or a deposit to a till or a withdrawal from it."""
    if chance.random() < 0.6:
        order = random_order(chance, bank.vaults, ("TRANSFER",))
    else:
        order = random_order(chance, bank.tills, ("DEPOSIT", "WITHDRAW"))
    found = [AGAIN]
    while AGAIN in found:
        answer = await client.call("POST", order.path, order.body, order.headers)
        traded.requests += 1
        told = outcomes(order, answer)
        found = [one.status for one in told]
        traded.statuses.update(found)
        await asyncio.sleep(RETRY_AFTER_S if AGAIN in found else 0)
    note(order, found, traded)
    entries = [entry for one in told for entry in one.entries]
    if entries and chance.random() < SHARE_READ_BACK:
        _, wallet, seq, *_ = entries[-1]
        answer = await client.call("GET", f"/api/v1/wallets/{wallet}")
        traded.read_back += 1
        if answer.json["version"] < seq:
            traded.faults.append(f"{wallet} at {answer.json['version']} after {seq}")


def note(order: Order, statuses: list[int], traded: Traded) -> None:
    for member, status in zip(order.members, statuses, strict=True):
        if status != 200:
            traded.refused.add(member["reference_id"])
            continue
        traded.applied.add(member["reference_id"])
        for wallet, kind, amount in entries_of(member):
            traded.moved[wallet] += int(signed(kind, amount) * 100)


async def one_read(
    bank: Bank, client: Client, chance: random.Random, seen: Seen
) -> None:
    look = chance.choice([read_page, read_service, read_wallet, read_statistics])
    await look(bank, client, chance, seen)
    seen.reads[look.__name__] += 1


async def read_page(bank: Bank, client: Client, _: random.Random, seen: Seen) -> None:
    """All wallets fit into one page, which is one statement: one snapshot."""
    answer = await client.call("GET", "/api/v1/wallets?limit=100")
    page = answer.json
    assert not page["has_more"], "the total needs all wallets in one page"
    held = {one["uuid"]: Decimal(one["balance"]) for one in page["data"]}
    seen.totals[sum((held[one] for one in bank.vaults), Decimal(0))] += 1
    for one in page["data"]:
        seen.states.add((one["uuid"], one["version"], held[one["uuid"]]))


async def read_service(_: Bank, client: Client, __: random.Random, seen: Seen) -> None:
    """Balances by currency, and all that ever came and went, in one snapshot."""
    answer = await client.call("GET", "/api/v1/statistics")
    for one in answer.json["currencies"]:
        flows = {
            flow["operation_type"]: Decimal(flow["total"]) for flow in one["operations"]
        }
        put_in, taken_out, sent, received = (flows.get(kind, 0) for kind in COUNTED)
        held = Decimal(one["total_balance"])
        if one["currency"] == "USD":
            seen.totals[held] += 1
        if held != put_in - taken_out or sent != received:
            seen.faults.append(f"{held} {one['currency']} held, moved: {flows}")


async def read_wallet(
    bank: Bank, client: Client, chance: random.Random, seen: Seen
) -> None:
    wallet = chance.choice(bank.vaults + bank.tills)
    one = (await client.call("GET", f"/api/v1/wallets/{wallet}")).json
    seen.states.add((wallet, one["version"], Decimal(one["balance"])))


async def read_statistics(
    bank: Bank, client: Client, chance: random.Random, seen: Seen
) -> None:
    """What came in less what went out, up to a seq, is the balance at that seq."""
    wallet = chance.choice(bank.vaults + bank.tills)
    one = (await client.call("GET", f"/api/v1/wallets/{wallet}/statistics")).json
    seen.states.add((wallet, one["as_of_seq"], Decimal(one["net_flow"])))
