"""What comes in and goes out about operations."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from wallet_app.http.fields import Amount, Flag, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.money_schemas import OTHER_UUID, MoneyMove
from wallet_app.http.schemas import DEMO_UUID, TransactionDetails
from wallet_app.ledger.operation_types import OF_ONE_WALLET, OperationType

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


WALLET_FIELDS = {name for one in OperationType for name in one.wallet_fields}


def wallet_of_some(name: str) -> Uuid:
    """A wallet field of a batch's member, which some operation types have."""
    types = [one for one in OperationType if name in one.wallet_fields]
    return Uuid(metadata={"description": f"For {', '.join(types)}"})


class BatchMember(MoneyMove):
    """An operation, with the wallets that its type names."""

    synonyms = OPERATION_TYPE_SYNONYM
    operation_type = ma.fields.String(
        required=True, validate=OneOf(list(OperationType))
    )
    wallet = wallet_of_some("wallet")
    from_wallet = wallet_of_some("from_wallet")
    to_wallet = wallet_of_some("to_wallet")

    def check_whole(self, data: dict[str, Any]) -> None:
        wanted = set(OperationType[data["operation_type"]].wallet_fields)
        given = data.keys() & WALLET_FIELDS
        if given == wanted:
            return
        errors = {name: ["Missing data for required field."] for name in wanted - given}
        errors |= {
            name: [f"Not for a {data['operation_type']}."] for name in given - wanted
        }
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
    transactions = Members(TransactionDetails)


class BatchOutcome(LeanSchema):
    """What became of one member of a batch."""

    index = ma.fields.Integer(
        required=True, metadata={"description": "Its place, from 0"}
    )
    status = ma.fields.Integer(
        required=True,
        metadata={"description": "As a request of its own would be answered"},
    )
    code = ma.fields.String(
        required=True,
        metadata={"description": "`ok`, `replayed`, or the error's code"},
    )
    reference_id = Uuid(required=True)
    detail = ma.fields.String(metadata={"description": "What is wrong, if anything"})
    transactions = Members(TransactionDetails)


class BatchDetails(LeanSchema):
    """The members' outcomes, in their order."""

    applied = ma.fields.Integer(metadata={"description": "How many moved money"})
    refused = ma.fields.Integer()
    outcomes = Members(BatchOutcome)
