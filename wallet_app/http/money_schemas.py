"""What the bodies of requests that move money share."""

from marshmallow.validate import Length

from wallet_app.http.fields import AMOUNT_PATTERN, TEXT_PATTERN, Amount, Text, Uuid
from wallet_app.http.lean import LeanSchema
from wallet_app.http.metadata import EXAMPLE, Metadata

MAX_DESCRIPTION = 1000
OTHER_UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


class MoneyMove(LeanSchema):
    """What every operation has."""

    amount = Amount(
        required=True,
        metadata={
            "description": "Above zero, with at most the currency's digits: "
            "a decimal string, or a JSON number, which is read exactly",
            "pattern": AMOUNT_PATTERN,
            "example": "1000.00",
        },
    )
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
