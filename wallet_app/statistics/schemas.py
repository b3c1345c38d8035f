"""What comes in and goes out about statistics."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import marshmallow as ma
from marshmallow.validate import OneOf

from wallet_app.http.fields import Amount, Moment, Money, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.ledger.operation_types import EntryType
from wallet_app.statistics.periods import GRANULARITIES


class TypeTotal(LeanSchema):
    """How often and how much, for one operation type."""

    operation_type = ma.fields.String(validate=OneOf(list(EntryType)))
    count = ma.fields.Integer(metadata={"example": 2})
    total = Money(metadata={"example": "1500.00"})


class TypeStatistics(TypeTotal):
    """The statistics of one operation type."""

    average = Money(
        metadata={"description": "Rounded half to even", "example": "750.00"}
    )
    smallest = Amount(metadata={"example": "500.00"})
    largest = Amount(metadata={"example": "1000.00"})
    net_flow = Money(metadata={"description": "The total, negative for what goes out"})
    first_at = Moment()
    last_at = Moment()


class WalletStatistics(LeanSchema):
    """A wallet's statistics, exact as of `as_of_seq`."""

    uuid = Uuid()
    currency = ma.fields.String(metadata={"example": "USD"})
    count = ma.fields.Integer(metadata={"description": "All transactions"})
    net_flow = Money(metadata={"description": "What came in less what went out"})
    first_operation_at = Moment(allow_none=True)
    last_operation_at = Moment(allow_none=True)
    operations = Members(TypeStatistics)
    as_of_seq = ma.fields.Integer(
        metadata={"description": "The wallet's version that the figures include"}
    )
    rolled_up_to_seq = ma.fields.Integer(
        metadata={"description": "How much of that was counted beforehand"}
    )


class CalendarDay(ma.fields.Field[Any]):
    """A day, as a date; or a time, as a datetime: the day that holds it is meant."""

    MESSAGE = "Give a day such as 2026-01-31 or a time such as 2026-01-31T23:59:59Z."
    YEARS = range(1970, 3000)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            text = str(value)
            day = date.fromisoformat(text) if len(text) <= 10 else moment_of(text)
        except ValueError:
            raise ma.ValidationError(self.MESSAGE) from None
        if day.year not in self.YEARS:
            first, last = self.YEARS[0], self.YEARS[-1]
            raise ma.ValidationError(f"Give a year from {first} to {last}.")
        return day

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return value.isoformat()


def moment_of(text: str) -> datetime:
    moment: datetime = Moment().deserialize(text)
    return moment


class Zone(ma.fields.Field[Any]):
    """An IANA time zone."""

    MESSAGE = "Give an IANA time zone such as Europe/Berlin."

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return ZoneInfo(str(value))
        except (ValueError, OSError, KeyError):
            raise ma.ValidationError(self.MESSAGE) from None


class DayRange(LeanSchema):
    """A range of days; both ends belong to it."""

    first = CalendarDay(
        data_key="from",
        metadata={
            "type": "string",
            "anyOf": [{"format": "date"}, {"format": "date-time"}],
            "description": "The first day, or a time on it",
        },
    )
    last = CalendarDay(
        data_key="to",
        metadata={
            "type": "string",
            "anyOf": [{"format": "date"}, {"format": "date-time"}],
            "description": "The last day (inclusive), or a time that ends it",
        },
    )

    @staticmethod
    def days(query: dict[str, Any], zone: ZoneInfo) -> tuple[date | None, date | None]:
        """The range's ends as days in a zone; None for an end that is not given."""
        first, last = query.get("first"), query.get("last")
        if isinstance(first, datetime):
            first = first.astimezone(zone).date()
        if isinstance(last, datetime):
            # A time is exclusive, as everywhere: midnight ends the day before.
            last = (last.astimezone(zone) - timedelta(microseconds=1)).date()
        return first, last


class SummaryQuery(DayRange):
    """Which periods."""

    granularity = ma.fields.String(load_default="day", validate=OneOf(GRANULARITIES))
    tz = Zone(
        load_default=ZoneInfo("UTC"),
        metadata={
            "type": "string",
            "description": "Whose days: an IANA time zone, such as Europe/Berlin (UTC"
            " is the fast one)",
        },
    )


class Summary(LeanSchema):
    """One period. Opening balance plus what came in less what went out is closing."""

    period = ma.fields.String(metadata={"example": "2026-01-31"})
    starts_at = Moment()
    ends_at = Moment(metadata={"description": "Exclusive: where the next one starts"})
    opening_balance = Money(metadata={"example": "0.00"})
    closing_balance = Money(metadata={"example": "1500.00"})
    count_in = ma.fields.Integer(metadata={"example": 2})
    total_in = Money(metadata={"example": "1500.00"})
    count_out = ma.fields.Integer(metadata={"example": 0})
    total_out = Money(metadata={"example": "0.00"})
    smallest_balance = Money(metadata={"example": "0.00"})
    largest_balance = Money(metadata={"example": "1500.00"})
    operations = Members(TypeTotal)


class Summaries(LeanSchema):
    """A row for every period of the range, quiet ones too, oldest first."""

    uuid = Uuid()
    currency = ma.fields.String(metadata={"example": "USD"})
    granularity = ma.fields.String(validate=OneOf(GRANULARITIES))
    tz = ma.fields.String(metadata={"example": "UTC"})
    data = Members(Summary)


class CurrencyStatistics(LeanSchema):
    """All wallets of one currency, of all time."""

    currency = ma.fields.String(metadata={"example": "USD"})
    wallets = ma.fields.Integer(metadata={"example": 2})
    total_balance = Money(metadata={"example": "1500.00"})
    deposited = Money(
        metadata={"description": "What has come in from outside", "example": "2000.00"}
    )
    withdrawn = Money(
        metadata={"description": "What has gone out for good", "example": "500.00"}
    )
    balanced = ma.fields.Boolean(
        metadata={
            "description": "The trial balance: deposited - withdrawn = total_balance",
            "example": True,
        }
    )
    count = ma.fields.Integer(metadata={"description": "All transactions"})
    operations = Members(TypeTotal)


class DayTotal(TypeTotal):
    """One operation type in one currency on one day in UTC."""

    day = ma.fields.Date(metadata={"example": "2026-01-31"})
    currency = ma.fields.String(metadata={"example": "USD"})


class BusyWallet(LeanSchema):
    """A wallet with many transactions."""

    uuid = Uuid()
    currency = ma.fields.String(metadata={"example": "USD"})
    transactions = ma.fields.Integer(metadata={"example": 42})


class ServiceStatistics(LeanSchema):
    """The service as a whole, all figures of the same moment."""

    currencies = Members(CurrencyStatistics)
    days = Members(DayTotal)
    busiest_wallets = Members(BusyWallet)
