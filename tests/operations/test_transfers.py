"""Transfers over HTTP: money leaves one wallet and enters another, or neither."""

import uuid

import pytest
from sqlalchemy import text

from wallet_app.database import db

PATH = "/api/v1/transfers"


@pytest.fixture
def send(client):
    """Post a transfer; return the answer."""

    def post(source, target, amount="25.00", headers=None, **fields):
        body = {"from_wallet": str(source), "to_wallet": str(target)}
        body |= {"amount": amount} | fields
        return client.post(PATH, json=body, headers=headers)

    return post


@pytest.fixture
def read(client):
    """Read a wallet, or something below it."""

    def get(wallet, rest=""):
        return client.get(f"/api/v1/wallets/{wallet}{rest}").get_json()

    return get


@pytest.fixture
def refuse(refused):
    """Post a transfer that must be refused and write nothing; return the problem."""

    def post(status, code, source, target, amount="25.00", headers=None, **fields):
        body = {"from_wallet": str(source), "to_wallet": str(target)}
        body |= {"amount": amount} | fields
        return refused(status, code, "POST", PATH, json=body, headers=headers)

    return post


@pytest.fixture
def pair(make_wallet):
    """A wallet that holds 100.00 and an empty one."""
    return make_wallet(100), make_wallet()


# What a transfer does


def test_transfer_answers_with_both_transactions(send, make_wallet):
    source, target = make_wallet(100), make_wallet(7)
    answer = send(source, target, description="rent")
    body = answer.get_json()
    assert answer.status_code == 200
    assert uuid.UUID(body["reference_id"]).version == 7
    assert (body["amount"], body["currency"]) == ("25.00", "USD")
    outgoing, incoming = body["outgoing"], body["incoming"]
    assert outgoing.pop("id") != incoming.pop("id")
    common = {
        "seq": 2,
        "amount": "25.00",
        "currency": "USD",
        "description": "rent",
        "held_after": "0.00",
        "parent_reference_id": None,
        "metadata": None,
        "reference_id": body["reference_id"],
        "created_at": outgoing["created_at"],
    }
    assert outgoing == common | {
        "wallet_uuid": str(source),
        "operation_type": "TRANSFER_OUT",
        "balance_before": "100.00",
        "balance_after": "75.00",
        "counterparty_uuid": str(target),
    }
    assert incoming == common | {
        "wallet_uuid": str(target),
        "operation_type": "TRANSFER_IN",
        "balance_before": "7.00",
        "balance_after": "32.00",
        "counterparty_uuid": str(source),
    }


def test_transfer_moves_both_balances_and_both_versions(send, read, pair):
    source, target = pair
    assert send(source, target).status_code == 200
    assert [(one["balance"], one["version"]) for one in map(read, pair)] == [
        ("75.00", 2),
        ("25.00", 1),
    ]


def test_each_leg_is_in_its_wallets_history_as_it_was_answered(send, read, pair):
    answer = send(*pair).get_json()
    newest = [read(wallet, "/transactions")["data"][0] for wallet in pair]
    assert newest == [answer["outgoing"], answer["incoming"]]


def test_transfer_may_take_the_whole_balance(send, read, pair):
    source, target = pair
    body = send(source, target, "100.00").get_json()
    assert body["outgoing"]["balance_after"] == "0.00"
    assert [read(one)["balance"] for one in pair] == ["0.00", "100.00"]


@pytest.mark.parametrize(
    ("currency", "amount", "answered"),
    [("JPY", "3", "3"), ("KWD", "0.001", "0.001"), ("USD", 3, "3.00")],
)
def test_transfer_is_written_with_its_currencys_digits(
    send, make_wallet, currency, amount, answered
):
    source, target = make_wallet(10, currency), make_wallet(0, currency)
    body = send(source, target, amount).get_json()
    legs = body, body["outgoing"], body["incoming"]
    assert [(leg["amount"], leg["currency"]) for leg in legs] == [
        (answered, currency)
    ] * 3
    assert body["incoming"]["balance_after"] == answered


def test_opposite_transfers_restore_both_balances(send, read, pair):
    source, target = pair
    assert send(source, target).status_code == 200
    assert send(target, source).status_code == 200
    assert [read(one)["balance"] for one in pair] == ["100.00", "0.00"]


# What refuses a transfer


def test_transfer_to_itself_is_refused(refuse, pair):
    source, _ = pair
    refuse(422, "same_wallet", source, source)


def test_transfer_between_currencies_is_refused(refuse, make_wallet):
    dollars, euros = make_wallet(100), make_wallet(0, "EUR")
    problem = refuse(422, "currency_mismatch", dollars, euros)
    assert "USD" in problem["detail"]
    assert "EUR" in problem["detail"]


@pytest.mark.parametrize("unknown", ["from_wallet", "to_wallet"])
def test_unknown_wallet_on_either_side_is_named(refuse, pair, unknown):
    nobody = uuid.uuid4()
    source, target = (
        (nobody, pair[1]) if unknown == "from_wallet" else (pair[0], nobody)
    )
    problem = refuse(404, "wallet_not_found", source, target)
    assert str(nobody) in problem["detail"]


