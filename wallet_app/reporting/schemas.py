"""What goes out about statistics."""

import marshmallow as ma

from wallet_app.http.fields import Amount, Moment, Money, Uuid
from wallet_app.ledger.rules import EntryType


class TypeStatistics(ma.Schema):
    """The statistics of one operation type."""

    operation_type = ma.fields.String(validate=ma.validate.OneOf(list(EntryType)))
    count = ma.fields.Integer()
    total = Money(metadata={"example": "1500.00"})
    average = Money(
        metadata={"description": "Rounded half to even", "example": "750.00"}
    )
    smallest = Amount(metadata={"example": "500.00"})
    largest = Amount(metadata={"example": "1000.00"})
    net_flow = Money(metadata={"description": "The total, negative for what goes out"})
    first_at = Moment()
    last_at = Moment()


class WalletStatistics(ma.Schema):
    """A wallet's statistics, exact as of `as_of_seq`."""

    uuid = Uuid()
    currency = ma.fields.String(metadata={"example": "USD"})
    count = ma.fields.Integer(metadata={"description": "All transactions"})
    net_flow = Money(metadata={"description": "What came in less what went out"})
    first_operation_at = Moment(allow_none=True)
    last_operation_at = Moment(allow_none=True)
    operations = ma.fields.List(ma.fields.Nested(TypeStatistics))
    as_of_seq = ma.fields.Integer(
        metadata={"description": "The wallet's version that the figures include"}
    )
    rolled_up_to_seq = ma.fields.Integer(
        metadata={"description": "How much of that was counted beforehand"}
    )
