"""What the service should do: a bank in plain Python, one request after another.

No database, no threads, and no line shared with the service: amounts are integers of
minor units, and each rule is written down a second time.
"""

import copy
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

DIGITS = {"JPY": 0, "USD": 2, "KWD": 3}
LIMIT = 10**18
# What each kind of operation does to the wallets that it names.
LEGS = {
    "DEPOSIT": [("DEPOSIT", 1)],
    "WITHDRAW": [("WITHDRAW", -1)],
    "TRANSFER": [("TRANSFER_OUT", -1), ("TRANSFER_IN", 1)],
}
SIGNS = dict(leg for legs in LEGS.values() for leg in legs)


@dataclass(frozen=True)
class Operation:
    """What a client asks for; `key` is whatever makes it the same operation again.

    `amount` is the text that the client sends. `occurred_at` dates an import.
    """

    kind: str
    wallet: str
    amount: str
    target: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    key: Hashable = None
    expected_version: int | None = None
    occurred_at: str | None = None

    def content(self) -> tuple[Any, ...]:
        """What a retry must repeat."""
        amount = Fraction(self.amount)
        return (
            *(self.kind, self.wallet, self.target, amount),
            *(self.description, self.metadata),
        )


@dataclass
class Entry:
    """A line of a wallet's history; `id` and `created_at` are the service's to say."""

    wallet: "Wallet"
    seq: int
    kind: str
    amount: int
    before: int
    after: int
    description: str | None
    metadata: dict[str, Any] | None
    counterparty: str | None = None
    created_at: str | None = None
    id: int | None = None
    reference: str | None = None

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        text = self.wallet.text
        return {
            "id": self.id,
            "wallet_uuid": self.wallet.uuid,
            "seq": self.seq,
            "operation_type": self.kind,
            "amount": text(self.amount),
            "balance_before": text(self.before),
            "balance_after": text(self.after),
            "held_after": text(0),
            "currency": self.wallet.currency,
            "description": self.description,
            "reference_id": self.reference,
            "counterparty_uuid": self.counterparty,
            "parent_reference_id": None,
            "metadata": self.metadata,
            "created_at": self.created_at,
        }

    @property
    def moved(self) -> int:
        return self.amount * SIGNS[self.kind]


@dataclass
class Wallet:
    """A wallet and its whole history."""

    uuid: str
    currency: str
    created_at: str
    status: str = "active"
    owner: str | None = None
    labels: list[str] = field(default_factory=list)
    history: list[Entry] = field(default_factory=list)
    # How often was changed what is no money.
    revision: int = 0

    def tag(self, ahead: int = 0) -> str:
        """Its ETag, or that of so many transactions later."""
        revision = f"-{self.revision}" if self.revision else ""
        return f'"{self.version + ahead}{revision}"'

    @property
    def balance(self) -> int:
        return sum(entry.moved for entry in self.history)

    @property
    def version(self) -> int:
        return len(self.history)

    @property
    def updated_at(self) -> str:
        return self.history[-1].created_at if self.history else self.created_at

    def text(self, amount: int) -> str:
        """Minor units as the service writes them: 1250 is 12.50 in USD."""
        digits = DIGITS[self.currency]
        whole, rest = divmod(abs(amount), 10**digits)
        sign = "-" if amount < 0 else ""
        return f"{sign}{whole}.{rest:0{digits}}" if digits else f"{sign}{whole}"

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        return {
            "uuid": self.uuid,
            "balance": self.text(self.balance),
            "currency": self.currency,
            "held": self.text(0),
            "available": self.text(self.balance),
            "owner": self.owner,
            "name": None,
            "labels": self.labels,
            "metadata": None,
            "status": self.status,
            "block": None,
            "version": self.version,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True)
