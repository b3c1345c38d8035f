"""Realistic wallets and operations out of a random generator: pure, no database."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from random import Random
from uuid import UUID

from wallet_app.cli.habits import (
    CURRENCIES,
    INCOME,
    PAYMENTS,
    SPENDING,
    Habit,
)
from wallet_app.http.caller import caller
from wallet_app.ledger import money
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.rules import Operation
from wallet_app.ledger.wallets import ImportedWallet

A_DAY = timedelta(days=1)
# The share of a day's operations that is over by the hour: people sleep at night.
OVER_BY_HOUR = ((0, 0.0), (6, 0.04), (9, 0.18), (18, 0.78), (22, 0.95), (24, 1.0))
TRANSFER_SHARE = 0.12
# The income share by wealth (in USD): who has little earns, who has much spends.
INCOME_SHARES = ((500, 0.35), (5_000, 0.12), (float("inf"), 0.03))
LAST_BIRTH = 0.7
MAX_POPULARITY = 50.0


def full_days(days: int, now: datetime) -> tuple[datetime, datetime]:
    """The start and the end of the last full days (UTC): all of them in the past."""
    end = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return end - days * A_DAY, end


def random_uuid(rng: Random) -> UUID:
    return UUID(int=rng.getrandbits(128), version=4)


def wallets(
    rng: Random, *, count: int, start: datetime, end: datetime
) -> list[ImportedWallet]:
    """Wallets in the order of their creation; the first is older than `start`."""
    births = sorted(LAST_BIRTH * rng.random() ** 2 for _ in range(count))
    codes = rng.choices(
        list(CURRENCIES), [one.share for one in CURRENCIES.values()], k=count
    )
    return [
        ImportedWallet(
            uuid=random_uuid(rng),
            currency=code,
            created_at=start + birth * (end - start) if index else start - A_DAY,
        )
        for index, (birth, code) in enumerate(zip(births, codes, strict=True))
    ]


def moments(
    rng: Random, *, count: int, start: datetime, days: int
) -> Iterator[datetime]:
    """Times in order, even over the days from midnight `start`, not over the hours."""
    for index in range(count):
        day, share = divmod((index + rng.random()) / count * days, 1)
        yield start + timedelta(days=day, hours=hour_of(share))


def hour_of(share: float) -> float:
    """The hour of the day at which this share of its operations is over."""
    for (from_hour, low), (to_hour, high) in pairwise(OVER_BY_HOUR):
        if share < high:
            return from_hour + (to_hour - from_hour) * (share - low) / (high - low)
    return 24.0


class Economy:
    """Operations of many wallets, one by one; it knows what each of them holds.

    `wallets` come in the order of their creation. Balances are in minor units.
    """

    def __init__(self, rng: Random, wallets: Sequence[ImportedWallet]) -> None:
        self.rng = rng
        self.wallets = wallets
        self.balances = [0] * len(wallets)
        # A few wallets are far busier than the others.
        self.popularity = list(
            accumulate(min(rng.paretovariate(1.1), MAX_POPULARITY) for _ in wallets)
        )
        self.born = 0
        self.by_currency: dict[str, list[int]] = {}

    def operations(self, times: Iterator[datetime]) -> Iterator[Operation]:
        """An operation for each of the times, which come in order."""
        for moment in times:
            self.admit(moment)
            yield self.operation(self.pick(), moment)

    def admit(self, moment: datetime) -> None:
        """Let the wallets take part that exist by now."""
        while (
            self.born < len(self.wallets)
            and self.wallets[self.born].created_at < moment
        ):
            code = self.wallets[self.born].currency
            self.by_currency.setdefault(code, []).append(self.born)
            self.born += 1

    def pick(self) -> int:
        point = self.rng.random() * self.popularity[self.born - 1]
        return bisect_right(self.popularity, point, 0, self.born - 1)

    def operation(self, index: int, moment: datetime) -> Operation:
        """What the wallet does now: it earns when it cannot pay for what it would."""
        code = self.wallets[index].currency
        if self.rng.random() >= self.income_share(index):
            target = self.partner(index)
            habit = self.habit(SPENDING if target is None else PAYMENTS)
            amount = self.amount(habit, code)
            if amount <= self.balances[index]:
                return self.move(index, target, -amount, habit, moment)
        habit = self.habit(INCOME)
        return self.move(index, None, self.amount(habit, code), habit, moment)

    def income_share(self, index: int) -> float:
        code = self.wallets[index].currency
        usd = self.balances[index] / 10 ** money.exponent(code)
        usd /= CURRENCIES[code].per_usd
        return next(share for limit, share in INCOME_SHARES if usd < limit)

    def partner(self, index: int) -> int | None:
        """Another wallet of the same currency to send money to, now and then."""
        if self.rng.random() >= TRANSFER_SHARE:
            return None
        other = self.rng.choice(self.by_currency[self.wallets[index].currency])
        return None if other == index else other

    def habit(self, habits: Sequence[Habit]) -> Habit:
        return self.rng.choices(habits, [habit.weight for habit in habits])[0]

    def amount(self, habit: Habit, code: str) -> int:
        """An amount in minor units: round where people pay with or think in notes."""
        currency = CURRENCIES[code]
        minor_units: int = 10 ** money.exponent(code)
        usd = habit.median_usd * self.rng.lognormvariate(0, habit.spread)
        notes = usd * currency.per_usd / currency.banknote
        if self.rng.random() < habit.round_share:
            return max(1, round(notes)) * currency.banknote * minor_units
        return max(1, round(notes * currency.banknote * minor_units))

    def move(
        self,
        index: int,
        target: int | None,
        change: int,
        habit: Habit,
        moment: datetime,
    ) -> Operation:
        """The operation that changes the wallet's balance, and keep book of it."""
        wallet = self.wallets[index]
        self.balances[index] += change
        operation_type = OperationType.DEPOSIT if change > 0 else OperationType.WITHDRAW
        if target is not None:
            self.balances[target] -= change
            operation_type = OperationType.TRANSFER
        return Operation(
            tenant_id=caller().tenant_id,
            operation_type=operation_type,
            wallet_uuid=wallet.uuid,
            target_uuid=None if target is None else self.wallets[target].uuid,
            amount=Decimal(abs(change)).scaleb(-money.exponent(wallet.currency)),
            description=self.rng.choice(habit.descriptions),
            reference_id=random_uuid(self.rng),
            occurred_at=moment,
        )
