"""From the ledger's outcomes to what a client reads."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from wallet_app.http.money_requests import error_of
from wallet_app.ledger.operation_types import BY_FIRST_ENTRY, REFUNDS
from wallet_app.ledger.posting import Outcome, Receipt
from wallet_app.ledger.refunds import Refunds
from wallet_app.ledger.rules import Operation, Refusal


def transfer_answer(receipt: Receipt) -> SimpleNamespace:
    """What TransferDetails shows."""
    outgoing, incoming = receipt.entries
    return SimpleNamespace(
        reference_id=outgoing.reference_id,
        amount=outgoing.amount,
        currency=outgoing.currency,
        outgoing=outgoing,
        incoming=incoming,
    )


def operation_answer(receipt: Receipt, refunds: Refunds | None) -> dict[str, Any]:
    """What OperationDetails shows; `refunds` are those of what may be refunded."""
    first = receipt.entries[0]
    is_refund = first.entry_type in REFUNDS
    return {
        "reference_id": first.reference_id,
        "operation_type": BY_FIRST_ENTRY[first.entry_type],
        "currency": first.currency,
        "refunded": None if refunds is None else refunds.refunded,
        "refunds": [] if refunds is None else refunds.references,
        "refund_of": first.parent_reference_id if is_refund else None,
        "transactions": receipt.entries,
    }


def batch_answer(
    operations: Sequence[Operation], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """What BatchDetails shows."""
    members = [
        member_answer(index, operation, outcome)
        for index, (operation, outcome) in enumerate(
            zip(operations, outcomes, strict=True)
        )
    ]
    return {
        "applied": sum(member["code"] == "ok" for member in members),
        "refused": sum(isinstance(outcome, Refusal) for outcome in outcomes),
        "outcomes": members,
    }


def member_answer(index: int, operation: Operation, outcome: Outcome) -> dict[str, Any]:
    answer = {"index": index, "reference_id": operation.reference_id}
    if isinstance(outcome, Refusal):
        error = error_of(outcome)
        status, code, detail = error.status, error.code, error.detail
        return answer | {"status": status, "code": code, "detail": detail}
    code = "replayed" if outcome.replayed else "ok"
    return answer | {"status": 200, "code": code, "transactions": outcome.entries}
