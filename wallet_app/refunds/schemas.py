"""What comes in and goes out about refunds."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf

from wallet_app.http.fields import AMOUNT_PATTERN, Amount, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.money_schemas import DescribedMove, expected_refunded
from wallet_app.http.schemas import TransactionDetails
from wallet_app.ledger.operation_types import OperationType


class NewRefund(DescribedMove):
    """How much to give back, and why. `reason` stands for `description`."""

    synonyms = {"reason": "description"}  # noqa: RUF012
    amount = Amount(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Without it, all that is left",
            "pattern": AMOUNT_PATTERN,
            "example": "10.00",
        },
    )
    expected_refunded = expected_refunded(load_default=None, allow_none=True)


class RefundOperation(LeanSchema):
    """What a refund has written, and what it left of its original."""

    reference_id = Uuid()
    operation_type = ma.fields.String(validate=OneOf([OperationType.REFUND]))
    refund_of = Uuid(metadata={"description": "The operation that it gives back"})
    amount = Amount(metadata={"example": "10.00"})
    currency = ma.fields.String(metadata={"example": "USD"})
    refunded = Amount(
        metadata={"description": "Of that operation, with this", "example": "10.00"}
    )
    remaining = Amount(
        metadata={"description": "What may still be refunded", "example": "90.00"}
    )
    transactions = Members(TransactionDetails)


def answer_of(receipt: Any) -> dict[str, Any]:
    """What RefundOperation shows."""
    first, original = receipt.entries[0], receipt.original
    return {
        "reference_id": first.reference_id,
        "operation_type": OperationType.REFUND,
        "refund_of": original.reference_id,
        "amount": first.amount,
        "currency": first.currency,
        "refunded": original.refunded,
        "remaining": original.remaining,
        "transactions": receipt.entries,
    }
