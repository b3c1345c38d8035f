"""What the service should do: a bank in plain Python, one request after another.

No database, no threads, and no line shared with the service: amounts are integers of
minor units, and each rule is written down a second time. Time does not pass in it: no
hold expires.
"""

import copy
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

from tests.model.accounts import (
    DIGITS,
    OF_HOLDS,
    REFUNDABLE,
    SIGNS,
    Entry,
    Hold,
    Operation,
    Outcome,
    Receipt,
    Refusal,
    Wallet,
)

LIMIT = 10**18
# What each kind of operation writes into the wallets that it names.
LEGS = {
    "DEPOSIT": ["DEPOSIT"],
    "WITHDRAW": ["WITHDRAW"],
    "TRANSFER": ["TRANSFER_OUT", "TRANSFER_IN"],
    "CAPTURE": ["CAPTURE", "CAPTURE_IN"],
}
# What a wallet lets through that is frozen for what goes out.
LET_THROUGH = ("HOLD_EXTEND", "CAPTURE", "VOID")
Legs = list[tuple[Wallet, str]]


class Bank:
    """All wallets, and every operation that was ever applied."""

    def __init__(self) -> None:
        self.wallets: dict[str, Wallet] = {}
        self.receipts: dict[Hashable, Receipt] = {}
        self.references: dict[Hashable, str] = {}
        self.holds: list[Hold] = []
        # By currency: what came in less what left, whatever was transferred.
        self.brought_in: Counter[str] = Counter()

    def open(self, uuid: str, currency: str, created_at: str) -> Wallet:
        self.wallets[uuid] = Wallet(uuid, currency, created_at)
        return self.wallets[uuid]

    def hold(self, reference: str | None) -> Hold | None:
        found = [one for one in self.holds if one.id == reference]
        return found[0] if found else None

    def applied(self, reference: str | None) -> Receipt | None:
        """What an operation did, whatever its key is."""
        found = [one for one in self.receipts.values() if one.reference == reference]
        return found[0] if found else None

    def refunds(self, reference: str | None) -> list[Receipt]:
        """The refunds of an operation, oldest first."""
        return [
            one
            for one in self.receipts.values()
            if one.operation.kind == "REFUND" and one.operation.parent == reference
        ]

    def post_alone(self, operation: Operation) -> Outcome:
        """As a request of its own, whose path must lead to something."""
        if operation.parent is None:
            return self.post(operation)
        if operation.kind == "REFUND":
            known, code = self.applied(operation.parent), "operation_not_found"
        else:
            known, code = self.hold(operation.parent), "hold_not_found"
        return self.post(operation) if known else Refusal(404, code)

    def post(self, operation: Operation) -> Outcome:
        """Apply an operation, or say why not; the same key is applied once."""
        known = self.receipts.get(operation.key)
        if known is not None:
            if known.operation.content() != operation.content():
                return Refusal(422, "idempotency_key_reused")
            return replace(known, replayed=True)
        legs = self.legs(operation)
        refusal = legs if isinstance(legs, Refusal) else self.refuse(operation, legs)
        if refusal is not None:
            return refusal
        receipt = self.write(operation, legs)
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

    def legs(self, operation: Operation) -> Legs | Refusal:
        """The wallets that take part, and what is written into each."""
        kind = operation.kind
        if kind == "REFUND":
            original = self.applied(operation.parent)
            if original is None:
                return Refusal(404, "operation_not_found")
            if original.operation.kind not in REFUNDABLE:
                facts = {"operation_type": original.entries[0].kind}
                return Refusal(409, "not_refundable", facts)
            # The way that it came, backwards: who got the money gives it back.
            return [
                (one.wallet, "REFUND_OUT" if SIGNS[one.kind] > 0 else "REFUND_IN")
                for one in original.entries[::-1]
            ]
        hold = self.hold(operation.parent) if operation.parent else None
        if operation.parent and hold is None:
            return Refusal(404, "hold_not_found")
        wallets = [hold.wallet if hold else self.wallets.get(operation.wallet)]
        if operation.target is not None:
            wallets.append(self.wallets.get(operation.target))
        if None in wallets:
            return Refusal(404, "wallet_not_found")
        return list(zip(wallets, LEGS.get(kind, [kind]), strict=False))

    def refuse(self, operation: Operation, legs: Legs) -> Refusal | None:
        """Why the operation may not be applied now; the first reason counts."""
        wallets = [wallet for wallet, _ in legs]
        if operation.target is not None:
            if wallets[0] is wallets[1]:
                return Refusal(422, "same_wallet")
            if wallets[0].currency != wallets[1].currency:
                return Refusal(422, "currency_mismatch")
        if operation.expected_version not in (None, wallets[0].version):
            facts = {"version": wallets[0].version}
            return Refusal(412, "precondition_failed", facts)
        if operation.kind in OF_HOLDS:
            return self.refuse_step(operation, legs)
        if operation.kind == "REFUND":
            refusal = self.refuse_refund(operation, wallets[0])
            if refusal is not None:
                return refusal
        return refuse_legs(legs, operation, self.amount(operation, wallets[0]))

    def refuse_refund(self, operation: Operation, payer: Wallet) -> Refusal | None:
        refunded, left = self.refundable(operation)
        facts = {"refunded": payer.text(refunded), "remaining": payer.text(left)}
        expected = operation.expected_refunded
        if expected is not None and payer.units(expected) != refunded:
            return Refusal(409, "refunded_changed", facts)
        if not fits(operation, payer):
            return Refusal(422, "invalid_amount")
        if not 0 < self.amount(operation, payer) <= left:
            return Refusal(409, "exceeds_refundable", facts)
        return None

    def refuse_step(self, operation: Operation, legs: Legs) -> Refusal | None:
        """Why a hold may not be made, or not be changed like that."""
        wallet, kind = legs[0]
        hold = self.hold(operation.parent) if operation.parent else None
        if hold is not None and hold.closed_by is not None:
            facts = {"closed_by": hold.closed_by}
            return Refusal(409, f"hold_already_{hold.status}", facts)
        refusal = refuse_move(wallet, kind, operation)
        if refusal is not None:
            return refusal
        amount = self.amount(operation, wallet)
        if kind in ("HOLD", "HOLD_INCREASE"):
            refusal = refuse_loss(wallet, amount, wallet.available_for_holds)
            return refusal or refuse_limits(wallet, kind, amount)
        if kind == "HOLD_EXTEND" and (
            hold.expires_at is None or operation.expires_at <= hold.expires_at
        ):
            return Refusal(409, "not_an_extension")
        if kind == "CAPTURE" and amount > hold.left:
            facts = {"remaining": wallet.text(hold.left)}
            return Refusal(409, "exceeds_hold", facts)
        return refuse_legs(legs[1:], operation, amount)

    def amount(self, operation: Operation, wallet: Wallet) -> int:
        """In minor units; if it is not said, what is left of the hold or original."""
        if operation.amount is not None:
            return wallet.units(operation.amount)
        if operation.kind == "REFUND":
            return self.refundable(operation)[1]
        return self.hold(operation.parent).left

    def refundable(self, operation: Operation) -> tuple[int, int]:
        """What has been refunded of the original, and what may still be."""
        refunded = sum(one.amount for one in self.refunds(operation.parent))
        return refunded, self.applied(operation.parent).amount - refunded

    def write(self, operation: Operation, legs: Legs) -> Receipt:
        """What becomes of an operation that nothing speaks against."""
        amount = self.amount(operation, legs[0][0])
        refunded = amount
        if operation.kind == "REFUND":
            refunded += self.refundable(operation)[0]
        entries = tuple(append(*leg, operation, amount) for leg in legs)
        if len(entries) == 2:
            entries[0].counterparty = entries[1].wallet.uuid
            entries[1].counterparty = entries[0].wallet.uuid
        else:
            self.brought_in[entries[0].wallet.currency] += entries[0].moved
        if operation.kind not in OF_HOLDS:
            return Receipt(operation, entries, refunded=refunded)
        return Receipt(operation, entries, hold=self.take_step(operation, entries[0]))

    def take_step(self, operation: Operation, entry: Entry) -> Hold:
        """Make a hold, or change it; the wallet holds what is left of it."""
        if operation.parent is None:
            hold = Hold(entry, entry, entry.amount, operation.expires_at)
            self.holds.append(hold)
            entry.wallet.held += hold.left
        else:
            before = self.hold(operation.parent)
            hold = changed(before, operation, entry)
            self.holds[self.holds.index(before)] = hold
            entry.wallet.held += hold.left - before.left
        entry.held = entry.wallet.held
        return hold


