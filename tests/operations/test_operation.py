"""Deposits and withdrawals over HTTP."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from wallet_app.database import db

JSON = "application/json"


@pytest.fixture
def operate(client):
    """Post an operation; return the answer."""

    def post(wallet, kind="DEPOSIT", amount="1.00", headers=None, **fields):
        body = {"operation_type": kind, "amount": amount} | fields
        return client.post(
            f"/api/v1/wallets/{wallet}/operation", json=body, headers=headers
        )

    return post


@pytest.fixture
def balance_of(client):
    def read(wallet):
        return client.get(f"/api/v1/wallets/{wallet}/balance").get_json()["balance"]

    return read


def test_deposit_answers_with_its_transaction(operate, make_wallet):
    wallet = make_wallet()
    answer = operate(wallet, amount=1000)
    body = answer.get_json()
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers
    assert uuid.UUID(body.pop("reference_id")).version == 7
    assert body.pop("id") > 0
    age = datetime.now(UTC) - datetime.fromisoformat(body.pop("created_at"))
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert body == {
        "wallet_uuid": str(wallet),
        "seq": 1,
        "operation_type": "DEPOSIT",
        "amount": "1000.00",
        "balance_before": "0.00",
        "balance_after": "1000.00",
        "held_after": "0.00",
        "parent_reference_id": None,
        "metadata": None,
        "currency": "USD",
        "description": None,
        "counterparty_uuid": None,
    }


def test_withdrawal_answers_with_its_transaction(operate, make_wallet, balance_of):
    wallet = make_wallet(10)
    body = operate(wallet, "WITHDRAW", "2.50", description="coffee ☕").get_json()
    assert body["operation_type"] == "WITHDRAW"
    assert body["seq"] == 2
    assert body["description"] == "coffee ☕"
    assert [body["amount"], body["balance_before"], body["balance_after"]] == [
        "2.50",
        "10.00",
        "7.50",
    ]
    assert balance_of(wallet) == "7.50"


def test_withdrawal_of_everything_leaves_zero(operate, make_wallet, balance_of):
    wallet = make_wallet(10)
    assert operate(wallet, "WITHDRAW", "10.00").status_code == 200
    assert balance_of(wallet) == "0.00"
    assert operate(wallet, "WITHDRAW", "0.01").status_code == 409


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1000", "1000.00"),
        ("1", "1.00"),
        ("0.5", "0.50"),
        ("0.1", "0.10"),
        ("1.10", "1.10"),
        ("9007199254740993", "9007199254740993.00"),
        # A float would make 12345678901234568 of it.
        ("12345678901234567.89", "12345678901234567.89"),
        ("999999999999999999.99", "999999999999999999.99"),
        ('"1000"', "1000.00"),
        ('"1000.5"', "1000.50"),
        ('"0.01"', "0.01"),
        ('"007.00"', "7.00"),
        ('"12345678901234567.89"', "12345678901234567.89"),
    ],
)
def test_amount_is_read_exactly_as_it_is_written(client, make_wallet, number, text):
    path = f"/api/v1/wallets/{make_wallet()}/operation"
    data = f'{{"operation_type": "DEPOSIT", "amount": {number}}}'
    answer = client.post(path, data=data, content_type=JSON)
    assert answer.status_code == 200
    assert answer.get_json()["amount"] == answer.get_json()["balance_after"] == text


@pytest.mark.parametrize(
    ("currency", "amount", "written"),
    [
        ("JPY", 1500, "1500"),
        ("JPY", "1500", "1500"),
        ("KWD", "1.5", "1.500"),
        ("KWD", "0.001", "0.001"),
        ("CLF", "0.0001", "0.0001"),
        ("EUR", "1.50", "1.50"),
    ],
)
def test_amount_is_written_with_its_currencys_digits(
    operate, make_wallet, balance_of, currency, amount, written
):
    wallet = make_wallet(0, currency)
    body = operate(wallet, amount=amount).get_json()
    assert (body["amount"], body["currency"]) == (written, currency)
    assert balance_of(wallet) == written


def test_operation_type_has_a_synonym(client, make_wallet):
    path = f"/api/v1/wallets/{make_wallet()}/operation"
    answer = client.post(path, json={"operationType": "DEPOSIT", "amount": 1})
    assert answer.status_code == 200
    assert answer.get_json()["operation_type"] == "DEPOSIT"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"]
)
def test_content_type_may_be_written_in_full(client, make_wallet, content_type):
    path = f"/api/v1/wallets/{make_wallet()}/operation"
    data = json.dumps({"operation_type": "DEPOSIT", "amount": 1})
    assert client.post(path, data=data, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    "description",
    ["", " ", "x" * 1000, "€" * 1000, "\U0001f4b6", "a\nb\t", None, "'; --"],
)
def test_description_comes_back_as_it_was(client, operate, make_wallet, description):
    wallet = make_wallet()
    assert operate(wallet, description=description).get_json()["description"] == (
        description
    )
    page = client.get(f"/api/v1/wallets/{wallet}/transactions").get_json()
    assert page["data"][0]["description"] == description


def test_same_reference_moves_money_once_and_answers_the_same(
    operate, make_wallet, balance_of
):
    wallet, reference = make_wallet(10), str(uuid.uuid4())
    first = operate(wallet, "WITHDRAW", "10.00", reference_id=reference)
    again = operate(wallet, "WITHDRAW", 10, reference_id=reference.upper())
    assert first.get_json()["reference_id"] == reference
    assert again.get_json() == first.get_json()
    assert [one.headers.get("Idempotent-Replayed") for one in (first, again)] == [
        None,
        "true",
    ]
    assert balance_of(wallet) == "0.00"


@pytest.mark.parametrize("key", ["order-17", "k" * 255, "é ü", "a,b;c", "1", '"', "{}"])
def test_same_key_moves_money_once_quoted_or_not(operate, make_wallet, balance_of, key):
    wallet = make_wallet(10)
    plain, quoted = {"Idempotency-Key": key}, {"Idempotency-Key": f'"{key}"'}
    answers = [
        operate(wallet, "WITHDRAW", "10.00", headers=headers)
        for headers in (plain, quoted, plain)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [
        None,
        "true",
        "true",
    ]
    assert answers[0].get_json() == answers[1].get_json() == answers[2].get_json()
    assert balance_of(wallet) == "0.00"


def test_other_keys_are_other_operations(operate, make_wallet, balance_of):
    wallet = make_wallet()
    for key in ("a", "b", "A", "a b", "a  b"):
        answer = operate(wallet, headers={"Idempotency-Key": key})
        assert "Idempotent-Replayed" not in answer.headers
    assert balance_of(wallet) == "5.00"


def test_key_that_is_a_uuid_is_the_reference(operate, make_wallet):
    wallet, reference = make_wallet(), str(uuid.uuid4())
    by_key = operate(wallet, headers={"Idempotency-Key": reference})
    by_body = operate(wallet, reference_id=reference)
    both = operate(
        wallet, reference_id=reference, headers={"Idempotency-Key": f'"{reference}"'}
    )
    assert by_key.get_json() == by_body.get_json() == both.get_json()
    assert by_key.get_json()["reference_id"] == reference
    assert by_body.headers["Idempotent-Replayed"] == "true"


def test_key_of_a_refused_operation_may_succeed_later(operate, make_wallet):
    wallet, headers = make_wallet(), {"Idempotency-Key": "patience"}
    assert operate(wallet, "WITHDRAW", headers=headers).status_code == 409
    operate(wallet)
    answer = operate(wallet, "WITHDRAW", headers=headers)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_replay_answers_as_at_the_time_of_the_operation(operate, make_wallet):
    wallet, headers = make_wallet(), {"Idempotency-Key": "first"}
    first = operate(wallet, headers=headers).get_json()
    operate(wallet, amount="99.00")
    assert operate(wallet, headers=headers).get_json() == first
    assert first["balance_after"] == "1.00"


def test_if_match_lets_through_what_saw_the_latest_version(
    client, operate, make_wallet
):
    wallet = make_wallet(10)
    tag = client.get(f"/api/v1/wallets/{wallet}").headers["ETag"]
    assert operate(wallet, headers={"If-Match": tag}).status_code == 200
    assert operate(wallet, headers={"If-Match": tag}).status_code == 412
    assert operate(wallet, headers={"If-Match": "*"}).status_code == 200


def test_retry_with_if_match_is_a_replay_not_a_conflict(operate, make_wallet):
    wallet = make_wallet(10)
    headers = {"If-Match": '"1"', "Idempotency-Key": "once"}
    first = operate(wallet, headers=headers)
    assert operate(wallet, headers=headers).get_json() == first.get_json()


@pytest.mark.parametrize("given", ["a", "req-1/2:3", "x" * 128, "with blank"])
def test_request_id_of_the_client_comes_back(operate, make_wallet, given):
    answer = operate(make_wallet(), headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "é", "tab\there", "\x7f"], ids=ascii)
def test_request_id_that_could_spoil_a_log_is_replaced(operate, make_wallet, given):
    answer = operate(make_wallet(), "WITHDRAW", headers={"X-Request-ID": given})
    own = answer.headers["X-Request-ID"]
    assert own != given
    assert len(own) == 32
    assert answer.get_json()["request_id"] == own


def test_each_answer_has_a_request_id_of_its_own(client, make_wallet):
    path = f"/api/v1/wallets/{make_wallet()}"
    ids = {client.get(path).headers["X-Request-ID"] for _ in range(5)}
    assert len(ids) == 5


def test_operations_work_without_group_commit(make_app, app, make_wallet):
    """WALLET_GROUP_COMMIT=off changes the speed, not the answers."""
    wallet = make_wallet(10)
    client = make_app(group_commit=False).test_client()
    path = f"/api/v1/wallets/{wallet}/operation"
    body = {"operation_type": "WITHDRAW", "amount": "10.00"}
    headers = {"Idempotency-Key": "off"}
    statuses = [
        client.post(path, json=body, headers=headers).status_code,
        client.post(path, json=body, headers=headers).status_code,
        client.post(path, json=body).status_code,
        client.post(path, json=body | {"amount": "0"}).status_code,
    ]
    assert statuses == [200, 200, 409, 422]


def test_frozen_wallet_refuses_operations(app, refused, make_wallet):
    wallet = make_wallet(10)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE wallets SET status = 'frozen'"))
    for kind in ("DEPOSIT", "WITHDRAW"):
        refused(
            409,
            "wallet_not_active",
            "POST",
            f"/api/v1/wallets/{wallet}/operation",
            json={"operation_type": kind, "amount": 1},
        )
