"""What comes in and goes out about holds."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf

from wallet_app.http.fields import AMOUNT_PATTERN, Amount, Flag, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.money_schemas import DescribedMove, HoldExpiry, MoneyMove
from wallet_app.http.pages import PageQuery
from wallet_app.http.schemas import HOLD_STATES, HoldDetails, TransactionDetails
from wallet_app.ledger.operation_types import OperationType


class NewHold(MoneyMove):
    """Money to be held."""

    expires_at = HoldExpiry(
        load_default=None,
        allow_none=True,
        metadata={"description": "When it is given back; without it, never"},
    )


class HoldIncrease(MoneyMove):
    """How much more is to be held."""


class HoldExtension(DescribedMove):
    """Until when."""

    expires_at = HoldExpiry(
        required=True, metadata={"description": "Later than it expires now"}
    )


class HoldCapture(DescribedMove):
    """What to take, where to, and whether that is all."""

    amount = Amount(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Without it, all that is left",
            "pattern": AMOUNT_PATTERN,
            "example": "30.00",
        },
    )
    final = Flag(
        load_default=False,
        metadata={"description": "true: gives back what is left, and ends the hold"},
    )
    to_wallet = Uuid(
        load_default=None,
        allow_none=True,
        metadata={"description": "Gets the money; without it, it leaves the service"},
    )


class HoldVoid(DescribedMove):
    """Why, if you like."""


class HoldOperation(LeanSchema):
    """What an operation has written, and the hold as it left it."""

    reference_id = Uuid()
    operation_type = ma.fields.String(
        validate=OneOf([one for one in OperationType if one.of_hold])
    )
    hold = ma.fields.Nested(HoldDetails)
    transactions = Members(TransactionDetails)


class WalletHoldQuery(PageQuery):
    """Which of a wallet's holds."""

    status = ma.fields.String(load_default=None, validate=OneOf(HOLD_STATES))


class HoldQuery(WalletHoldQuery):
    """Which holds."""

    wallet = Uuid(load_default=None, metadata={"description": "Of this wallet"})


class HoldPage(LeanSchema):
    """A page of holds."""

    data = Members(HoldDetails)
    has_more = ma.fields.Boolean()
    next_cursor = ma.fields.String(allow_none=True)


def answer_of(receipt: Any, operation_type: OperationType) -> dict[str, Any]:
    """What HoldOperation shows."""
    return {
        "reference_id": receipt.entries[0].reference_id,
        "operation_type": operation_type,
        "hold": receipt.hold,
        "transactions": receipt.entries,
    }
