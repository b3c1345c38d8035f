"""What comes in about the state of wallets."""

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from wallet_app.http.fields import TEXT_PATTERN, Text
from wallet_app.http.lean import LeanSchema

MAX_REASON = 1000
BLOCKS = ("out", "all")


class Reason(LeanSchema):
    """Why; it is kept in the audit log."""

    reason = Text(
        required=True,
        validate=Length(1, MAX_REASON),
        metadata={"pattern": TEXT_PATTERN, "example": "Card reported stolen"},
    )


class Freeze(Reason):
    """Why, and what the wallet lets through no more."""

    block = ma.fields.String(
        load_default="all",
        validate=OneOf(BLOCKS),
        metadata={
            "description": "out: money may come in, and holds that there are may be "
            "captured and voided; all: nothing moves"
        },
    )
