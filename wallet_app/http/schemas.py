"""The shapes that several features answer with."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf

from wallet_app.http.fields import Amount, Moment, Uuid
from wallet_app.ledger.rules import EntryType

DEMO_UUID = "123e4567-e89b-12d3-a456-426614174000"


class LeanSchema(ma.Schema):
    """A schema for objects with one attribute a field, none of them missing.

    Dumps them without marshmallow's search for the value of each field, which costs
    more than everything else in a small answer.
    """

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        plan = self.__dict__.get("_plan") or self.make_plan()
        if self.many if many is None else many:
            return [dump_one(plan, one) for one in obj]
        return dump_one(plan, obj)

    def make_plan(self) -> list[tuple[str, str, Any]]:
        """The fields' names outside and inside, and how each value is written."""
        self._plan = [
            (field.data_key or name, field.attribute or name, field._serialize)
            for name, field in self.dump_fields.items()
        ]
        return self._plan


def dump_one(plan: list[tuple[str, str, Any]], obj: Any) -> dict[str, Any]:
    return {
        key: write(getattr(obj, attribute), attribute, obj)
        for key, attribute, write in plan
    }


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
    currency = ma.fields.String(metadata={"example": "USD"})
    description = ma.fields.String(allow_none=True)
    reference_id = Uuid(
        metadata={"description": "The operation: its client's, or the service's own"}
    )
    counterparty_uuid = Uuid(
        allow_none=True, metadata={"description": "A transfer's other wallet"}
    )
    created_at = Moment()
