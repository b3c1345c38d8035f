"""What comes in and goes out about operations."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from wallet_app.http.fields import AMOUNT_PATTERN, Amount, Flag, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.money_schemas import (
    OTHER_UUID,
    DescribedMove,
    HoldExpiry,
    MoneyMove,
    expected_refunded,
)
from wallet_app.http.schemas import DEMO_UUID, TransactionDetails
from wallet_app.ledger.operation_types import (
    ASKED_FOR,
    OF_ONE_WALLET,
    OperationType,
)
from wallet_app.ledger.refunds import MOST_LINKED

MAX_BATCH = 1000
OPERATION_TYPE_SYNONYM = {"operationType": "operation_type"}


class NewOperation(MoneyMove):
    """What moves one wallet's money. `operationType` stands for `operation_type`."""

    synonyms = OPERATION_TYPE_SYNONYM
    operation_type = ma.fields.String(
        required=True,
        validate=OneOf(OF_ONE_WALLET),
    )


class NewTransfer(MoneyMove):
    """Money from one wallet to another of the same currency."""

    from_wallet = Uuid(required=True, metadata={"example": DEMO_UUID})
    to_wallet = Uuid(required=True, metadata={"example": OTHER_UUID})


# What a batch's member of a type must have, and what besides it may have.
NEEDED: dict[OperationType, set[str]] = {
    **{one: {*one.wallet_fields, "amount"} for one in ASKED_FOR},
    OperationType.HOLD_EXTEND: {"hold", "expires_at"},
    OperationType.CAPTURE: {"hold"},
    OperationType.VOID: {"hold"},
    OperationType.REFUND: {"refund_of"},
}
ALLOWED: dict[OperationType, set[str]] = {
    OperationType.HOLD: {"expires_at"},
    OperationType.CAPTURE: {"amount", "final", "to_wallet"},
    OperationType.REFUND: {"amount", "expected_refunded"},
}
SOME_FIELDS = set().union(*NEEDED.values(), *ALLOWED.values())


def of_some(name: str) -> dict[str, str]:
    """Which operation types have a field of a batch's member."""
    types = [one for one in ASKED_FOR if name in NEEDED[one] | ALLOWED.get(one, set())]
    return {"description": f"For {', '.join(types)}"}


class BatchMember(DescribedMove):
    """An operation, with the wallets, the hold or the operation that its type names."""

    synonyms = OPERATION_TYPE_SYNONYM
    operation_type = ma.fields.String(required=True, validate=OneOf(ASKED_FOR))
    amount = Amount(
        metadata=of_some("amount") | {"pattern": AMOUNT_PATTERN, "example": "1000.00"},
    )
    wallet = Uuid(metadata=of_some("wallet"))
    from_wallet = Uuid(metadata=of_some("from_wallet"))
    to_wallet = Uuid(metadata=of_some("to_wallet"))
    hold = Uuid(metadata=of_some("hold"))
    refund_of = Uuid(metadata=of_some("refund_of"))
    expected_refunded = expected_refunded(metadata=of_some("expected_refunded"))
    final = Flag(metadata=of_some("final"))
    expires_at = HoldExpiry(metadata=of_some("expires_at"))

    def check_whole(self, data: dict[str, Any]) -> None:
        operation_type = OperationType[data["operation_type"]]
        needed = NEEDED[operation_type]
        given = data.keys() & SOME_FIELDS
        if given == needed:
            return
        errors = {name: ["Missing data for required field."] for name in needed - given}
        errors |= {
            name: [f"Not for a {operation_type}."]
            for name in given - needed - ALLOWED.get(operation_type, set())
        }
        if errors:
            raise ma.ValidationError(errors)


class NewBatch(LeanSchema):
    """Up to 1,000 operations: each on its own, or all or none of them."""

    operations = Members(
        BatchMember,
        required=True,
        validate=Length(min=1, max=MAX_BATCH),
    )
    atomic = Flag(
        load_default=False,
        metadata={"description": "true: if one is refused, none is applied"},
    )


class TransferDetails(LeanSchema):
    """A transfer's two transactions."""

    reference_id = Uuid()
    amount = Amount(metadata={"example": "25.00"})
    currency = ma.fields.String(metadata={"example": "USD"})
    outgoing = ma.fields.Nested(
        TransactionDetails, metadata={"description": "In `from_wallet`"}
    )
    incoming = ma.fields.Nested(
        TransactionDetails, metadata={"description": "In `to_wallet`"}
    )


class OperationDetails(LeanSchema):
    """What became of an operation: its one transaction, or a transfer's two."""

    reference_id = Uuid()
    operation_type = ma.fields.String(validate=OneOf(list(OperationType)))
    refunded = Amount(
        allow_none=True,
        metadata={
            "description": "How much of it has been given back; null: it may not be",
            "example": "0.00",
        },
    )
    refunds = ma.fields.List(
        Uuid(),
        metadata={"description": f"Its refunds' references: the {MOST_LINKED} newest"},
    )
    refund_of = Uuid(
        allow_none=True,
        metadata={"description": "What it gives back, if it is a refund"},
    )
    transactions = Members(TransactionDetails)


class BatchOutcome(LeanSchema):
    """What became of one member of a batch.

    With `Prefer: return=minimal`: `status`, `reference_id`, of what is not `ok` the
    `code`, and of what moved money `seq` and `balance_after`.
    """

    index = ma.fields.Integer(metadata={"description": "Its place, from 0"})
    status = ma.fields.Integer(
        required=True,
        metadata={"description": "As a request of its own would be answered"},
    )
    code = ma.fields.String(
        metadata={"description": "`ok`, `replayed`, or the error's code"},
    )
    reference_id = Uuid(required=True)
    detail = ma.fields.String(metadata={"description": "What is wrong, if anything"})
    seq = ma.fields.Integer(metadata={"description": "Of the first wallet's entry"})
    balance_after = Amount(metadata={"description": "Of the first wallet"})
    transactions = Members(TransactionDetails)


class BatchDetails(LeanSchema):
    """The members' outcomes, in their order."""

    applied = ma.fields.Integer(metadata={"description": "How many moved money"})
    refused = ma.fields.Integer()
    outcomes = Members(BatchOutcome)
