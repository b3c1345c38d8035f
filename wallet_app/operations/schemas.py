"""What comes in and goes out about operations."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from wallet_app.http.fields import Amount, Text, Uuid
from wallet_app.ledger.rules import OperationType

MAX_DESCRIPTION = 1000


class MoneyMove(ma.Schema):
    """What every operation has."""

    amount = Amount(
        required=True,
        metadata={
            "description": "Above zero, with at most the currency's digits: "
            "a decimal string, or a JSON number, which is read exactly",
            "example": "1000.00",
        },
    )
    description = Text(
        load_default=None, allow_none=True, validate=Length(max=MAX_DESCRIPTION)
    )
    reference_id = Uuid(
        load_default=None,
        allow_none=True,
        metadata={"description": "Makes a retry safe; one for each operation"},
    )


class NewOperation(MoneyMove):
    """A deposit or a withdrawal. `operationType` is a synonym of `operation_type`."""

    operation_type = ma.fields.String(
        required=True,
        validate=OneOf([OperationType.DEPOSIT, OperationType.WITHDRAW]),
    )

    @ma.pre_load
    def accept_synonym(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "operationType" not in data or "operation_type" in data:
            return data
        data = dict(data)
        data["operation_type"] = data.pop("operationType")
        return data
