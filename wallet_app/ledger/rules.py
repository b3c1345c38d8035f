"""What an operation does to a wallet, or why it is refused: no I/O, no clock."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from wallet_app.ledger import limit_rules, money
from wallet_app.ledger.limit_rules import Limits
from wallet_app.ledger.operation_types import EntryType, OperationType

# A tenant's id and a uuid, of a wallet or of an operation, that is unique within it.
Key = tuple[int, UUID]
ZERO = Decimal(0)


# Nobody changes one; frozen, it would take three times as long to make, which is a
# fortieth of what a member of a batch costs.
@dataclass(slots=True, kw_only=True)
class Operation:
    """One request that moves money; `target_uuid` is the second wallet, if it has one.

    Both wallets, and the reference, are those of the tenant.
    `expected_version` refuses the operation when the wallet has moved on.
    `metadata` is kept with its entries. `parent_reference_id` is that of an earlier
    operation on which this one acts.
    `occurred_at` dates an imported operation; None means the time of posting.
    Of holds: an `amount` of 0 stands for all that is left, `final` gives back what a
    capture leaves, and `expires_at` is the end that a hold gets.
    Of refunds: an `amount` of 0 likewise; `expected_refunded` refuses one when another
    sum has been refunded before it.
    """

    tenant_id: int
    operation_type: OperationType
    wallet_uuid: UUID
    amount: Decimal
    reference_id: UUID
    target_uuid: UUID | None = None
    description: str | None = None
    expected_version: int | None = None
    expected_revision: int | None = None
    occurred_at: datetime | None = None
    metadata: dict[str, object] | None = None
    parent_reference_id: UUID | None = None
    final: bool = False
    expires_at: datetime | None = None
    expected_refunded: Decimal | None = None

    @property
    def key(self) -> Key:
        return self.tenant_id, self.reference_id

    @property
    def parent_key(self) -> Key:
        """That of the hold, or of what is refunded; its own if it makes a hold."""
        return self.tenant_id, self.parent_reference_id or self.reference_id

    @property
    def wallet_keys(self) -> tuple[Key, ...]:
        if self.target_uuid is None:
            return ((self.tenant_id, self.wallet_uuid),)
        return (self.tenant_id, self.wallet_uuid), (self.tenant_id, self.target_uuid)


@dataclass(slots=True)
class WalletState:
    """A wallet as its row lock shows it; `post` moves it from entry to entry."""

    id: int
    tenant_id: int
    uuid: UUID
    balance: Decimal
    currency: str
    status: str
    version: int
    updated_at: datetime
    held: Decimal = ZERO
    minimum_balance: Decimal = ZERO
    next_expiry: datetime | None = None
    blocks: str | None = None
    limited: bool = False
    revision: int = 0
    limits: Limits | None = None

    @property
    def key(self) -> Key:
        return self.tenant_id, self.uuid

    @property
    def available(self) -> Decimal:
        """What may leave the wallet now; below zero if its minimum was raised."""
        return self.balance - self.held - self.minimum_balance


@dataclass(slots=True)
class Entry:
    """One row of a wallet's history; the database gives its `id`.

    `parent_reference_id` is that of an earlier operation on which this one acts.
    """

    id: int
    tenant_id: int
    wallet_id: int
    wallet_uuid: UUID
    currency: str
    seq: int
    entry_type: EntryType
    amount: Decimal
    balance_before: Decimal
    balance_after: Decimal
    description: str | None
    reference_id: UUID
    created_at: datetime
    counterparty_uuid: UUID | None = None
    held_before: Decimal = ZERO
    held_after: Decimal = ZERO
    parent_reference_id: UUID | None = None
    metadata: dict[str, object] | None = None

    @property
    def key(self) -> Key:
        """That of the operation."""
        return self.tenant_id, self.reference_id


@dataclass(slots=True, kw_only=True)
class Hold:
    """Money of a wallet that is promised, as it is after an entry.

    Its id is the reference of the operation that made it. What is left of `amount` is
    held: `captured` has been taken, `released` given back. `asked_amount`,
    `asked_expires_at` and `final` are what the entry's operation has asked for.
    """

    tenant_id: int
    id: UUID
    wallet_id: int
    wallet_uuid: UUID
    currency: str
    amount: Decimal
    captured: Decimal = ZERO
    released: Decimal = ZERO
    status: str = "open"
    closed_by: str | None = None
    expires_at: datetime | None
    description: str | None
    created_at: datetime
    updated_at: datetime
    asked_amount: Decimal = ZERO
    asked_expires_at: datetime | None = None
    final: bool = False

    @property
    def key(self) -> Key:
        return self.tenant_id, self.id

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.captured - self.released


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """An operation that may be refunded, as it is after a refund.

    `entry_type` and `wallet_uuid` are of its first entry. `asked_amount` is what the
    refund has asked for, 0 for all that was left.
    """

    tenant_id: int
    reference_id: UUID
    entry_type: EntryType
    wallet_uuid: UUID
    counterparty_uuid: UUID | None
    currency: str
    amount: Decimal
    refunded: Decimal = ZERO
    asked_amount: Decimal = ZERO

    @property
    def key(self) -> Key:
        return self.tenant_id, self.reference_id

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.refunded

    @property
    def wallets(self) -> tuple[UUID, UUID | None]:
        """A refund's wallet and its second one: who got the money gives it back."""
        return way_back(self.wallet_uuid, self.counterparty_uuid)


