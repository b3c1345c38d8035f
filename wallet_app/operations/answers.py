"""From the ledger's outcomes to what a client reads."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from wallet_app.http.money_requests import error_of
from wallet_app.ledger import money
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


def minimal_answer(
    operations: Sequence[Operation], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """The same in few words: as BatchDetails shows it, written without it."""
    members: list[dict[str, Any]] = []
    applied = refused = 0
    for operation, outcome in zip(operations, outcomes, strict=True):
        answer: dict[str, Any] = {
            "status": 200,
            "reference_id": operation.reference_id,
        }
        if isinstance(outcome, Refusal):
            refused += 1
            error = error_of(outcome)
            answer["status"], answer["code"] = error.status, error.code
        else:
            entry = outcome.entries[0]
            if outcome.replayed:
                answer["code"] = "replayed"
            else:
                applied += 1
            answer["seq"] = entry.seq
            answer["balance_after"] = money.to_text(entry.balance_after, entry.currency)
        members.append(answer)
    return {"applied": applied, "refused": refused, "outcomes": members}


def member_answer(index: int, operation: Operation, outcome: Outcome) -> dict[str, Any]:
    answer = {"index": index, "reference_id": operation.reference_id}
    if isinstance(outcome, Refusal):
        error = error_of(outcome)
        status, code, detail = error.status, error.code, error.detail
        return answer | {"status": status, "code": code, "detail": detail}
    code = "replayed" if outcome.replayed else "ok"
    return answer | {"status": 200, "code": code, "transactions": outcome.entries}
