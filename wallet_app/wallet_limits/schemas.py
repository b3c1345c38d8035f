"""What comes in and goes out about wallets' limits."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Range

from wallet_app.http.fields import (
    AMOUNT_PATTERN,
    Amount,
    Moment,
    Money,
    Uuid,
    WholeNumber,
)
from wallet_app.http.json_provider import JsonDecimal
from wallet_app.http.lean import LeanSchema
from wallet_app.ledger.limit_rules import ZERO, Period, Velocity
from wallet_app.wallet_limits.changing import Allowed

MAX_COUNT = 1_000_000_000


class Minimum(Amount):
    """What a wallet may go down to: zero, more, or less, which is an overdraft."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool):
            raise ma.ValidationError('Give an amount such as -1000 or "-1000.00".')
        text = value.text if isinstance(value, JsonDecimal) else str(value)
        digits = text.removeprefix("-")
        if digits and not digits.strip("0."):
            return ZERO
        amount = super()._deserialize(digits, attr, data, **kwargs)
        return -amount if text.startswith("-") else amount


def amount(description: str, **options: Any) -> Amount:
    described = {"description": description, "pattern": AMOUNT_PATTERN}
    return Amount(load_default=None, allow_none=True, metadata=described, **options)


class VelocityAsked(LeanSchema):
    """How many operations and how much money a period lets out: one or both."""

    max_count = WholeNumber(
        load_default=None, allow_none=True, validate=Range(1, MAX_COUNT)
    )
    max_amount = amount("The sum of what a period lets out")

    def check_whole(self, data: dict[str, Any]) -> None:
        if data["max_count"] is None and data["max_amount"] is None:
            message = "Give max_count, max_amount or both."
            raise ma.ValidationError({"max_count": [message]})


class Velocities(LeanSchema):
    """By period, in UTC."""

    hour = ma.fields.Nested(VelocityAsked, load_default=None, allow_none=True)
    day = ma.fields.Nested(VelocityAsked, load_default=None, allow_none=True)
    month = ma.fields.Nested(VelocityAsked, load_default=None, allow_none=True)


class LimitsAsked(LeanSchema):
    """All limits of a wallet; what is left out is no limit."""

    minimum_balance = Minimum(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "What withdrawals leave; below zero: an overdraft",
            "pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$",
            "example": "-100.00",
        },
    )
    maximum_balance = amount("What comes in makes it no more than that")
    largest_operation = amount("No deposit, withdrawal, transfer or hold is larger")
    velocity = ma.fields.Nested(Velocities, load_default=None, allow_none=True)


class VelocityDetails(LeanSchema):
    """A period's limits, and what has been counted since it began."""

    max_count = ma.fields.Integer(allow_none=True)
    max_amount = Money(allow_none=True, metadata={"type": "string"})
    count = ma.fields.Integer()
    amount = Money(metadata={"type": "string"})
    resets_at = Moment()


class VelocityByPeriod(LeanSchema):
    """Of the periods that are limited."""

    hour = ma.fields.Nested(VelocityDetails, allow_none=True)
    day = ma.fields.Nested(VelocityDetails, allow_none=True)
    month = ma.fields.Nested(VelocityDetails, allow_none=True)


class LimitsDetails(LeanSchema):
    """A wallet's limits; null: no such limit."""

    wallet_uuid = Uuid()
    currency = ma.fields.String(metadata={"example": "USD"})
    minimum_balance = Money(metadata={"type": "string", "example": "-100.00"})
    maximum_balance = Money(allow_none=True, metadata={"type": "string"})
    largest_operation = Money(allow_none=True, metadata={"type": "string"})
    velocity = ma.fields.Nested(VelocityByPeriod)


def answer_of(allowed: Allowed) -> dict[str, Any]:
    """What LimitsDetails shows."""
    limits, currency = allowed.limits, allowed.wallet.currency
    known = {one.period: velocity_of(one, currency) for one in limits.velocities}
    return {
        "wallet_uuid": allowed.wallet.uuid,
        "currency": currency,
        "minimum_balance": allowed.minimum_balance,
        "maximum_balance": limits.maximum_balance,
        "largest_operation": limits.largest_operation,
        "velocity": {period: known.get(period) for period in Period},
    }


def velocity_of(velocity: Velocity, currency: str) -> dict[str, Any]:
    return {
        "currency": currency,
        "max_count": velocity.max_count,
        "max_amount": velocity.max_amount,
        "count": velocity.count,
        "amount": velocity.amount,
        "resets_at": velocity.end,
    }
