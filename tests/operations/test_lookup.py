"""GET /operations/{reference_id}: what became of an operation."""

import uuid

import psycopg
import pytest
from sqlalchemy.engine import make_url

from wallet_app.database import ConnectionLostError
from wallet_app.ledger import posting

PATH = "/api/v1/operations/{}"
TRANSFERS = "/api/v1/transfers"
NOT_REFUNDED = {"refunded": "0.00", "refunds": [], "refund_of": None}
OPERATION = "/api/v1/wallets/{}/operation"


@pytest.fixture
def look_up(client):
    """Look a reference up; return the answer."""

    def get(reference):
        return client.get(PATH.format(reference))

    return get


@pytest.mark.parametrize("kind", ["DEPOSIT", "WITHDRAW"])
def test_operation_is_found_as_it_was_answered(client, look_up, make_wallet, kind):
    wallet = make_wallet(10)
    body = {"operation_type": kind, "amount": "1.00", "description": "why"}
    answered = client.post(OPERATION.format(wallet), json=body).get_json()
    found = look_up(answered["reference_id"])
    assert found.status_code == 200
    assert found.get_json() == {
        "reference_id": answered["reference_id"],
        "operation_type": kind,
        "transactions": [answered],
        **NOT_REFUNDED,
    }


def test_transfer_is_found_with_both_legs_the_outgoing_first(
    client, look_up, make_wallet
):
    # The second pair's target is the older wallet: the order is not that of the ids.
    old, new = make_wallet(10), make_wallet(10)
    for source, target in ((old, new), (new, old)):
        body = {"from_wallet": str(source), "to_wallet": str(target), "amount": 1}
        answered = client.post(TRANSFERS, json=body).get_json()
        assert look_up(answered["reference_id"]).get_json() == {
            "reference_id": answered["reference_id"],
            "operation_type": "TRANSFER",
            "transactions": [answered["outgoing"], answered["incoming"]],
            **NOT_REFUNDED,
        }


def test_operation_with_a_text_key_is_found_by_its_reference(
    client, look_up, make_wallet
):
    body = {"operation_type": "DEPOSIT", "amount": "1.00"}
    answered = client.post(
        OPERATION.format(make_wallet()), json=body, headers={"Idempotency-Key": "no 7"}
    ).get_json()
    assert look_up(answered["reference_id"]).get_json()["transactions"] == [answered]


def test_reference_may_be_looked_up_in_capitals(client, look_up, make_wallet):
    body = {"operation_type": "DEPOSIT", "amount": "1.00"}
    answered = client.post(OPERATION.format(make_wallet()), json=body).get_json()
    found = look_up(answered["reference_id"].upper())
    assert found.get_json()["reference_id"] == answered["reference_id"]


def test_reference_that_nobody_used_is_not_found(refused):
    path = PATH.format(uuid.uuid4())
    problem = refused(404, "operation_not_found", "GET", path)
    assert path.rpartition("/")[2] in problem["detail"]


def test_refused_operation_is_not_found(client, look_up, make_wallet):
    key = str(uuid.uuid4())
    body = {"operation_type": "WITHDRAW", "amount": "1.00", "reference_id": key}
    assert client.post(OPERATION.format(make_wallet()), json=body).status_code == 409
    assert look_up(key).status_code == 404


def test_malformed_reference_is_told_apart_from_an_unknown_one(refused):
    refused(422, "validation_failed", "GET", PATH.format("not-a-uuid"))


# After a 503


@pytest.fixture
def lose_answers(monkeypatch):
    """Lose the connection to the database in every attempt, after `work`."""

    def install(work):
        def post(units, **options):
            work(units, **options)
            raise ConnectionLostError

        monkeypatch.setattr(posting, "post", post)

    return install


def post_deposit(client, wallet, **fields):
    body = {"operation_type": "DEPOSIT", "amount": "1.00"} | fields
    return client.post(OPERATION.format(wallet), json=body)


def balance_of(client, wallet):
    return client.get(f"/api/v1/wallets/{wallet}/balance").get_json()["balance"]


@pytest.mark.parametrize("key", [None, "0f8fad5b-d9cb-469f-a165-70867728950e"])
def test_operation_that_went_through_unheard_is_found_and_not_repeated(
    client, look_up, make_wallet, lose_answers, monkeypatch, key
):
    wallet = make_wallet()
    lose_answers(posting.post)
    answer = post_deposit(client, wallet, **({"reference_id": key} if key else {}))
    problem = answer.get_json()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert (problem["code"], problem["applied"]) == ("try_again", "unknown")
    # Given by the service, where the client gave none: there is a way to find out.
    reference = problem["reference_id"]
    assert reference == (key or reference)
    monkeypatch.undo()
    found = look_up(reference).get_json()["transactions"]
    again = post_deposit(client, wallet, reference_id=reference)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [again.get_json()] == found
    assert balance_of(client, wallet) == "1.00"


def test_operation_that_did_not_go_through_is_not_found_and_may_be_repeated(
    client, look_up, make_wallet, lose_answers, monkeypatch
):
    wallet = make_wallet()
    lose_answers(lambda units, **options: None)
    problem = post_deposit(client, wallet).get_json()
    assert problem["applied"] == "unknown"
    monkeypatch.undo()
    assert look_up(problem["reference_id"]).status_code == 404
    again = post_deposit(client, wallet, reference_id=problem["reference_id"])
    assert again.status_code == 200
    assert "Idempotent-Replayed" not in again.headers
    assert balance_of(client, wallet) == "1.00"


@pytest.mark.parametrize("group_commit", [True, False])
def test_operation_on_a_locked_wallet_is_refused_and_stays_unapplied(
    make_app, database_url, make_wallet, group_commit
):
    client = make_app(group_commit=group_commit, deadline_ms=800).test_client()
    wallet = make_wallet()
    url = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as holder:
        holder.execute("SELECT FROM wallets WHERE uuid = %s FOR UPDATE", [wallet])
        answer = post_deposit(client, wallet)
        problem = answer.get_json()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert problem["applied"] == "no"
    reference = problem["reference_id"]
    assert client.get(PATH.format(reference)).status_code == 404
    assert balance_of(client, wallet) == "0.00"
    assert post_deposit(client, wallet, reference_id=reference).status_code == 200
