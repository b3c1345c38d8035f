"""What a wallet's limits let through: no I/O, no clock.

Counted is what leaves the wallet or is promised, when it is: withdrawals, transfers
out, holds and their increases. What a hold was counted for is not counted again when it
is captured, nor taken back when it is voided; refunds are not counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from wallet_app.ledger import money
from wallet_app.ledger.operation_types import EntryType

ZERO = Decimal(0)
COUNTED = frozenset(
    {
        EntryType.WITHDRAW,
        EntryType.TRANSFER_OUT,
        EntryType.HOLD,
        EntryType.HOLD_INCREASE,
    }
)
# What begins something; what ends a hold or takes money back was let through before.
BEGINNINGS = COUNTED | {EntryType.DEPOSIT, EntryType.TRANSFER_IN}


class Period(StrEnum):
    """A span of the calendar in UTC, which begins anew at its end."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    def start(self, moment: datetime) -> datetime:
        """When the span began in which the moment is."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self is Period.HOUR:
            return hour
        day = hour.replace(hour=0)
        return day if self is Period.DAY else day.replace(day=1)

    def end(self, start: datetime) -> datetime:
        """When a span ends that began then."""
        # No month is longer than 31 days, and none is shorter than 28.
        lengths = {Period.HOUR: timedelta(hours=1), Period.DAY: timedelta(days=1)}
        return self.start(start + lengths.get(self, timedelta(days=31)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Velocity:
    """How many and how much a period lets out, and has let out since its start."""

    period: Period
    max_count: int | None
    max_amount: Decimal | None
    start: datetime
    count: int = 0
    amount: Decimal = ZERO

    @property
    def end(self) -> datetime:
        return self.period.end(self.start)

    def at(self, moment: datetime) -> "Velocity":
        """The same in the period of the moment: a clock set back opens none again."""
        start = self.period.start(moment)
        if start <= self.start:
            return self
        return replace(self, start=start, count=0, amount=ZERO)

    def after(self, amount: Decimal) -> "Velocity":
        return replace(self, count=self.count + 1, amount=self.amount + amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A wallet's; None: no such limit. Never changed, but replaced by the next."""

    maximum_balance: Decimal | None = None
    largest_operation: Decimal | None = None
    velocities: tuple[Velocity, ...] = ()

    def at(self, moment: datetime) -> "Limits":
        return replace(
            self, velocities=tuple(one.at(moment) for one in self.velocities)
        )

    def after(self, entry_type: EntryType, amount: Decimal) -> "Limits":
        """With an entry counted that they have let through."""
        if entry_type not in COUNTED or not self.velocities:
            return self
        counted = tuple(one.after(amount) for one in self.velocities)
        return replace(self, velocities=counted)


@dataclass(frozen=True, slots=True)
class Passed:
    """A limit that an operation would pass: its words, and what a client can use."""

    detail: str
    facts: dict[str, object]


def passed(
    limits: Limits,
    entry_type: EntryType,
    amount: Decimal,
    *,
    balance: Decimal,
    currency: str,
) -> Passed | None:
    """The first limit that an entry would pass in a wallet of this balance, or None."""
    if entry_type in BEGINNINGS:
        largest = limits.largest_operation
        if largest is not None and amount > largest:
            return in_money("largest_operation", largest, largest, currency)
    if entry_type.sign > 0:
        most = limits.maximum_balance
        if most is not None and balance + amount > most:
            left = max(most - balance, ZERO)
            return in_money("maximum_balance", most, left, currency)
    if entry_type in COUNTED:
        return passed_velocity(limits.velocities, amount, currency)
    return None


def passed_velocity(
    velocities: Iterable[Velocity], amount: Decimal, currency: str
) -> Passed | None:
    for one in velocities:
        if one.max_count is not None and one.count >= one.max_count:
            end = one.end.isoformat()
            return Passed(
                f"The wallet takes {one.max_count} operations a {one.period}:"
                f" the next from {end}.",
                {
                    "limit": f"{one.period}_count",
                    "value": one.max_count,
                    "left": 0,
                    "frees_at": end,
                },
            )
        if one.max_amount is not None and one.amount + amount > one.max_amount:
            left = max(one.max_amount - one.amount, ZERO)
            return in_money(
                f"{one.period}_amount", one.max_amount, left, currency, one.end
            )
    return None


def in_money(
    limit: str,
    value: Decimal,
    left: Decimal,
    currency: str,
    frees_at: datetime | None = None,
) -> Passed:
    value_text, left_text = (money.to_text(one, currency) for one in (value, left))
    facts: dict[str, object] = {"limit": limit, "value": value_text, "left": left_text}
    detail = (
        f"The wallet's {limit} is {value_text} {currency}: {left_text} is left of it"
    )
    if frees_at is None:
        return Passed(f"{detail}.", facts)
    end = frees_at.isoformat()
    return Passed(f"{detail}, more from {end}.", facts | {"frees_at": end})
