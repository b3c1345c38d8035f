"""Batches that are sent again: their members are applied once."""

import uuid

import pytest
from members import deposit, transfer, withdraw

from wallet_app.errors import Unavailable
from wallet_app.ledger.posting import Unit
from wallet_app.ledger.rules import Refusal
from wallet_app.operations.requests import raise_whole_refusal

PATH = "/api/v1/operations/batch"


@pytest.fixture
def post(client):
    """Post a batch that is answered with outcomes; return the body."""

    def send(*members, headers=None, **fields):
        body = {"operations": members} | fields
        answer = client.post(PATH, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    return send


@pytest.fixture
def balance_of(client):
    def read(wallet):
        return client.get(f"/api/v1/wallets/{wallet}/balance").get_json()["balance"]

    return read


@pytest.mark.parametrize("atomic", [False, True])
def test_same_reference_twice_in_a_batch_moves_money_once(
    post, make_wallet, balance_of, atomic
):
    wallet, key = make_wallet(), str(uuid.uuid4())
    body = post(*[deposit(wallet, reference_id=key)] * 2, atomic=atomic)
    first, second = body["outcomes"]
    assert (first["code"], second["code"]) == ("ok", "replayed")
    assert first["transactions"] == second["transactions"]
    assert (body["applied"], body["refused"]) == (1, 0)
    assert balance_of(wallet) == "1.00"


@pytest.mark.parametrize("atomic", [False, True])
def test_key_makes_the_whole_batch_safe_to_send_again(
    post, make_wallet, balance_of, atomic
):
    wallet, other = make_wallet(10), make_wallet()
    members = [deposit(wallet), deposit(wallet), transfer(wallet, other)]
    fields = {"headers": {"Idempotency-Key": "payroll 7"}, "atomic": atomic}
    first, second = post(*members, **fields), post(*members, **fields)
    assert [one["code"] for one in first["outcomes"]] == ["ok"] * 3
    assert [one["code"] for one in second["outcomes"]] == ["replayed"] * 3
    assert (second["applied"], second["refused"]) == (0, 0)
    for before, after in zip(first["outcomes"], second["outcomes"], strict=True):
        assert before["reference_id"] == after["reference_id"]
        assert before["transactions"] == after["transactions"]
    assert [balance_of(wallet), balance_of(other)] == ["11.00", "1.00"]


def test_equal_members_of_one_key_are_operations_of_their_own(
    post, make_wallet, balance_of
):
    wallet = make_wallet()
    key = {"Idempotency-Key": "twice the same"}
    assert post(*[deposit(wallet)] * 3, headers=key)["applied"] == 3
    assert balance_of(wallet) == "3.00"


def test_batch_under_another_key_is_another_batch(post, make_wallet, balance_of):
    wallet = make_wallet()
    for key in ("one", "two"):
        post(deposit(wallet), headers={"Idempotency-Key": key})
    assert balance_of(wallet) == "2.00"


def test_member_that_was_refused_succeeds_when_the_batch_is_sent_again(
    post, make_wallet, balance_of
):
    wallet, key = make_wallet(), {"Idempotency-Key": "again"}
    members = [deposit(wallet, "3.00"), withdraw(wallet, "5.00")]
    post(*members, headers=key)
    post(deposit(wallet, "2.00"))
    body = post(*members, headers=key)
    assert [one["code"] for one in body["outcomes"]] == ["replayed", "ok"]
    assert balance_of(wallet) == "0.00"


def test_changed_member_under_the_same_key_is_refused_alone(
    post, make_wallet, balance_of
):
    wallet, key = make_wallet(), {"Idempotency-Key": "changed"}
    post(deposit(wallet), deposit(wallet), headers=key)
    body = post(deposit(wallet), deposit(wallet, "9.00"), headers=key)
    assert [one["code"] for one in body["outcomes"]] == [
        "replayed",
        "idempotency_key_reused",
    ]
    assert balance_of(wallet) == "2.00"


def test_member_can_be_sent_again_on_its_own(client, post, make_wallet, balance_of):
    wallet = make_wallet()
    outcome = post(deposit(wallet))["outcomes"][0]
    again = client.post(
        f"/api/v1/wallets/{wallet}/operation",
        json={
            "operation_type": "DEPOSIT",
            "amount": "1.00",
            "reference_id": outcome["reference_id"],
        },
    )
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json() == outcome["transactions"][0]
    assert balance_of(wallet) == "1.00"


@pytest.mark.parametrize("of_members", ["unknown no", "no unknown", "no no"])
def test_a_batch_without_answer_is_as_uncertain_as_its_members(of_members):
    outcomes = [
        Refusal("try_again", "Send it again.", {"applied": applied})
        for applied in of_members.split()
    ]
    with pytest.raises(Unavailable) as raised:
        raise_whole_refusal(Unit(()), outcomes)
    uncertain = "unknown" in of_members
    assert raised.value.facts["applied"] == ("unknown" if uncertain else "no")
