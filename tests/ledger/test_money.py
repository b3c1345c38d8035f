"""Amounts and currencies, without a database."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_app.ledger import money

BY_EXPONENT = {0: "JPY", 2: "USD", 3: "KWD", 4: "CLF"}
digits_and_currency = st.sampled_from(sorted(BY_EXPONENT.items()))
NOT_AMOUNTS = [
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "-0.01",
    "1e3",
    "1E3",
    "1_0",
    "1,000",
    ".5",
    "5.",
    "0x10",
    "NaN",
    "Infinity",
    "１",
    "١",
    "1\n",
    "1\u00a0",
    "1" * 41,
    "0." + "1" * 21,
    "9" * 10_000,
]


@pytest.mark.parametrize("text", NOT_AMOUNTS)
def test_what_is_not_plain_digits_is_no_amount(text):
    with pytest.raises(money.InvalidAmountError, match="plain digits"):
        money.parse(text)


@pytest.mark.parametrize("text", ["0", "0.00", "000", "0.00000000000000000000"])
def test_zero_is_no_amount(text):
    with pytest.raises(money.InvalidAmountError, match="above zero"):
        money.parse(text)


def test_amount_at_the_limit_is_refused_and_just_below_it_is_taken():
    largest = "9" * money.MAX_INTEGER_DIGITS + ".99"
    assert str(money.parse(largest)) == largest
    with pytest.raises(money.InvalidAmountError, match="at most 18 digits"):
        money.parse("1" + "0" * money.MAX_INTEGER_DIGITS)


def test_one_cent_is_not_rounded_on_its_way_in():
    assert money.parse("1.005") == Decimal("1.005")
    assert money.fraction_digits(money.parse("1.005")) == 3
    assert money.fraction_digits(money.parse("1.500")) == 3
    assert money.fraction_digits(money.parse("15")) == 0


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)],
)
def test_currency_has_the_digits_of_iso_4217(currency, digits):
    assert money.exponent(currency) == digits
    assert money.is_currency(currency)


@pytest.mark.parametrize("code", ["", "usd", "US", "USDT", "XAU", "XTS", "XXX", "€"])
def test_a_wallet_cannot_hold_what_has_no_minor_unit_or_no_code(code):
    assert not money.is_currency(code)


def test_amount_with_too_many_digits_is_never_rounded_into_a_currency():
    with pytest.raises(money.InvalidAmountError):
        money.in_currency(Decimal("1.5"), "JPY")
    with pytest.raises(money.InvalidAmountError):
        money.in_currency(Decimal("1.005"), "USD")


@given(digits_and_currency, st.integers(1, 10**22 - 1))
def test_any_amount_comes_out_as_it_went_in(digits_and_currency, minor_units):
    digits, currency = digits_and_currency
    amount = Decimal(minor_units % 10 ** (18 + digits) or 1).scaleb(-digits)
    text = money.to_text(amount, currency)
    assert money.parse(text) == amount
    assert money.in_currency(money.parse(text), currency) == amount
    whole, _, fraction = text.partition(".")
    assert whole.isdecimal()
    assert len(fraction) == digits


@given(st.text(max_size=60))
def test_any_text_is_an_exact_amount_or_refused(text):
    try:
        amount = money.parse(text)
    except money.InvalidAmountError:
        return
    assert 0 < amount < money.LIMIT
    assert text.isascii()
    assert amount == Decimal(text)


@given(st.text("0123456789.", min_size=1, max_size=45))
def test_any_digits_are_an_exact_amount_or_refused(text):
    try:
        amount = money.parse(text)
    except money.InvalidAmountError:
        return
    assert f"{amount:f}".lstrip("0") == text.lstrip("0")
