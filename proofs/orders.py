"""Orders to move money, made at random; what each asks for, and what was answered."""

import random
import uuid
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from proofs.client import Answer

SHARE_OF_BATCHES = 0.2
MOST_MEMBERS = 6
AGAIN = 503

# Wallet, type and amount, as an entry of the history has them.
Entries = list[tuple[str, str, str]]
ENTRY_FIELDS = (
    *("id", "wallet_uuid", "seq", "operation_type"),
    *("amount", "balance_before", "balance_after"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """A request with a key for each of its operations, so that it can be repeated."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def members(self) -> list[dict[str, Any]]:
        """Its operations, each as a batch has them."""
        if "operations" in self.body:
            members: list[dict[str, Any]] = self.body["operations"]
            return members
        key = self.headers.get("Idempotency-Key") or self.body["reference_id"]
        known = {"operation_type": "TRANSFER", "wallet": self.path.split("/")[-2]}
        return [known | self.body | {"reference_id": key}]

    @property
    def keys(self) -> list[str]:
        return [member["reference_id"] for member in self.members]

    @property
    def is_atomic(self) -> bool:
        return bool(self.body.get("atomic"))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer says of one operation; the entries are those of ENTRY_FIELDS."""

    status: int
    replayed: bool = False
    entries: list[list[Any]] = field(default_factory=list)


def entries_of(member: dict[str, Any]) -> Entries:
    """The entries that an operation writes if it is applied."""
    if member["operation_type"] != "TRANSFER":
        return [(member["wallet"], member["operation_type"], member["amount"])]
    return [
        (member["from_wallet"], "TRANSFER_OUT", member["amount"]),
        (member["to_wallet"], "TRANSFER_IN", member["amount"]),
    ]


def signed(operation_type: str, amount: str) -> Decimal:
    """What an entry adds to its wallet."""
    coming = operation_type in {"DEPOSIT", "TRANSFER_IN"}
    return Decimal(amount) if coming else -Decimal(amount)


def random_order(
    chance: random.Random, wallets: list[str], types: tuple[str, ...]
) -> Order:
    """One operation, or a batch of them, atomic or not."""
    if chance.random() < SHARE_OF_BATCHES:
        count = chance.randint(2, MOST_MEMBERS)
        members = [random_member(chance, wallets, types) for _ in range(count)]
        body = {"operations": members, "atomic": chance.random() < 0.5}
        return Order("/api/v1/operations/batch", body)
    member = random_member(chance, wallets, types)
    headers = {}
    if chance.random() < 0.5:
        headers["Idempotency-Key"] = member.pop("reference_id")
    if member["operation_type"] == "TRANSFER":
        del member["operation_type"]
        return Order("/api/v1/transfers", member, headers)
    path = f"/api/v1/wallets/{member.pop('wallet')}/operation"
    return Order(path, member, headers)


def random_member(
    chance: random.Random, wallets: list[str], types: tuple[str, ...]
) -> dict[str, Any]:
    kind = chance.choice(types)
    source, target = chance.sample(wallets, 2)
    known = {
        "operation_type": kind,
        "amount": f"{chance.randrange(1, 2000) / 100:.2f}",
        "reference_id": str(uuid.uuid4()),
    }
    if kind == "TRANSFER":
        return known | {"from_wallet": source, "to_wallet": target}
    return known | {"wallet": source}


def outcomes(order: Order, answer: Answer) -> list[Outcome]:
    """One for each of the order's operations."""
    if answer.status != 200:
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
    entries = [body["outgoing"], body["incoming"]] if "outgoing" in body else [body]
    replayed = "idempotent-replayed" in answer.headers
    return [Outcome(200, replayed, [fields_of(entry) for entry in entries])]


def fields_of(entry: dict[str, Any]) -> list[Any]:
    return [entry[name] for name in ENTRY_FIELDS]
