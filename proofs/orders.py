"""Orders to move money, made at random; what each asks for, and what was answered."""

import random
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from proofs.client import Answer
from wallet_app.ledger.operation_types import EntryType

SHARE_OF_BATCHES = 0.2
MOST_MEMBERS = 6
AGAIN = 503
# How many of each a client remembers, to act on them later.
REMEMBERED = 50
# Longer than any order is sent again: by then an expiry that has passed is a 422.
EXTENDED_TO = timedelta(days=1)

# Wallet, type and amount, as an entry of the history has them; None: what is left.
Entries = list[tuple[str, str, str | None]]
ENTRY_FIELDS = (
    *("id", "wallet_uuid", "seq", "operation_type"),
    *("amount", "balance_before", "balance_after", "held_after"),
)
# What an order of each type does to a hold, as its path names it.
VERBS = {
    "CAPTURE": "capture",
    "VOID": "void",
    "HOLD_INCREASE": "increase",
    "HOLD_EXTEND": "extend",
}
REFUNDABLE = {"DEPOSIT", "WITHDRAW", "TRANSFER_OUT", "CAPTURE"}


@dataclass(frozen=True, slots=True)
class Order:
    """A request with a key for each of its operations, so that it can be repeated.

    `asked` has the entries that each of them writes if it is applied.
    """

    path: str
    body: dict[str, Any]
    keys: list[str]
    asked: list[Entries]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_atomic(self) -> bool:
        return bool(self.body.get("atomic"))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer says of one operation; the entries are those of ENTRY_FIELDS.

    The status is 200 also where one that makes something is answered 201.
    """

    status: int
    replayed: bool = False
    entries: list[list[Any]] = field(default_factory=list)


def signed(entry_type: str, amount: str | Decimal | None) -> Decimal:
    """What an entry adds to its wallet."""
    return EntryType[entry_type].sign * Decimal(amount or 0)


def is_as_asked(found: Sequence[tuple[str, str, str]], asked: Entries) -> bool:
    """Whether the entries are those that were asked for, in their order."""
    return [
        (wallet, kind, None if wanted is None else amount)
        for (wallet, kind, amount), (*_, wanted) in zip(found, asked, strict=False)
    ] == asked and len(found) == len(asked)


class Customer:
    """Draws orders of some types for some wallets, and remembers what to act on.

    Money of the wallets that know TRANSFER is captured into another of them; where
    WITHDRAW is known, it leaves. `holds_last` is when a hold expires.
    """

    def __init__(
        self,
        chance: random.Random,
        wallets: list[str],
        types: tuple[str, ...],
        holds_last: timedelta,
    ) -> None:
        self.chance = chance
        self.wallets = wallets
        self.types = types
        self.holds_last = holds_last
        # The ids of holds and their wallets; operations and what they have written.
        self.holds: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self.moved: deque[tuple[str, Entries]] = deque(maxlen=REMEMBERED)

    def order(self) -> Order:
        """One operation, or a batch of them, atomic or not."""
        if self.chance.random() < SHARE_OF_BATCHES:
            count = self.chance.randint(2, MOST_MEMBERS)
            drawn = [self.member() for _ in range(count)]
            members, asked = [one for one, _ in drawn], [one for _, one in drawn]
            body = {"operations": members, "atomic": self.chance.random() < 0.5}
            keys = [one["reference_id"] for one in members]
            return Order("/api/v1/operations/batch", body, keys, asked)
        member, entries = self.member()
        keys, headers = [member["reference_id"]], {}
        if self.chance.random() < 0.5:
            headers["Idempotency-Key"] = member.pop("reference_id")
        return Order(path_of(member), member, keys, [entries], headers)

    def member(self) -> tuple[dict[str, Any], Entries]:
        """An operation as a batch has it, and the entries that it asks for."""
        kind = self.chance.choice(self.types)
        if kind == "HOLD" and self.holds and self.chance.random() < 0.7:
            body, entries = self.act_on_hold()
        elif kind == "REFUND" and self.moved:
            body, entries = self.refund()
        else:
            body, entries = self.move(kind)
        return body | {"reference_id": str(uuid.uuid4())}, entries

    def amount(self) -> str:
        return f"{self.chance.randrange(1, 2000) / 100:.2f}"

    def move(self, kind: str) -> tuple[dict[str, Any], Entries]:
        if kind == "REFUND":
            # Nothing to refund yet.
            kind = self.types[0]
        source, target = self.chance.sample(self.wallets, 2)
        amount = self.amount()
        body = {"operation_type": kind, "amount": amount}
        if kind == "TRANSFER":
            return body | {"from_wallet": source, "to_wallet": target}, [
                (source, "TRANSFER_OUT", amount),
                (target, "TRANSFER_IN", amount),
            ]
        if kind == "HOLD":
            body["expires_at"] = time_in(self.holds_last)
        return body | {"wallet": source}, [(source, kind, amount)]

    def act_on_hold(self) -> tuple[dict[str, Any], Entries]:
        place = self.chance.randrange(len(self.holds))
        hold, wallet = self.holds[place]
        kind = self.chance.choice(["CAPTURE", "CAPTURE", *VERBS])
        body: dict[str, Any] = {"operation_type": kind, "hold": hold}
        if kind == "VOID":
            del self.holds[place]
            return body, [(wallet, kind, None)]
        if kind == "HOLD_EXTEND":
            return body | {"expires_at": time_in(EXTENDED_TO)}, [(wallet, kind, None)]
        amount = body["amount"] = self.amount()
        entries: Entries = [(wallet, kind, amount)]
        if kind == "CAPTURE":
            if self.chance.random() < 0.5:
                body["final"] = True
                del self.holds[place]
            others = [one for one in self.wallets if one != wallet]
            targets = [self.chance.choice(others)] * ("TRANSFER" in self.types)
            target = self.chance.choice(targets + [None] * ("WITHDRAW" in self.types))
            if target is not None:
                body["to_wallet"] = target
                entries.append((target, "CAPTURE_IN", amount))
        return body, entries

    def refund(self) -> tuple[dict[str, Any], Entries]:
        """A part of what was moved, or more than is left of it; the way it came."""
        reference, entries = self.chance.choice(self.moved)
        amount = self.amount()
        body = {"operation_type": "REFUND", "refund_of": reference, "amount": amount}
        return body, [
            (wallet, "REFUND_OUT" if signed(kind, "1") > 0 else "REFUND_IN", amount)
            for wallet, kind, _ in reversed(entries)
        ]

    def note(self, order: Order, outcomes: Sequence[Outcome]) -> None:
        """Remember what was applied."""
        for key, asked, outcome in zip(order.keys, order.asked, outcomes, strict=True):
            if outcome.status != 200:
                continue
            wallet, kind, _ = asked[0]
            if kind == "HOLD":
                self.holds.append((key, wallet))
            elif kind in REFUNDABLE:
                self.moved.append((key, asked))


def time_in(ahead: timedelta) -> str:
    return (datetime.now(UTC) + ahead).isoformat()


def path_of(member: dict[str, Any]) -> str:
    """Where an operation is sent by itself; takes out of it what the path says."""
    kind = member["operation_type"]
    if kind in ("DEPOSIT", "WITHDRAW"):
        return f"/api/v1/wallets/{member.pop('wallet')}/operation"
    del member["operation_type"]
    if kind == "TRANSFER":
        return "/api/v1/transfers"
    if kind == "HOLD":
        return f"/api/v1/wallets/{member.pop('wallet')}/holds"
    if kind == "REFUND":
        return f"/api/v1/operations/{member.pop('refund_of')}/refund"
    return f"/api/v1/holds/{member.pop('hold')}/{VERBS[kind]}"


def outcomes(order: Order, answer: Answer) -> list[Outcome]:
    """One for each of the order's operations."""
    if answer.status not in (200, 201):
        return [Outcome(answer.status)] * len(order.keys)
    body = answer.json
    if "outcomes" in body:
        return [
            Outcome(
                one["status"],
                one["code"] == "replayed",
                [fields_of(entry) for entry in one.get("transactions", ())],
            )
            for one in body["outcomes"]
        ]
    if "transactions" in body:
        entries = body["transactions"]
    else:
        entries = [body["outgoing"], body["incoming"]] if "outgoing" in body else [body]
    replayed = "idempotent-replayed" in answer.headers
    return [Outcome(200, replayed, [fields_of(entry) for entry in entries])]


def fields_of(entry: dict[str, Any]) -> list[Any]:
    return [entry[name] for name in ENTRY_FIELDS]
