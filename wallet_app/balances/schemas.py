"""What comes in and goes out about wallets and their histories."""

from datetime import UTC, datetime

import marshmallow as ma
from marshmallow.validate import OneOf

from wallet_app.http.fields import CurrencyCode, Moment, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.schemas import (
    DEMO_UUID,
    DetailsGiven,
    TransactionDetails,
    TransactionFilters,
)


class NewWallet(DetailsGiven):
    """A wallet to be created."""

    currency = CurrencyCode(
        load_default="USD",
        metadata={
            "description": "ISO 4217 code, or a configured one",
            "example": "USD",
        },
    )
    uuid = Uuid(
        metadata={
            "description": "Chosen by the client, so that a retry creates nothing new",
            "example": DEMO_UUID,
        }
    )


def check_past(moment: datetime) -> None:
    if moment > datetime.now(UTC):
        raise ma.ValidationError("Give a time that has passed.")


class BalanceQuery(LeanSchema):
    """When."""

    at = Moment(
        validate=check_past,
        metadata={
            "description": "The balance at this time, in the past, such as"
            " 2026-01-31T23:59:59Z; without it, now",
        },
    )


class TransactionPage(LeanSchema):
    """A page of a wallet's history."""

    data = Members(TransactionDetails)
    has_more = ma.fields.Boolean()
    next_cursor = ma.fields.String(allow_none=True)


class TransactionQuery(TransactionFilters):
    """Which transactions, in which order."""

    order = ma.fields.String(
        load_default="desc",
        validate=OneOf(["asc", "desc"]),
        metadata={"description": "desc: newest first"},
    )
