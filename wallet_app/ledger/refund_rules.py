"""What a refund gives back, or why it is refused: no I/O, no clock.

The money goes the way that its original went, backwards: who got it pays it back.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from wallet_app.ledger import money, rules
from wallet_app.ledger.operation_types import REFUNDS, EntryType
from wallet_app.ledger.rules import Entry, Operation, Original, Refusal, Situation

Step = tuple[tuple[Entry, ...], Original]
# By the first entry. What was captured from a hold has left its wallet.
REFUNDABLE = frozenset(
    {
        EntryType.DEPOSIT,
        EntryType.WITHDRAW,
        EntryType.TRANSFER_OUT,
        EntryType.CAPTURE,
    }
)


def original_from(entry: Entry) -> Original:
    """The operation of which this is the first entry, before it is refunded."""
    return Original(
        tenant_id=entry.tenant_id,
        reference_id=entry.reference_id,
        entry_type=entry.entry_type,
        wallet_uuid=entry.wallet_uuid,
        counterparty_uuid=entry.counterparty_uuid,
        currency=entry.currency,
        amount=entry.amount,
    )


def decide(
    situation: Situation,
    operation: Operation,
    original: Original | None,
    now: datetime,
) -> Step | Refusal:
    """The entries that the refund writes and the original as they leave it.

    Changes the situation only when it returns them.
    """
    wallets = operation.wallet_uuid, operation.target_uuid
    if original is None or original.wallets != wallets:
        reference_id = operation.parent_key[1]
        return Refusal(
            "operation_not_found", f"No operation has the reference {reference_id}."
        )
    if original.entry_type not in REFUNDABLE:
        return refuse_kind(original)
    states = [situation.wallets[key] for key in operation.wallet_keys]
    amount = operation.amount or original.remaining
    refusal = None
    if operation.expected_version is not None:
        refusal = rules.refuse_version(states[0], operation)
    refusal = (
        refusal
        or refuse_refunded(original, operation)
        or rules.refuse_digits(states[0], amount)
        or refuse_excess(original, amount)
    )
    legs = list(zip(states, entry_types(original), strict=True))
    for state, entry_type in legs:
        refusal = refusal or rules.refuse(state, entry_type, amount)
    if refusal is not None:
        return refusal
    entries = rules.post_legs(legs, replace(operation, amount=amount), now)
    after = replace(
        original,
        refunded=original.refunded + entries[0].amount,
        asked_amount=operation.amount,
    )
    situation.originals[after.key] = after
    return entries, after


def entry_types(original: Original) -> tuple[EntryType, ...]:
    """What a refund of it writes into the history of each of its wallets."""
    if original.counterparty_uuid is not None:
        return EntryType.REFUND_OUT, EntryType.REFUND_IN
    came_in = original.entry_type.sign > 0
    return (EntryType.REFUND_OUT if came_in else EntryType.REFUND_IN,)


def refuse_kind(original: Original) -> Refusal:
    if original.entry_type in REFUNDS:
        why = "A refund is not refunded: move the money by an operation of its own."
    else:
        why = "It has moved no money: capture a hold to refund that, or void it."
    return Refusal("not_refundable", why, {"operation_type": original.entry_type})


def refuse_refunded(original: Original, operation: Operation) -> Refusal | None:
    """Why the refund may not be if its client thinks that it follows another one."""
    expected = operation.expected_refunded
    if expected is None or expected == original.refunded:
        return None
    facts = amounts_of(original)
    return Refusal(
        "refunded_changed",
        f"{facts['refunded']} {original.currency} has been refunded: look the operation"
        " up again, then decide.",
        facts,
    )


def refuse_excess(original: Original, amount: Decimal) -> Refusal | None:
    if 0 < amount <= original.remaining:
        return None
    facts = amounts_of(original)
    return Refusal(
        "exceeds_refundable",
        f"{facts['remaining']} {original.currency} is left to be refunded.",
        facts,
    )


def amounts_of(original: Original) -> dict[str, object]:
    return {
        "refunded": money.to_text(original.refunded, original.currency),
        "remaining": money.to_text(original.remaining, original.currency),
    }


def is_same(operation: Operation, entry: Entry, original: Original | None) -> bool:
    """Whether the operation has written the entry as a refund: a retry.

    What it expected is a condition, and no part of it.
    """
    return (
        original is not None
        and original.asked_amount == operation.amount
        and entry.parent_reference_id == operation.parent_reference_id
        and entry.description == operation.description
        and rules.is_same_json(entry.metadata, operation.metadata)
    )