def changed(hold: Hold, operation: Operation, entry: Entry) -> Hold:
    hold = replace(hold, last=entry)
    if entry.kind == "HOLD_INCREASE":
        return replace(hold, amount=hold.amount + entry.amount)
    if entry.kind == "HOLD_EXTEND":
        return replace(hold, expires_at=operation.expires_at)
    closed_by = "void"
    if entry.kind == "CAPTURE":
        hold = replace(hold, captured=hold.captured + entry.amount)
        if hold.left and not operation.final:
            return hold
        closed_by = "capture"
    return replace(hold, released=hold.released + hold.left, closed_by=closed_by)


def refuse_legs(legs: Legs, operation: Operation, amount: int) -> Refusal | None:
    for wallet, kind in legs:
        refusal = refuse_move(wallet, kind, operation)
        if refusal is None and SIGNS[kind] > 0:
            refusal = refuse_gain(wallet, amount)
        elif refusal is None:
            refusal = refuse_loss(wallet, amount, wallet.available)
        refusal = refusal or refuse_limits(wallet, kind, amount)
        if refusal is not None:
            return refusal
    return None


def refuse_move(wallet: Wallet, kind: str, operation: Operation) -> Refusal | None:
    passes = SIGNS[kind] > 0 or kind in LET_THROUGH
    if wallet.status != "active" and not (wallet.block == "out" and passes):
        facts = {"wallet_status": wallet.status, "block": wallet.block}
        return Refusal(409, "wallet_not_active", facts)
    return None if fits(operation, wallet) else Refusal(422, "invalid_amount")


