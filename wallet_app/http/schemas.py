"""The shapes that several features answer with."""

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from wallet_app.http.fields import (
    AMOUNT_PATTERN,
    TEXT_PATTERN,
    Amount,
    Labels,
    Moment,
    Text,
    Uuid,
)
from wallet_app.http.lean import LeanSchema
from wallet_app.http.metadata import EXAMPLE, Metadata
from wallet_app.http.pages import PageQuery
from wallet_app.ledger import details
from wallet_app.ledger.operation_types import EntryType

HOLD_STATES = ("open", "captured", "voided", "expired")
DEMO_UUID = "123e4567-e89b-12d3-a456-426614174000"


class TransactionDetails(LeanSchema):
    """One row of a wallet's history."""

    id = ma.fields.Integer(metadata={"example": 1})
    wallet_uuid = Uuid(metadata={"example": DEMO_UUID})
    seq = ma.fields.Integer(
        metadata={"description": "Counts the wallet's transactions, without a gap"}
    )
    operation_type = ma.fields.String(
        attribute="entry_type", validate=OneOf(list(EntryType))
    )
    amount = Amount(metadata={"example": "1000.00"})
    balance_before = Amount(metadata={"example": "0.00"})
    balance_after = Amount(metadata={"example": "1000.00"})
    held_after = Amount(
        metadata={"description": "What of it is held then", "example": "0.00"}
    )
    currency = ma.fields.String(metadata={"example": "USD"})
    description = ma.fields.String(allow_none=True)
    reference_id = Uuid(
        metadata={"description": "The operation: its client's, or the service's own"}
    )
    counterparty_uuid = Uuid(
        allow_none=True, metadata={"description": "A transfer's other wallet"}
    )
    parent_reference_id = Uuid(
        allow_none=True,
        metadata={"description": "The earlier operation on which this one acts"},
    )
    metadata = ma.fields.Dict(
        allow_none=True, metadata={"description": "What its client said about it"}
    )
    created_at = Moment()


class HoldDetails(LeanSchema):
    """Money of a wallet that is promised."""

    id = Uuid(metadata={"description": "The reference of what made it"})
    wallet_uuid = Uuid(metadata={"example": DEMO_UUID})
    currency = ma.fields.String(metadata={"example": "USD"})
    amount = Amount(metadata={"example": "80.00"})
    captured = Amount(metadata={"description": "Taken so far", "example": "0.00"})
    released = Amount(metadata={"description": "Given back", "example": "0.00"})
    remaining = Amount(metadata={"description": "Still held", "example": "80.00"})
    status = ma.fields.String(validate=OneOf(HOLD_STATES))
    closed_by = ma.fields.String(
        allow_none=True, validate=OneOf(["capture", "void", "expiry"])
    )
    expires_at = Moment(allow_none=True)
    description = ma.fields.String(allow_none=True)
    created_at = Moment()
    updated_at = Moment()


class TransactionFilters(PageQuery):
    """Which transactions of those that there are."""

    operation_type = ma.fields.String(validate=OneOf(list(EntryType)))
    since = Moment(
        data_key="from", metadata={"description": "Not before this time (inclusive)"}
    )
    until = Moment(
        data_key="to", metadata={"description": "Before this time (exclusive)"}
    )
    min_amount = Amount(
        metadata={"description": "No less than this", "pattern": AMOUNT_PATTERN}
    )
    max_amount = Amount(
        metadata={"description": "No more than this", "pattern": AMOUNT_PATTERN}
    )


class DetailsGiven(LeanSchema):
    """What a wallet is found by; null is nothing."""

    owner = Text(
        allow_none=True,
        validate=Length(1, details.MAX_OWNER),
        metadata={
            "description": "Whose it is, by your own name for them",
            "example": "customer 4711",
            "pattern": TEXT_PATTERN,
        },
    )
    name = Text(
        allow_none=True,
        validate=Length(1, details.MAX_NAME),
        metadata={"example": "Savings", "pattern": TEXT_PATTERN},
    )
    labels = Labels(metadata={"example": ["vip"]})
    metadata = Metadata(
        allow_none=True,
        metadata={"description": "A JSON object of your own", "example": EXAMPLE},
    )


class WalletHolding(LeanSchema):
    """Which wallet, and what is in it."""

    uuid = Uuid(metadata={"example": DEMO_UUID})
    balance = Amount(metadata={"example": "1000.00"})
    held = Amount(
        metadata={"description": "What of it is promised to holds", "example": "0.00"}
    )
    currency = ma.fields.String(metadata={"example": "USD"})


class WalletBalance(WalletHolding):
    """What is in a wallet, now or at a time that has passed."""

    available = Amount(
        allow_none=True,
        metadata={
            "description": "What may leave it now; null at a time that has passed",
            "example": "1000.00",
        },
    )


class WalletDetails(WalletHolding):
    """A wallet. `version` counts its transactions."""

    available = Amount(
        metadata={"description": "What may leave it now", "example": "1000.00"}
    )
    owner = ma.fields.String(allow_none=True, metadata={"example": "customer 4711"})
    name = ma.fields.String(allow_none=True, metadata={"example": "Savings"})
    labels = Labels(metadata={"example": ["vip"]})
    metadata = ma.fields.Dict(allow_none=True)
    status = ma.fields.String(
        validate=OneOf(["active", "frozen", "closed"]), metadata={"example": "active"}
    )
    block = ma.fields.String(
        attribute="blocks",
        allow_none=True,
        validate=OneOf(["out", "all"]),
        metadata={"description": "What a frozen wallet lets through no more"},
    )
    version = ma.fields.Integer(metadata={"example": 42})
    created_at = Moment()
    updated_at = Moment()
