"""JSON as it comes in and goes out."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_app.http.json_provider import ExactJsonProvider, InvalidJson, JsonDecimal


@pytest.fixture(scope="module")
def provider(migrated_app):
    return ExactJsonProvider(migrated_app)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**90), 10**90)
    | st.text(st.characters(codec="utf-8")),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), children, max_size=4)
    ),
    max_leaves=20,
)


@given(value=values)
def test_any_json_comes_in_as_it_was_sent(provider, value):
    text = json.dumps(value)
    assert provider.loads(text) == value
    assert provider.loads(text.encode()) == value
    assert provider.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(whole=st.integers(0, 10**40), fraction=st.text("0123456789", min_size=1))
def test_any_decimal_comes_in_digit_by_digit(provider, whole, fraction):
    number = f"{whole}.{fraction}"
    (read,) = provider.loads(f"[{number}]")
    assert isinstance(read, JsonDecimal)
    assert read.text == number


@given(body=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_with_a_reason(provider, body):
    try:
        provider.loads(body)
        reason = "none"
    except InvalidJson as error:
        reason = str(error)
    assert 0 < len(reason) < 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nul",
        "NaN",
        "-Infinity",
        '{"a": 1, "a": 1}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "1" * 101,
        "-" + "1" * 101,
        "\ufeff{}",
        '"\x00"',
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_not_json_is_refused(provider, text):
    with pytest.raises(InvalidJson):
        provider.loads(text)


def test_integers_of_a_hundred_digits_are_read(provider):
    assert provider.loads("9" * 100) == 10**100 - 1


def test_what_has_no_json_form_goes_out_as_text(provider):
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    text = provider.dumps({"amount": Decimal("1.50"), "day": moment.date()})
    assert json.loads(text) == {"amount": "1.50", "day": "2026-01-31"}
    indented = provider.dumps({"amount": Decimal("1.50")}, indent=2)
    assert json.loads(indented) == {"amount": "1.50"}