def way_back(wallet: UUID, target: UUID | None) -> tuple[UUID, UUID | None]:
    """The wallet and the second one of what goes the other way."""
    return (wallet, None) if target is None else (target, wallet)


@dataclass(slots=True)
class Situation:
    """What a batch's locks make certain; `decide` moves it on."""

    wallets: dict[Key, WalletState]
    holds: dict[Key, Hold] = field(default_factory=dict)
    originals: dict[Key, Original] = field(default_factory=dict)

    def copy(self, operations: Iterable[Operation]) -> "Situation":
        """What is there now, to be put back by `restore` after these operations.

        A hold or an original is not changed but replaced by the next.
        """
        keys = {key for operation in operations for key in operation.wallet_keys}
        wallets = {k: replace(v) for k, v in self.wallets.items() if k in keys}
        return Situation(wallets, dict(self.holds), dict(self.originals))

    def restore(self, before: "Situation") -> None:
        self.wallets.update(before.wallets)
        self.holds = before.holds
        self.originals = before.originals


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation does nothing: `code` names an error, `facts` its details."""

    code: str
    detail: str
    facts: dict[str, object] = field(default_factory=dict)


def decide(
    situation: Situation, operation: Operation, now: datetime
) -> tuple[Entry, ...] | Refusal:
    """The entries that the operation writes, in order, or its refusal.

    Changes the situation only when it returns entries.
    """
    states = []
    for key in operation.wallet_keys:
        state = situation.wallets.get(key)
        if state is None:
            return Refusal("wallet_not_found", f"There is no wallet {key[1]}.")
        states.append(state)
    legs = list(zip(states, operation.operation_type.entry_types, strict=True))
    refusal = refuse_pair(*states) if len(states) > 1 else None
    if operation.expected_version is not None:
        refusal = refusal or refuse_version(states[0], operation)
    for state, entry_type in legs:
        refusal = refusal or refuse(state, entry_type, operation.amount)
    if refusal is not None:
        return refusal
    return post_legs(legs, operation, now)


def post_legs(
    legs: Iterable[tuple[WalletState, EntryType]], operation: Operation, now: datetime
) -> tuple[Entry, ...]:
    """Post the operation's entry in each wallet, each with the other's name."""
    entries = tuple([post(*leg, operation, now) for leg in legs])
    if len(entries) > 1:
        entries[0].counterparty_uuid = entries[1].wallet_uuid
        entries[1].counterparty_uuid = entries[0].wallet_uuid
    return entries


def refuse_pair(source: WalletState, target: WalletState) -> Refusal | None:
    if source is target:
        return Refusal("same_wallet", "Name two different wallets in a transfer.")
    if source.currency != target.currency:
        return Refusal(
            "currency_mismatch",
            f"A transfer needs one currency: {source.uuid} holds {source.currency}, "
            f"{target.uuid} holds {target.currency}.",
        )
    return None


def refuse_version(wallet: WalletState, operation: Operation) -> Refusal | None:
    version, revision = operation.expected_version, operation.expected_revision
    if version != wallet.version:
        detail = f"The wallet is at version {wallet.version}, not {version}"
    elif revision not in (None, wallet.revision):
        detail = f"The wallet is at revision {wallet.revision}, not {revision}"
    else:
        return None
    return Refusal(
        "precondition_failed",
        f"{detail}: read it again, then decide.",
        {"version": wallet.version},
    )


def refuse(
    wallet: WalletState, entry_type: EntryType, amount: Decimal
) -> Refusal | None:
    """Why this wallet may not take part, or None."""
    # Frozen for what goes out only, it takes what comes in.
    lets_in = wallet.status == "frozen" and wallet.blocks == "out"
    if wallet.status != "active" and not (lets_in and entry_type.sign > 0):
        return not_active(wallet)
    refusal = refuse_digits(wallet, amount)
    if refusal is not None:
        return refusal
    if entry_type.sign > 0:
        refusal = refuse_balance(wallet, wallet.balance + amount)
    else:
        refusal = refuse_funds(wallet, wallet.available, amount)
    return refusal or refuse_limits(wallet, entry_type, amount)


def refuse_limits(
    wallet: WalletState, entry_type: EntryType, amount: Decimal
) -> Refusal | None:
    """Why the wallet's limits do not let it through, or None."""
    if wallet.limits is None:
        return None
    passed = limit_rules.passed(
        wallet.limits,
        entry_type,
        amount,
        balance=wallet.balance,
        currency=wallet.currency,
    )
    if passed is None:
        return None
    return Refusal("limit_exceeded", passed.detail, passed.facts)