def test_transfer_of_a_cent_too_much_tells_what_is_missing(refuse, pair):
    problem = refuse(409, "insufficient_funds", *pair, "100.01")
    assert (problem["available"], problem["short_by"]) == ("100.00", "0.01")


def test_transfer_that_would_pass_the_receivers_limit_is_refused(refuse, make_wallet):
    source, full = make_wallet(1), make_wallet("999999999999999999.99")
    problem = refuse(409, "balance_limit_exceeded", source, full, "0.01")
    assert "10^18" in problem["detail"]


@pytest.mark.parametrize(
    ("currency", "amount"), [("USD", "1.005"), ("JPY", "1.5"), ("KWD", "1.0001")]
)
def test_transfer_finer_than_the_currency_is_refused_not_rounded(
    refuse, make_wallet, currency, amount
):
    source, target = make_wallet(10, currency), make_wallet(0, currency)
    problem = refuse(422, "invalid_amount", source, target, amount)
    assert list(problem["errors"]) == ["amount"]


@pytest.mark.parametrize("side", [0, 1])
def test_frozen_wallet_neither_sends_nor_receives(app, refuse, pair, side):
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(
            text("UPDATE wallets SET status = 'frozen' WHERE uuid = :uuid"),
            {"uuid": pair[side]},
        )
    problem = refuse(409, "wallet_not_active", *pair)
    assert str(pair[side]) in problem["detail"]


@pytest.mark.parametrize("field", ["from_wallet", "to_wallet", "amount"])
def test_missing_field_of_a_transfer_is_named(refused, pair, field):
    source, target = map(str, pair)
    body = {"from_wallet": source, "to_wallet": target, "amount": "1.00"}
    del body[field]
    problem = refused(422, "validation_failed", "POST", PATH, json=body)
    assert list(problem["errors"]) == [field]


@pytest.mark.parametrize("field", ["operation_type", "operationType", "wallet"])
def test_field_of_another_call_is_refused_in_a_transfer(refuse, pair, field):
    problem = refuse(422, "validation_failed", *pair, **{field: "TRANSFER"})
    assert list(problem["errors"]) == [field]


# If-Match


def test_if_match_speaks_of_the_source_alone(send, pair):
    source, target = pair
    # The source is at version 1, the target at 0.
    assert send(source, target, headers={"If-Match": '"1"'}).status_code == 200


def test_source_that_has_moved_on_fails_the_precondition(refuse, pair):
    problem = refuse(412, "precondition_failed", *pair, headers={"If-Match": '"0"'})
    assert problem["version"] == 1


# Retries


@pytest.mark.parametrize("how", ["reference_id", "Idempotency-Key"])
def test_transfer_that_is_sent_again_moves_money_once(send, read, pair, how):
    key = str(uuid.uuid4())
    again = {"reference_id": key} if how == "reference_id" else {"headers": {how: key}}
    first, second = send(*pair, **again), send(*pair, **again)
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.data == first.data
    assert first.get_json()["reference_id"] == key
    assert [read(one)["balance"] for one in pair] == ["75.00", "25.00"]


def test_replay_answers_with_the_balances_of_its_own_time(send, pair):
    key = str(uuid.uuid4())
    first = send(*pair, reference_id=key)
    assert send(*pair, "75.00").status_code == 200
    # Nothing is left, and still the retry learns that it went through.
    again = send(*pair, reference_id=key)
    assert (again.status_code, again.data) == (200, first.data)


def test_retry_with_a_stale_if_match_is_a_replay(send, pair):
    fields = {"reference_id": str(uuid.uuid4()), "headers": {"If-Match": '"1"'}}
    first = send(*pair, **fields)
    again = send(*pair, **fields)
    assert (again.status_code, again.data) == (200, first.data)


@pytest.mark.parametrize("change", ["amount", "direction", "target", "description"])
def test_key_of_another_transfer_is_refused(send, refuse, make_wallet, change):
    source, target, third = make_wallet(100), make_wallet(100), make_wallet()
    key = str(uuid.uuid4())
    assert send(source, target, reference_id=key).status_code == 200
    other = {
        "amount": (source, target, "25.01"),
        "direction": (target, source),
        "target": (source, third),
        "description": (source, target),
    }[change]
    fields = {"description": "another"} if change == "description" else {}
    problem = refuse(422, "idempotency_key_reused", *other, reference_id=key, **fields)
    assert key in problem["detail"]


def test_key_of_a_deposit_is_refused_for_a_transfer(client, refuse, pair):
    source, target = pair
    key = str(uuid.uuid4())
    body = {"operation_type": "DEPOSIT", "amount": "25.00", "reference_id": key}
    assert (
        client.post(f"/api/v1/wallets/{target}/operation", json=body).status_code == 200
    )
    refuse(422, "idempotency_key_reused", source, target, reference_id=key)


def test_refused_transfer_may_succeed_with_the_same_key_later(send, client, pair):
    source, target = pair
    key = str(uuid.uuid4())
    assert send(source, target, "150.00", reference_id=key).status_code == 409
    deposit = {"operation_type": "DEPOSIT", "amount": "50.00"}
    client.post(f"/api/v1/wallets/{source}/operation", json=deposit)
    answer = send(source, target, "150.00", reference_id=key)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers
