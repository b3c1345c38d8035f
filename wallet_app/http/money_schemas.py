"""What the bodies of requests that move money share."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import marshmallow as ma
from flask import current_app
from marshmallow.validate import Length

from wallet_app.http.fields import (
    AMOUNT_PATTERN,
    TEXT_PATTERN,
    Amount,
    Moment,
    Text,
    Uuid,
)
from wallet_app.http.lean import LeanSchema
from wallet_app.http.metadata import EXAMPLE, Metadata
from wallet_app.ledger import money

MAX_DESCRIPTION = 1000
AMOUNT_OR_ZERO_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"
OTHER_UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def check_hold_expiry(moment: datetime) -> None:
    days: int = current_app.config["HOLD_DAYS"]
    if moment > datetime.now(UTC) + timedelta(days=days):
        raise ma.ValidationError(f"Give a time in the next {days} days.")


class HoldExpiry(Moment):
    """When a hold is to end: not too far ahead. Whether it has passed, rules say."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        moment: datetime = super()._deserialize(value, attr, data, **kwargs)
        check_hold_expiry(moment)
        return moment


class RefundedSoFar(Amount):
    """What a refund's client thinks has been refunded before it: may be 0."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = str(value) if isinstance(value, int | str) else ""
        if money.PLAIN_DECIMAL.fullmatch(text) and not Decimal(text):
            return Decimal(0)
        return super()._deserialize(value, attr, data, **kwargs)


def expected_refunded(**options: Any) -> RefundedSoFar:
    """The field of a refund that refuses it when another sum has been refunded."""
    described = {
        "description": "Refuses the refund when another sum has been refunded before",
        "pattern": AMOUNT_OR_ZERO_PATTERN,
    }
    about = described | options.pop("metadata", {})
    return RefundedSoFar(metadata=about, **options)


class DescribedMove(LeanSchema):
    """What every operation has, whether or not it names an amount."""

    description = Text(
        load_default=None,
        allow_none=True,
        validate=Length(max=MAX_DESCRIPTION),
        metadata={"pattern": TEXT_PATTERN},
    )
    reference_id = Uuid(
        load_default=None,
        allow_none=True,
        metadata={"description": "Makes a retry safe; one for each operation"},
    )
    metadata = Metadata(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "A JSON object of your own, to find the operation by",
            "example": EXAMPLE,
        },
    )


class MoneyMove(DescribedMove):
    """What an operation with an amount has."""

    amount = Amount(
        required=True,
        metadata={
            "description": "Above zero, with at most the currency's digits: "
            "a decimal string, or a JSON number, which is read exactly",
            "pattern": AMOUNT_PATTERN,
            "example": "1000.00",
        },
    )
