"""What the bank of the model knows: wallets, entries, holds, and what is asked of it.

Amounts are integers of minor units; nothing here is shared with the service.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

DIGITS = {"JPY": 0, "USD": 2, "KWD": 3}
# What each kind of entry does to the balance.
SIGNS = {
    "DEPOSIT": 1,
    "WITHDRAW": -1,
    "TRANSFER_OUT": -1,
    "TRANSFER_IN": 1,
    "HOLD": 0,
    "HOLD_INCREASE": 0,
    "HOLD_EXTEND": 0,
    "CAPTURE": -1,
    "CAPTURE_IN": 1,
    "VOID": 0,
    "REFUND_OUT": -1,
    "REFUND_IN": 1,
}
OF_HOLDS = ("HOLD", "HOLD_INCREASE", "HOLD_EXTEND", "CAPTURE", "VOID")
REFUNDABLE = ("DEPOSIT", "WITHDRAW", "TRANSFER", "CAPTURE")


@dataclass(frozen=True)
class Operation:
    """What a client asks for; `key` is whatever makes it the same operation again.

    `amount` is the text that the client sends; None stands for all that is left.
    `parent` is the reference of the hold on which it acts, or of what it refunds: such
    operations name no wallet. `occurred_at` dates an import.
    """

    kind: str
    wallet: str | None
    amount: str | None
    target: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    key: Hashable = None
    expected_version: int | None = None
    occurred_at: str | None = None
    parent: str | None = None
    final: bool = False
    expires_at: str | None = None
    expected_refunded: str | None = None

    def content(self) -> tuple[Any, ...]:
        """What a retry must repeat; conditions are no part of it."""
        amount = None if self.amount is None else Fraction(self.amount)
        return (
            *(self.kind, self.wallet, self.target, self.parent, amount),
            *(self.final, self.expires_at, self.description, self.metadata),
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
    held: int = 0
    parent: str | None = None
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
            "held_after": text(self.held),
            "currency": self.wallet.currency,
            "description": self.description,
            "reference_id": self.reference,
            "counterparty_uuid": self.counterparty,
            "parent_reference_id": self.parent,
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
    block: str | None = None
    owner: str | None = None
    labels: list[str] = field(default_factory=list)
    history: list[Entry] = field(default_factory=list)
    # What is left of its open holds.
    held: int = 0
    # Its limits: what the balance may be, below zero too, and each operation.
    minimum: int = 0
    maximum: int | None = None
    largest: int | None = None
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
    def available(self) -> int:
        return self.balance - self.held - self.minimum

    @property
    def available_for_holds(self) -> int:
        """Holds never draw on an overdraft."""
        return self.balance - self.held - max(self.minimum, 0)

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

    def units(self, amount: str) -> int:
        return int(Fraction(amount) * 10 ** DIGITS[self.currency])

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        return {
            "uuid": self.uuid,
            "balance": self.text(self.balance),
            "currency": self.currency,
            "held": self.text(self.held),
            "available": self.text(self.available),
            "owner": self.owner,
            "name": None,
            "labels": self.labels,
            "metadata": None,
            "status": self.status,
            "block": self.block,
            "version": self.version,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True)
class Hold:
    """A hold as an entry has left it; its id is the reference of the first one."""

    first: Entry
    last: Entry
    amount: int
    expires_at: str | None
    captured: int = 0
    released: int = 0
    closed_by: str | None = None

    @property
    def id(self) -> str | None:
        return self.first.reference

    @property
    def wallet(self) -> Wallet:
        return self.first.wallet

    @property
    def left(self) -> int:
        return self.amount - self.captured - self.released

    @property
    def status(self) -> str:
        if self.closed_by is None:
            return "open"
        return "captured" if self.captured else "voided"

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        text = self.wallet.text
        return {
            "id": self.id,
            "wallet_uuid": self.wallet.uuid,
            "currency": self.wallet.currency,
            "amount": text(self.amount),
            "captured": text(self.captured),
            "released": text(self.released),
            "remaining": text(self.left),
            "status": self.status,
            "closed_by": self.closed_by,
            "expires_at": self.expires_at,
            "description": self.first.description,
            "created_at": self.first.created_at,
            "updated_at": self.last.created_at,
        }


@dataclass(frozen=True)
class Receipt:
    """An operation that was applied, now or, if it is a replay, by an earlier call.

    With the hold as it left it, or all that was refunded of its original with it.
    """

    operation: Operation
    entries: tuple[Entry, ...]
    replayed: bool = False
    hold: Hold | None = None
    refunded: int = 0

    @property
    def amount(self) -> int:
        return self.entries[0].amount

    @property
    def reference(self) -> str | None:
        return self.entries[0].reference


@dataclass(frozen=True)
class Refusal:
    """Why nothing was applied."""

    status: int
    code: str
    facts: dict[str, Any] = field(default_factory=dict)


Outcome = Receipt | Refusal