def fits(operation: Operation, wallet: Wallet) -> bool:
    """Whether the amount has no more digits than the currency."""
    _, _, decimals = (operation.amount or "").partition(".")
    return len(decimals) <= DIGITS[wallet.currency]


def refuse_loss(source: Wallet, amount: int, available: int) -> Refusal | None:
    short_by = amount - available
    if short_by <= 0:
        return None
    facts = {
        "available": source.text(max(available, 0)),
        "short_by": source.text(short_by),
    }
    return Refusal(409, "insufficient_funds", facts)


def refuse_gain(target: Wallet, amount: int) -> Refusal | None:
    limit = LIMIT * 10 ** DIGITS[target.currency]
    if target.balance + amount < limit:
        return None
    return Refusal(409, "balance_limit_exceeded")


def refuse_limits(wallet: Wallet, kind: str, amount: int) -> Refusal | None:
    begins = kind not in ("CAPTURE", "CAPTURE_IN", "REFUND_OUT", "REFUND_IN")
    name, limit, left = "largest_operation", wallet.largest, wallet.largest
    if limit is None or amount <= limit or not begins:
        name, limit = "maximum_balance", wallet.maximum
        if limit is None or SIGNS[kind] <= 0 or wallet.balance + amount <= limit:
            return None
        left = max(limit - wallet.balance, 0)
    facts = {"limit": name, "value": wallet.text(limit), "left": wallet.text(left)}
    return Refusal(409, "limit_exceeded", facts)


def append(wallet: Wallet, kind: str, operation: Operation, amount: int) -> Entry:
    before = wallet.balance
    dated = operation.occurred_at
    entry = Entry(
        wallet=wallet,
        seq=wallet.version + 1,
        kind=kind,
        amount=amount,
        before=before,
        after=before + amount * SIGNS[kind],
        held=wallet.held,
        parent=operation.parent,
        description=operation.description,
        metadata=operation.metadata,
        # Along a history time never goes back.
        created_at=None if dated is None else max(dated, wallet.updated_at),
    )
    wallet.history.append(entry)
    return entry
