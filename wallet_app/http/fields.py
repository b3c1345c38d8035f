"""The marshmallow fields of this service: amounts, text, identifiers, times."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import marshmallow as ma

from wallet_app.http.json_provider import JsonDecimal
from wallet_app.ledger import details, money

CANONICAL_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)
# What a client may send, as a pattern of the API's description.
# No currency has more than 18 digits after the point.
AMOUNT_PATTERN = r"^(?=[0-9.]*[1-9])[0-9]{1,18}(\.[0-9]{1,18})?$"
TEXT_PATTERN = r"^[^\u0000]*$"
NOT_A_UUID = "Give a UUID such as 123e4567-e89b-12d3-a456-426614174000."


def parse_uuid(text: str) -> UUID | None:
    """A UUID in its usual form of 36 characters, or None."""
    return UUID(text) if CANONICAL_UUID.fullmatch(text) else None


class Money(ma.fields.Field[Any]):
    """Money on its way out: a decimal string with its currency's digits.

    The object that it belongs to has a `currency`.
    """

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        if value is None:
            return None
        currency = obj["currency"] if isinstance(obj, dict) else obj.currency
        return money.to_text(value, currency)


class Amount(Money):
    """A positive amount of money: Decimal inside, decimal string outside.

    Takes a JSON integer, a JSON decimal or a plain decimal string, exactly.
    """

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, JsonDecimal):
            text = value.text
        elif isinstance(value, str):
            text = value
        elif isinstance(value, int) and not isinstance(value, bool):
            text = str(value)
        else:
            raise ma.ValidationError('Give an amount such as 1000 or "1000.00".')
        try:
            return money.parse(text)
        except money.InvalidAmountError as error:
            raise ma.ValidationError(str(error)) from None


class Text(ma.fields.String):
    """Text that PostgreSQL can hold: no NUL, no lone surrogate."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and not is_storable(text):
            raise ma.ValidationError("NUL and lone surrogates cannot be stored.")
        return text


def is_storable(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Labels(ma.fields.List[str]):
    """Different short texts; none are an empty list."""

    def __init__(self, **options: Any) -> None:
        text = Text(
            validate=ma.validate.Length(1, details.MAX_LABEL),
            metadata={"pattern": TEXT_PATTERN},
        )
        most = ma.validate.Length(max=details.MAX_LABELS)
        described = {"uniqueItems": True} | options.pop("metadata", {})
        super().__init__(text, validate=most, metadata=described, **options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        labels = super()._deserialize(value, attr, data, **kwargs)
        if len(set(labels)) < len(labels):
            raise ma.ValidationError("Give each label once.")
        return labels

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return value or []


class CurrencyCode(Text):
    """The code of a currency that a wallet can hold."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        code = super()._deserialize(value, attr, data, **kwargs)
        if not money.is_currency(code):
            raise ma.ValidationError(
                "Give a currency code of ISO 4217, such as USD, or a configured one."
            )
        return code


class Uuid(ma.fields.Field[Any]):
    """A UUID in its usual form of 36 characters."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        parsed = parse_uuid(value) if isinstance(value, str) else None
        if parsed is None:
            raise ma.ValidationError(NOT_A_UUID)
        return parsed

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        # The JSON provider writes it, several times faster than str().
        return value


class Moment(ma.fields.Field[Any]):
    """A point in time, ISO 8601 with an offset; goes out in UTC."""

    MESSAGE = "Give a time with its offset, such as 2026-01-31T23:59:59Z."
    # An offset can lead there.
    OUT_OF_YEARS = "Give a time that lies in the years 1 to 9999 in UTC."

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            # A + in a query arrives as a blank.
            moment = datetime.fromisoformat(str(value).replace(" ", "+"))
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except OverflowError:
            raise ma.ValidationError(self.OUT_OF_YEARS) from None
        except ValueError:
            pass
        raise ma.ValidationError(self.MESSAGE)

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else moment_text(value)


# Whatever is posted together has one time.
@lru_cache(maxsize=1024)
def moment_text(moment: datetime) -> str:
    """2026-01-31T23:59:59.000000Z: UTC, always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


class Flag(ma.fields.Boolean):
    """true or false, and nothing that only looks like it."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise ma.ValidationError("Give true or false.")
        return value


class WholeNumber(ma.fields.Integer):
    """A number in plain digits: int() would also take 1_0 and full-width digits."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)