class Receipt:
    """An operation that was applied, now or, if it is a replay, by an earlier call."""

    operation: Operation
    entries: tuple[Entry, ...]
    replayed: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why nothing was applied."""

    status: int
    code: str
    facts: dict[str, Any] = field(default_factory=dict)


Outcome = Receipt | Refusal


class Bank:
    """All wallets, and every operation that was ever applied."""

    def __init__(self) -> None:
        self.wallets: dict[str, Wallet] = {}
        self.receipts: dict[Hashable, Receipt] = {}
        self.references: dict[Hashable, str] = {}
        # By currency: deposits less withdrawals, whatever was transferred.
        self.brought_in: Counter[str] = Counter()

    def open(self, uuid: str, currency: str, created_at: str) -> Wallet:
        self.wallets[uuid] = Wallet(uuid, currency, created_at)
        return self.wallets[uuid]

    def post(self, operation: Operation) -> Outcome:
        """Apply an operation, or say why not; the same key is applied once."""
        known = self.receipts.get(operation.key)
        if known is not None:
            if known.operation.content() != operation.content():
                return Refusal(422, "idempotency_key_reused")
            return Receipt(known.operation, known.entries, replayed=True)
        refusal = self.refuse(operation)
        if refusal is not None:
            return refusal
        receipt = Receipt(operation, self.write(operation))
        own_key = ("without a key", len(self.receipts))
        self.receipts[operation.key or own_key] = receipt
        return receipt

    def post_batch(
        self, operations: Sequence[Operation], *, atomic: bool
    ) -> list[Outcome]:
        """The operations one after the other; `atomic`: none after a refusal."""
        if not atomic:
            return [self.post(operation) for operation in operations]
        trial = copy.deepcopy(self)
        outcomes: list[Outcome] = []
        for operation in operations:
            outcomes.append(trial.post(operation))
            if isinstance(outcomes[-1], Refusal):
                return outcomes
        self.__dict__ = trial.__dict__
        return outcomes

    def refuse(self, operation: Operation) -> Refusal | None:
        """Why the operation may not be applied now; the first reason counts."""
        source = self.wallets.get(operation.wallet)
        target = self.wallets.get(operation.target or operation.wallet)
        if source is None or target is None:
            return Refusal(404, "wallet_not_found")
        if operation.target is not None:
            if source is target:
                return Refusal(422, "same_wallet")
            if source.currency != target.currency:
                return Refusal(422, "currency_mismatch")
        if operation.expected_version not in (None, source.version):
            facts = {"version": source.version}
            return Refusal(412, "precondition_failed", facts)
        legs = zip(self.named(operation), LEGS[operation.kind], strict=True)
        for wallet, (_, sign) in legs:
            refuse_balance = refuse_gain if sign > 0 else refuse_loss
            refusal = refuse_move(wallet, operation) or refuse_balance(
                wallet, operation
            )
            if refusal is not None:
                return refusal
        return None

    def write(self, operation: Operation) -> tuple[Entry, ...]:
        """The entries of an operation that nothing speaks against."""
        legs = zip(self.named(operation), LEGS[operation.kind], strict=True)
        entries = tuple(append(wallet, name, operation) for wallet, (name, _) in legs)
        if len(entries) == 2:
            entries[0].counterparty = operation.target
            entries[1].counterparty = operation.wallet
        else:
            self.brought_in[entries[0].wallet.currency] += entries[0].moved
        return entries

    def named(self, operation: Operation) -> list[Wallet]:
        """The wallets that an operation names, in its order."""
        names = [operation.wallet, operation.target]
        return [self.wallets[name] for name in names if name is not None]


def refuse_move(wallet: Wallet, operation: Operation) -> Refusal | None:
    if wallet.status != "active":
        return Refusal(409, "wallet_not_active")
    _, _, decimals = operation.amount.partition(".")
    if len(decimals) > DIGITS[wallet.currency]:
        return Refusal(422, "invalid_amount")
    return None


def refuse_loss(source: Wallet, operation: Operation) -> Refusal | None:
    short_by = minor_units(operation, source) - source.balance
    if short_by <= 0:
        return None
    facts = {
        "available": source.text(source.balance),
        "short_by": source.text(short_by),
    }
    return Refusal(409, "insufficient_funds", facts)


def refuse_gain(target: Wallet, operation: Operation) -> Refusal | None:
    limit = LIMIT * 10 ** DIGITS[target.currency]
    if target.balance + minor_units(operation, target) < limit:
        return None
    return Refusal(409, "balance_limit_exceeded")


def minor_units(operation: Operation, wallet: Wallet) -> int:
    return int(Fraction(operation.amount) * 10 ** DIGITS[wallet.currency])


def append(wallet: Wallet, kind: str, operation: Operation) -> Entry:
    amount = minor_units(operation, wallet)
    before = wallet.balance
    dated = operation.occurred_at
    entry = Entry(
        wallet=wallet,
        seq=wallet.version + 1,
        kind=kind,
        amount=amount,
        before=before,
        after=before + amount * SIGNS[kind],
        description=operation.description,
        metadata=operation.metadata,
        # Along a history time never goes back.
        created_at=None if dated is None else max(dated, wallet.updated_at),
    )
    wallet.history.append(entry)
    return entry