def not_active(wallet: WalletState) -> Refusal:
    return Refusal(
        "wallet_not_active",
        f"The wallet {wallet.uuid} is {wallet.status}.",
        {"wallet_status": wallet.status, "block": wallet.blocks},
    )


def refuse_digits(wallet: WalletState, amount: Decimal) -> Refusal | None:
    """Why the amount is none of the wallet's currency, or None."""
    if not money.is_currency(wallet.currency):
        return Refusal(
            "currency_not_configured",
            f"{wallet.currency} is not configured any more: have it put back into"
            " WALLET_CURRENCIES with the digits that it had.",
        )
    if not money.fits(amount, wallet.currency):
        digits = money.exponent(wallet.currency)
        detail = f"{wallet.currency} has {digits} digits after the decimal point."
        return Refusal("invalid_amount", detail, {"errors": {"amount": [detail]}})
    return None


def refuse_balance(wallet: WalletState, balance: Decimal) -> Refusal | None:
    """Why the wallet may not come to this balance, or None."""
    if balance >= money.LIMIT:
        return Refusal(
            "balance_limit_exceeded",
            f"A balance stays below 10^{money.MAX_INTEGER_DIGITS} {wallet.currency}.",
        )
    return None


def refuse_funds(
    wallet: WalletState, available: Decimal, amount: Decimal
) -> Refusal | None:
    """Why the wallet may not give the amount out of what is available, or None."""
    if amount <= available:
        return None
    has = money.to_text(max(available, ZERO), wallet.currency)
    short_by = money.to_text(amount - available, wallet.currency)
    return Refusal(
        "insufficient_funds",
        f"The wallet has {has} {wallet.currency} available, {short_by} too little.",
        {"available": has, "short_by": short_by},
    )


def post(
    wallet: WalletState, entry_type: EntryType, operation: Operation, now: datetime
) -> Entry:
    """Move the state by one step and return the entry that records it."""
    before = wallet.balance
    amount = money.in_currency(operation.amount, wallet.currency)
    wallet.balance = entry_type.move(before, amount)
    wallet.version += 1
    if wallet.limits is not None:
        wallet.limits = wallet.limits.after(entry_type, amount)
    # Clocks differ between machines; along one wallet's history time never goes back.
    wallet.updated_at = max(operation.occurred_at or now, wallet.updated_at)
    return Entry(
        id=0,
        tenant_id=wallet.tenant_id,
        wallet_id=wallet.id,
        wallet_uuid=wallet.uuid,
        currency=wallet.currency,
        seq=wallet.version,
        entry_type=entry_type,
        amount=amount,
        balance_before=before,
        balance_after=wallet.balance,
        description=operation.description,
        reference_id=operation.reference_id,
        created_at=wallet.updated_at,
        held_before=wallet.held,
        held_after=wallet.held,
        parent_reference_id=operation.parent_reference_id,
        metadata=operation.metadata,
    )


def is_same(operation: Operation, entry: Entry) -> bool:
    """Whether the entry is what this operation would have written: a retry.

    `entry` is the operation's first one, which carries the reference.
    """
    return (
        entry.entry_type is operation.operation_type.entry_types[0]
        and entry.wallet_uuid == operation.wallet_uuid
        and entry.counterparty_uuid == operation.target_uuid
        and entry.amount == operation.amount
        and entry.description == operation.description
        and is_same_json(entry.metadata, operation.metadata)
        and entry.parent_reference_id == operation.parent_reference_id
    )


def is_same_json(one: object, other: object) -> bool:
    """Whether two JSON values are the same: Python takes true for 1."""
    if one is None or other is None:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
