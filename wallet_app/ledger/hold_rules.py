"""What an operation does to a hold, or why it is refused: no I/O, no clock.

What is left of an open hold is held in its wallet. A hold ends captured, voided or
expired, and nothing of it is held any more; one of which part had been captured ends
captured, and `closed_by` says by what.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from wallet_app.ledger import money, rules
from wallet_app.ledger.operation_types import EntryType, OperationType
from wallet_app.ledger.rules import (
    ZERO,
    Entry,
    Hold,
    Operation,
    Refusal,
    Situation,
    WalletState,
)

Step = tuple[tuple[Entry, ...], Hold]


def is_due(hold: Hold, wallet: WalletState, now: datetime) -> bool:
    """Whether an open hold's time is over.

    A clock that was set back does not bring back a time that the wallet has seen.
    """
    return (
        hold.status == "open"
        and hold.expires_at is not None
        and hold.expires_at <= max(now, wallet.updated_at)
    )


def decide(situation: Situation, operation: Operation, now: datetime) -> Step | Refusal:
    """The entries that the operation writes and the hold as they leave it.

    Changes the situation only when it returns them. Holds whose time is over have been
    expired before.
    """
    hold = None
    if operation.operation_type is not OperationType.HOLD:
        hold = situation.holds.get(operation.parent_key)
        if hold is None:
            return refuse_unknown(operation.parent_key[1])
    wallets = [situation.wallets.get(key) for key in operation.wallet_keys]
    states = [wallet for wallet in wallets if wallet is not None]
    if len(states) < len(wallets):
        missing = operation.wallet_keys[wallets.index(None)][1]
        return Refusal("wallet_not_found", f"There is no wallet {missing}.")
    wallet = states[0]
    if hold is not None and hold.wallet_id != wallet.id:
        return refuse_unknown(hold.id)
    amount = operation.amount
    if not amount and hold is not None:
        amount = hold.remaining
    refusal = refuse(states, hold, operation, amount, now)
    if refusal is not None:
        return refusal
    step = take_step(states, hold, operation, amount, now)
    situation.holds[step[1].key] = step[1]
    return step


def refuse_unknown(hold_id: UUID) -> Refusal:
    return Refusal("hold_not_found", f"There is no hold {hold_id}.")


def refuse(
    states: Sequence[WalletState],
    hold: Hold | None,
    operation: Operation,
    amount: Decimal,
    now: datetime,
) -> Refusal | None:
    """Why the operation may not be, or None."""
    wallet, kind = states[0], operation.operation_type
    refusal = rules.refuse_pair(*states) if len(states) > 1 else None
    if operation.expected_version is not None:
        refusal = refusal or rules.refuse_version(wallet, operation)
    if hold is not None:
        refusal = refusal or refuse_ended(hold)
    refusal = (
        refusal
        or refuse_status(wallet, kind.entry_types[0])
        or rules.refuse_digits(wallet, amount)
    )
    if refusal is not None:
        return refusal
    if kind in (OperationType.HOLD, OperationType.HOLD_INCREASE):
        # An overdraft is for withdrawals: nobody is promised what is not there.
        least = max(wallet.minimum_balance, ZERO)
        refusal = rules.refuse_funds(
            wallet, wallet.balance - wallet.held - least, amount
        ) or rules.refuse_limits(wallet, kind.entry_types[0], amount)
    if operation.expires_at is not None:
        refusal = refusal or refuse_expiry(wallet, hold, operation.expires_at, now)
    if kind is OperationType.CAPTURE and hold is not None:
        refusal = refusal or refuse_excess(hold, amount)
        for target in states[1:]:
            refusal = refusal or rules.refuse(target, EntryType.CAPTURE_IN, amount)
    return refusal


def refuse_ended(hold: Hold) -> Refusal | None:
    if hold.status == "open":
        return None
    how = f"{hold.status}, closed by {hold.closed_by}"
    return Refusal(
        f"hold_already_{hold.status}",
        f"The hold {hold.id} is {how}.",
        {"closed_by": hold.closed_by},
    )


def refuse_status(wallet: WalletState, entry_type: EntryType) -> Refusal | None:
    """A wallet that lets nothing out keeps its promises, and makes no more."""
    keeps = wallet.status == "frozen" and wallet.blocks == "out"
    if wallet.status == "active" or (keeps and entry_type.held_sign <= 0):
        return None
    return rules.not_active(wallet)


def refuse_expiry(
    wallet: WalletState, hold: Hold | None, expires_at: datetime, now: datetime
) -> Refusal | None:
    """Why a hold may not be made to end then: the time has passed, or is no later."""
    if expires_at <= max(now, wallet.updated_at):
        message = "Give a time that is still to come."
        errors = {"expires_at": [message]}
        return Refusal("validation_failed", message, {"errors": errors})
    if hold is None or (hold.expires_at is not None and expires_at > hold.expires_at):
        return None
    end = None if hold.expires_at is None else hold.expires_at.isoformat()
    return Refusal(
        "not_an_extension",
        f"The hold expires at {end}: give a later time."
        if end
        else "The hold does not expire: there is nothing to extend.",
        {"expires_at": end},
    )


def refuse_excess(hold: Hold, amount: Decimal) -> Refusal | None:
    if amount <= hold.remaining:
        return None
    remaining = money.to_text(hold.remaining, hold.currency)
    return Refusal(
        "exceeds_hold",
        f"{remaining} {hold.currency} is left of the hold.",
        {"remaining": remaining},
    )


def take_step(
    states: Sequence[WalletState],
    hold: Hold | None,
    operation: Operation,
    amount: Decimal,
    now: datetime,
) -> Step:
    """Move the wallets and the hold; nothing speaks against it."""
    wallet, kind = states[0], operation.operation_type
    asked = operation
    if amount != operation.amount:
        operation = replace(operation, amount=amount)
    # A capture may lead out of the service: then it has one entry.
    legs = zip(states, kind.entry_types, strict=False)
    entries = rules.post_legs(legs, operation, now)
    first = entries[0]
    before = ZERO if hold is None else hold.remaining
    after = changed(hold, first, operation) if hold else made(first, operation)
    wallet.held += after.remaining - before
    first.held_after = wallet.held
    if after.status == "open" and after.expires_at is not None:
        # It may be too early, never too late: whoever comes by then looks again.
        known = wallet.next_expiry or after.expires_at
        wallet.next_expiry = min(after.expires_at, known)
    after.asked_amount = asked.amount
    after.asked_expires_at = asked.expires_at
    after.final = asked.final
    return entries, after


def made(entry: Entry, operation: Operation) -> Hold:
    return Hold(
        tenant_id=entry.tenant_id,
        id=entry.reference_id,
        wallet_id=entry.wallet_id,
        wallet_uuid=entry.wallet_uuid,
        currency=entry.currency,
        amount=entry.amount,
        expires_at=operation.expires_at,
        description=entry.description,
        created_at=entry.created_at,
        updated_at=entry.created_at,
    )


def changed(hold: Hold, entry: Entry, operation: Operation) -> Hold:
    """The hold behind an entry that acts on it."""
    after = replace(hold, updated_at=entry.created_at)
    match operation.operation_type:
        case OperationType.HOLD_INCREASE:
            after.amount += entry.amount
        case OperationType.HOLD_EXTEND:
            after.expires_at = operation.expires_at
        case OperationType.CAPTURE:
            after.captured += entry.amount
            if operation.final or not after.remaining:
                end(after, "capture")
        case OperationType.VOID:
            end(after, "void")
        case OperationType.EXPIRY:
            end(after, "expiry")
    return after


def end(hold: Hold, closed_by: str) -> None:
    """Give back what is left."""
    hold.released += hold.remaining
    hold.closed_by = closed_by
    ends = {"capture": "captured", "void": "voided", "expiry": "expired"}
    hold.status = "captured" if hold.captured else ends[closed_by]


def expire(situation: Situation, hold: Hold, reference_id: UUID, now: datetime) -> Step:
    """Give back what a hold has left at its end, whatever state its wallet is in."""
    wallet = situation.wallets[hold.tenant_id, hold.wallet_uuid]
    operation = Operation(
        tenant_id=hold.tenant_id,
        operation_type=OperationType.EXPIRY,
        wallet_uuid=hold.wallet_uuid,
        amount=hold.remaining,
        reference_id=reference_id,
        parent_reference_id=hold.id,
    )
    step = take_step([wallet], hold, operation, hold.remaining, now)
    situation.holds[hold.key] = step[1]
    return step


def is_same(operation: Operation, entry: Entry, hold: Hold | None) -> bool:
    """Whether the operation has written the entry and left the hold so: a retry."""
    return (
        hold is not None
        and rules.is_same(replace(operation, amount=entry.amount), entry)
        and hold.asked_amount == operation.amount
        and hold.asked_expires_at == operation.expires_at
        and hold.final == operation.final
    )
