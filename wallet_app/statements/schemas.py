"""What comes in and goes out about statements."""

import marshmallow as ma
from marshmallow.validate import OneOf

from wallet_app.http.fields import Moment, Money, Uuid
from wallet_app.http.lean import LeanSchema

FORMATS = ("csv", "json", "pdf")
STATES = ("pending", "running", "ready", "failed", "expired")


class NewStatement(LeanSchema):
    """A statement to be written: of the entries with `from` <= created_at < `to`."""

    from_at = Moment(
        data_key="from",
        required=True,
        metadata={"example": "2026-01-01T00:00:00Z"},
    )
    to_at = Moment(
        data_key="to",
        required=True,
        metadata={
            "description": "Exclusive; a time that has passed",
            "example": "2026-02-01T00:00:00Z",
        },
    )
    file_format = ma.fields.String(
        data_key="format", load_default="csv", validate=OneOf(FORMATS)
    )


class StatementDetails(LeanSchema):
    """A statement and how far it is."""

    id = Uuid()
    wallet_uuid = Uuid()
    currency = ma.fields.String(metadata={"example": "USD"})
    from_at = Moment(data_key="from")
    to_at = Moment(data_key="to")
    format = ma.fields.String(validate=OneOf(FORMATS))
    state = ma.fields.String(validate=OneOf(STATES))
    progress = ma.fields.Integer(
        metadata={"description": "In percent; 100 when it is ready", "example": 100}
    )
    rows = ma.fields.Integer(metadata={"description": "Its entries", "example": 42})
    opening_balance = Money(allow_none=True, metadata={"example": "0.00"})
    closing_balance = Money(allow_none=True, metadata={"example": "1000.00"})
    sha256 = ma.fields.String(allow_none=True, metadata={"description": "Of the file"})
    size_bytes = ma.fields.Integer(allow_none=True, metadata={"example": 4096})
    file = ma.fields.String(
        allow_none=True, metadata={"description": "Where to download it, once ready"}
    )
    error = ma.fields.String(
        allow_none=True, metadata={"description": "What went wrong last, if it did"}
    )
    created_at = Moment()
    finished_at = Moment(allow_none=True)
    expires_at = Moment(
        allow_none=True, metadata={"description": "When the file is deleted"}
    )
