"""Exact amounts of money, with the digits that ISO 4217 gives their currency."""

import re
from decimal import Decimal
from functools import cache, lru_cache

from iso4217 import Currency

# Far above any real sum, far below where numeric or a client's JSON would give way.
MAX_INTEGER_DIGITS = 18
LIMIT = Decimal(10) ** MAX_INTEGER_DIGITS
# [0-9], because \d also takes full-width digits.
PLAIN_DECIMAL = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,20})?")


class InvalidAmountError(ValueError):
    """The text is not an amount of money; the message says what would be."""


@cache
def exponent(currency: str) -> int:
    """How many digits follow the decimal point (ISO 4217: USD 2, JPY 0, KWD 3)."""
    digits = Currency(currency).exponent
    if digits is None:
        raise ValueError(f"{currency} has no minor unit")
    return int(digits)


@cache
def minor_unit(currency: str) -> Decimal:
    """The currency's smallest amount: 0.01 for USD."""
    return Decimal(1).scaleb(-exponent(currency))


@lru_cache(maxsize=1024)
def is_currency(code: str) -> bool:
    """Whether a wallet can hold this currency: metals and test codes have no digits."""
    try:
        exponent(code)
    except ValueError:
        return False
    return True


# Every currency that a wallet can hold, by its code.
CURRENCIES = tuple(sorted(one.code for one in Currency if is_currency(one.code)))


def parse(text: str) -> Decimal:
    """A positive amount from plain decimal text, exact; raises InvalidAmountError."""
    if not PLAIN_DECIMAL.fullmatch(text):
        raise InvalidAmountError(
            'Give a positive amount in plain digits, such as 1000 or "1000.00".'
        )
    amount = Decimal(text)
    if not amount:
        raise InvalidAmountError("The amount must be above zero.")
    if amount >= LIMIT:
        raise InvalidAmountError(
            f"The amount may have at most {MAX_INTEGER_DIGITS} digits before the point."
        )
    return amount


def fraction_digits(amount: Decimal) -> int:
    """The digits written after the point: 3 for 1.500."""
    return max(0, -int(amount.as_tuple().exponent))


def fits(amount: Decimal, currency: str) -> bool:
    """Whether the currency has all the digits that are written after the point."""
    if amount.same_quantum(minor_unit(currency)):
        return True
    return fraction_digits(amount) <= exponent(currency)


def in_currency(amount: Decimal, currency: str) -> Decimal:
    """The amount with exactly the currency's digits; raises InvalidAmountError."""
    if not fits(amount, currency):
        digits = exponent(currency)
        raise InvalidAmountError(f"{amount} has more than {digits} digits ({currency})")
    return amount.quantize(minor_unit(currency))


@cache
def zero_text(currency: str) -> str:
    """0.00, with the currency's digits."""
    return f"{Decimal(0):.{exponent(currency)}f}"


def to_text(amount: Decimal, currency: str) -> str:
    """The amount as clients see it: plain, with exactly the currency's digits."""
    # As it mostly is already; str() takes a tenth of the time.
    if amount.same_quantum(minor_unit(currency)):
        return str(amount)
    if not amount:
        return zero_text(currency)
    return f"{amount:.{exponent(currency)}f}"
