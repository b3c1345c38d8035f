"""Currencies of the service's own: exact with every number of digits, and removable."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from flask import Flask

from wallet_app.config import ConfigurationError
from wallet_app.ledger import money
from wallet_app.statements import lifecycle, writer
from wallet_app.statistics import rollup

API = "/api/v1"


@pytest.fixture
def service(app: Flask, make_app):
    """A client of a service with three currencies more, on the test's database."""
    made = make_app(currencies="POINTS:0, BTC:8,WEI18:18")
    yield made.test_client()
    money.configure({})


def create(client, currency, **body):
    answer = client.post(f"{API}/wallets", json={"currency": currency} | body)
    assert answer.status_code == 201, answer.text
    return answer.get_json()["uuid"]


def move(client, wallet, amount, kind="DEPOSIT"):
    body = {"operation_type": kind, "amount": amount}
    return client.post(f"{API}/wallets/{wallet}/operation", json=body)


@pytest.mark.parametrize(
    ("currency", "zero", "amounts", "balance", "too_fine"),
    [
        ("POINTS", "0", ["5", "7"], "12", "0.5"),
        (
            "BTC",
            "0.00000000",
            ["0.00000001", "20999999.9"],
            "20999999.90000001",
            "0.000000001",
        ),
        (
            "WEI18",
            "0.000000000000000000",
            ["999999999999999998.000000000000000001", "0.999999999999999998"],
            "999999999999999998.999999999999999999",
            "0.0000000000000000001",
        ),
    ],
)
def test_amounts_are_exact_to_the_last_digit(
    service, currency, zero, amounts, balance, too_fine
):
    wallet = create(service, currency)
    path = f"{API}/wallets/{wallet}"
    assert service.get(path).get_json()["balance"] == zero
    for amount in amounts:
        assert move(service, wallet, amount).status_code == 200
    assert service.get(path).get_json()["balance"] == balance
    assert move(service, wallet, too_fine).status_code == 422
    other = create(service, currency)
    body = {"from_wallet": wallet, "to_wallet": other, "amount": balance}
    assert service.post(f"{API}/transfers", json=body).status_code == 200
    assert service.get(f"{API}/wallets/{other}").get_json()["balance"] == balance
    assert service.get(path).get_json()["balance"] == zero
    (row,) = service.get(f"{API}/wallets/{other}/statistics").get_json()["operations"]
    assert (row["total"], row["average"]) == (balance, balance)
    totals = service.get(f"{API}/statistics").get_json()["currencies"]
    (total,) = [one for one in totals if one["currency"] == currency]
    assert (total["total_balance"], total["balanced"]) == (balance, True)
    with service.application.app_context():
        rollup.roll_up()
    totals = service.get(f"{API}/statistics").get_json()["currencies"]
    assert total in totals


@pytest.mark.parametrize("file_format", ["csv", "json", "pdf"])
@pytest.mark.parametrize(
    ("currency", "amount"),
    [("POINTS", "999999999999999999"), ("BTC", "999999999999999999.00000001")],
)
def test_statements_show_every_digit(service, currency, amount, file_format):
    wallet = create(service, currency)
    assert move(service, wallet, amount).status_code == 200
    until = datetime.now(UTC)
    period = {
        "from": (until - timedelta(days=1)).isoformat(),
        "to": until.isoformat(),
    }
    body = period | {"format": file_format}
    asked = service.post(f"{API}/wallets/{wallet}/statements", json=body)
    assert asked.status_code == 202, asked.text
    with service.application.app_context():
        for one in lifecycle.due():
            assert writer.write(one)
    with service.get(asked.headers["Location"] + "/file") as file:
        content = file.data
    if file_format == "csv":
        (row,) = csv.DictReader(io.StringIO(content.decode()))
        assert (row["amount"], row["balance_after"]) == (amount, amount)
        assert row["currency"] == currency
    elif file_format == "json":
        document = json.loads(content)
        assert document["closing_balance"] == amount
        assert document["entries"][0]["amount"] == amount
    else:
        assert content.startswith(b"%PDF")


def test_the_description_tells_the_configured_currencies(service, client):
    document = service.get("/openapi.json").get_json()
    field = document["components"]["schemas"]["NewWallet"]["properties"]["currency"]
    assert {"POINTS", "BTC", "WEI18", "USD", "JPY"} <= set(field["enum"])
    assert "XAU" not in field["enum"]


def test_what_is_not_configured_is_refused(service, client, refused):
    assert create(service, "BTC")
    money.configure({})
    body = {"currency": "BTC"}
    refused(422, "validation_failed", "POST", f"{API}/wallets", json=body)


def test_a_wallet_of_a_removed_currency_is_read_and_moves_nothing(service, client):
    wallet = create(service, "BTC")
    move(service, wallet, "1.5")
    money.configure({"POINTS": 0})
    path = f"{API}/wallets/{wallet}"
    shown = service.get(path).get_json()
    assert (Decimal(shown["balance"]), shown["currency"]) == (Decimal("1.5"), "BTC")
    for rest in ("/balance", "/transactions", "/statistics", "/summaries"):
        assert service.get(path + rest).status_code == 200
    for name in ("wallets?currency=BTC", "wallets", "transactions", "statistics"):
        assert service.get(f"{API}/{name}").status_code == 200
    refused = move(service, wallet, "1")
    assert refused.status_code == 409
    assert refused.get_json()["code"] == "currency_not_configured"
    assert "WALLET_CURRENCIES" in refused.get_json()["detail"]
    money.configure({"BTC": 8})
    assert move(service, wallet, "1").get_json()["balance_after"] == "2.50000000"


def test_fewer_digits_than_before_round_nothing_away(service):
    wallet = create(service, "BTC")
    move(service, wallet, "0.12345678")
    money.configure({"BTC": 4})
    assert service.get(f"{API}/wallets/{wallet}").get_json()["balance"] == "0.12345678"


@pytest.mark.parametrize(
    "text",
    [
        *("USD:3", "points:0", "PT:0", "POINTS", "POINTS:", "POINTS:x", "POINTS:19"),
        *("POINTS:-1", "POINTS:1:2", "POINTS:0,POINTS:2", "THIRTEENCHARS:1", "A B:1"),
        *("POINTS:٣", "€UR:2", "POINTS:1.0"),
    ],
)
def test_a_list_that_cannot_be_stops_the_start(make_app, text):
    with pytest.raises(ConfigurationError, match="WALLET_CURRENCIES"):
        make_app(currencies=text)


def test_an_iso_currency_may_be_named_with_its_own_digits(make_app):
    make_app(currencies="USD:2, ,JPY:0,")
    assert money.exponent("USD") == 2
