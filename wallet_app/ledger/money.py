"""Exact amounts of money, with the digits that their currency has."""

import decimal
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache

from iso4217 import Currency

# Far above any real sum, far below where numeric or a client's JSON would give way.
MAX_INTEGER_DIGITS = 18
LIMIT = Decimal(10) ** MAX_INTEGER_DIGITS
# [0-9], because \d also takes full-width digits.
PLAIN_DECIMAL = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,20})?")


class InvalidAmountError(ValueError):
    """The text is not an amount of money; the message says what would be."""


# What a balance of 18 digits before the point and as many behind it takes, and sums of
# many: Python's usual 28 digits would round without a word. Each new thread and
# greenlet begins with the default.
DIGITS_OF_SUMS = 60
decimal.DefaultContext.prec = decimal.getcontext().prec = DIGITS_OF_SUMS

MAX_EXPONENT = 18
MAX_CODE = 12
CODE = re.compile(f"[A-Z0-9]{{3,{MAX_CODE}}}")


class CurrencyError(ValueError):
    """A currency cannot be configured; the message says why."""


def iso_exponents() -> dict[str, int]:
    """Those of ISO 4217 that can be held: metals and test codes have no digits."""
    return {one.code: one.exponent for one in Currency if one.exponent is not None}


ISO = iso_exponents()
# How many digits follow the point, by code: those of ISO 4217, and the configured ones.
EXPONENTS = dict(ISO)
# What a wallet holds whose currency is not configured any more is shown with so many.
UNKNOWN_EXPONENT = MAX_EXPONENT


def configure(currencies: Mapping[str, int]) -> None:
    """Know these currencies besides those of ISO 4217, and no others.

    Of the process, once, before anything is posted. Raises CurrencyError.
    """
    for code, digits in currencies.items():
        if not CODE.fullmatch(code):
            raise CurrencyError(f"{code}: give a code of 3 to {MAX_CODE} A-Z, 0-9")
        if not 0 <= digits <= MAX_EXPONENT:
            raise CurrencyError(f"{code}: give 0 to {MAX_EXPONENT} digits")
        if ISO.get(code, digits) != digits:
            raise CurrencyError(f"{code} has {ISO[code]} digits by ISO 4217")
    EXPONENTS.clear()
    EXPONENTS.update(ISO | dict(currencies))
    for cached in (minor_unit, zero_text):
        cached.cache_clear()


def currencies() -> list[str]:
    """Every currency that a wallet can hold, by its code."""
    return sorted(EXPONENTS)


def is_currency(code: str) -> bool:
    """Whether a wallet can hold this currency."""
    return code in EXPONENTS


def exponent(currency: str) -> int:
    """How many digits follow the decimal point (USD 2, JPY 0, KWD 3)."""
    return EXPONENTS.get(currency, UNKNOWN_EXPONENT)


@cache
def minor_unit(currency: str) -> Decimal:
    """The currency's smallest amount: 0.01 for USD."""
    return Decimal(1).scaleb(-exponent(currency))


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
    # As it mostly is already; str() takes a tenth of the time, but writes 1E-8.
    if amount.same_quantum(minor_unit(currency)):
        text = str(amount)
        return text if "E" not in text else f"{amount:f}"
    if not amount:
        return zero_text(currency)
    # Never rounded, should the currency have been configured with more digits once.
    digits = max(exponent(currency), fraction_digits(amount.normalize()))
    return f"{amount:.{digits}f}"
