"""The bank's client processes: some move money, some read all of it again and again."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from proofs.client import Client
from proofs.orders import AGAIN, Customer, Order, Outcome, is_as_asked, outcomes, signed

CONNECTIONS = 8
RETRY_AFTER_S = 0.2
SHARE_READ_BACK = 0.05
SHARE_OF_VAULTS = 0.6
VAULT_TYPES = ("TRANSFER", "TRANSFER", "HOLD", "HOLD", "REFUND")
TILL_TYPES = ("DEPOSIT", "DEPOSIT", "WITHDRAW", "HOLD", "HOLD", "REFUND")
# None expires meanwhile: what is held is then what the history says.
HOLDS_LAST = timedelta(hours=12)


@dataclass(frozen=True)
class Bank:
    """Wallets among which money only moves, and others where it comes and goes.

    Some of the others have a minimum below zero: an overdraft.
    """

    port: int
    vaults: list[str]
    tills: list[str]
    minimum: dict[str, Decimal]
    total: Decimal


@dataclass
class Traded:
    """What a client process was answered."""

    applied: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    moved: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    read_back: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Seen:
    """What a reading process has seen: (wallet, seq, balance) of all its reads.

    And (wallet, seq, held) of those that show it.
    """

    states: set[tuple[str, int, Decimal]] = field(default_factory=set)
    held: set[tuple[str, int, Decimal]] = field(default_factory=set)
    reads: Counter[str] = field(default_factory=Counter)
    totals: Counter[Decimal] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def trade(bank: Bank, seconds: float, seed: int) -> Traded:
    traded, chance = Traded(), random.Random(seed)
    at_vaults = Customer(chance, bank.vaults, VAULT_TYPES, HOLDS_LAST)
    at_tills = Customer(chance, bank.tills, TILL_TYPES, HOLDS_LAST)

    async def one(client: Client) -> None:
        customer = at_vaults if chance.random() < SHARE_OF_VAULTS else at_tills
        await one_order(customer, client, traded)

    asyncio.run(repeat(bank, seconds, one))
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


async def one_order(customer: Customer, client: Client, traded: Traded) -> None:
    """An order, again and again until it is known what became of it."""
    order = customer.order()
    found = [AGAIN]
    while AGAIN in found:
        answer = await client.call("POST", order.path, order.body, order.headers)
        traded.requests += 1
        told = outcomes(order, answer)
        found = [one.status for one in told]
        traded.statuses.update(found)
        await asyncio.sleep(RETRY_AFTER_S if AGAIN in found else 0)
    customer.note(order, told)
    note(order, told, traded)
    entries = [entry for one in told for entry in one.entries]
    if entries and customer.chance.random() < SHARE_READ_BACK:
        _, wallet, seq, *_ = entries[-1]
        answer = await client.call("GET", f"/api/v1/wallets/{wallet}")
        traded.read_back += 1
        if answer.json["version"] < seq:
            traded.faults.append(f"{wallet} at {answer.json['version']} after {seq}")


def note(order: Order, told: list[Outcome], traded: Traded) -> None:
    for key, asked, outcome in zip(order.keys, order.asked, told, strict=True):
        if outcome.status != 200:
            traded.refused.add(key)
            continue
        traded.applied.add(key)
        entries = [(one[1], one[3], one[4]) for one in outcome.entries]
        if not is_as_asked(entries, asked):
            traded.faults.append(f"{entries} instead of {asked}")
        for wallet, kind, amount in asked:
            traded.types[kind] += 1
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
    balances = {one["uuid"]: Decimal(one["balance"]) for one in page["data"]}
    seen.totals[sum((balances[one] for one in bank.vaults), Decimal(0))] += 1
    for one in page["data"]:
        note_wallet(bank, one, seen)


def note_wallet(bank: Bank, one: dict[str, Any], seen: Seen) -> None:
    """What a wallet shows: available is what is neither held nor its minimum."""
    names = ("balance", "held", "available")
    balance, held, available = (Decimal(one[name]) for name in names)
    seen.states.add((one["uuid"], one["version"], balance))
    seen.held.add((one["uuid"], one["version"], held))
    if available != balance - held - bank.minimum.get(one["uuid"], 0) or available < 0:
        seen.faults.append(f"{available} of {balance} available, {held} held")


async def read_service(_: Bank, client: Client, __: random.Random, seen: Seen) -> None:
    """Balances by currency, and all that ever came and went, in one snapshot."""
    answer = await client.call("GET", "/api/v1/statistics")
    for one in answer.json["currencies"]:
        flows = {
            flow["operation_type"]: Decimal(flow["total"]) for flow in one["operations"]
        }
        total = Decimal(one["total_balance"])
        if one["currency"] == "USD":
            seen.totals[total] += 1
        moved = sum(signed(kind, amount) for kind, amount in flows.items())
        sent, received = (flows.get(f"TRANSFER_{way}") for way in ("OUT", "IN"))
        if total != moved or sent != received:
            seen.faults.append(f"{total} {one['currency']} there, moved: {flows}")


async def read_wallet(
    bank: Bank, client: Client, chance: random.Random, seen: Seen
) -> None:
    wallet = chance.choice(bank.vaults + bank.tills)
    one = (await client.call("GET", f"/api/v1/wallets/{wallet}")).json
    note_wallet(bank, one, seen)


async def read_statistics(
    bank: Bank, client: Client, chance: random.Random, seen: Seen
) -> None:
    """What came in less what went out, up to a seq, is the balance at that seq."""
    wallet = chance.choice(bank.vaults + bank.tills)
    one = (await client.call("GET", f"/api/v1/wallets/{wallet}/statistics")).json
    seen.states.add((wallet, one["as_of_seq"], Decimal(one["net_flow"])))
