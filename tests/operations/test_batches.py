"""Batches over HTTP: many operations in one call, each on its own or all or none."""

import uuid
from contextlib import contextmanager

import pytest
from members import deposit, member, transfer, withdraw
from sqlalchemy import event

from wallet_app.database import db

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
def refuse(refused):
    """Post a batch that must be refused and write nothing; return the problem."""

    def send(status, code, *members, **fields):
        body = {"operations": members} | fields
        return refused(status, code, "POST", PATH, json=body)

    return send


@pytest.fixture
def balance_of(client):
    def read(wallet):
        return client.get(f"/api/v1/wallets/{wallet}/balance").get_json()["balance"]

    return read


@contextmanager
def counted_statements(app):
    """The SQL statements that are sent meanwhile."""
    statements = []

    def note(connection, cursor, statement, *_):
        statements.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


# Each on its own


def test_members_are_answered_one_by_one_in_their_order(post, make_wallet):
    rich, poor, nobody = make_wallet(100), make_wallet(1), uuid.uuid4()
    reused = str(uuid.uuid4())
    body = post(
        deposit(rich, "10.00"),
        withdraw(poor, "1.01"),
        transfer(rich, poor, "20.00"),
        deposit(nobody),
        transfer(rich, rich),
        deposit(rich, "0.001"),
        deposit(poor, "2.00", reference_id=reused),
        deposit(poor, "3.00", reference_id=reused),
        withdraw(poor, "23.00"),
    )
    assert (body["applied"], body["refused"]) == (4, 5)
    seen = [(one["index"], one["status"], one["code"]) for one in body["outcomes"]]
    assert seen == [
        (0, 200, "ok"),
        (1, 409, "insufficient_funds"),
        (2, 200, "ok"),
        (3, 404, "wallet_not_found"),
        (4, 422, "same_wallet"),
        (5, 422, "invalid_amount"),
        (6, 200, "ok"),
        (7, 422, "idempotency_key_reused"),
        # What its neighbours before it have brought in.
        (8, 200, "ok"),
    ]


def test_applied_member_has_its_transactions_and_a_refused_one_its_reason(
    client, post, make_wallet
):
    rich, poor = make_wallet(100), make_wallet()
    body = post(transfer(rich, poor, "5.00"), withdraw(poor, "6.00"))
    moved, refusal = body["outcomes"]
    histories = [
        client.get(f"/api/v1/wallets/{one}/transactions").get_json()["data"][0]
        for one in (rich, poor)
    ]
    assert moved["transactions"] == histories
    assert "detail" not in moved
    assert "5.00" in refusal["detail"]
    assert "transactions" not in refusal


def test_each_member_gets_a_reference_that_finds_it(client, post, make_wallet):
    wallet = make_wallet()
    body = post(deposit(wallet), deposit(wallet), withdraw(wallet, "5.00"))
    references = [one["reference_id"] for one in body["outcomes"]]
    assert len(set(references)) == 3
    found = [client.get(f"/api/v1/operations/{one}").status_code for one in references]
    assert found == [200, 200, 404]


def test_a_thousand_members_are_taken(post, make_wallet, balance_of):
    wallets = [make_wallet() for _ in range(10)]
    body = post(*(deposit(wallets[index % 10], "0.01") for index in range(1000)))
    assert (body["applied"], body["refused"]) == (1000, 0)
    assert [one["index"] for one in body["outcomes"]] == list(range(1000))
    assert [balance_of(wallet) for wallet in wallets] == ["1.00"] * 10


def test_synonym_of_the_operation_type_is_taken_in_a_batch(post, make_wallet):
    wallet = str(make_wallet())
    one = {"operationType": "DEPOSIT", "wallet": wallet, "amount": 1}
    assert post(one)["outcomes"][0]["transactions"][0]["amount"] == "1.00"


@pytest.mark.parametrize("atomic", [False, True])
def test_number_of_statements_does_not_grow_with_the_members(
    app, post, make_wallet, atomic
):
    wallets = [make_wallet(100) for _ in range(20)]
    counts = []
    for size in (1, 10, 500):
        members = [
            transfer(wallets[index % 20], wallets[(index + 1) % 20], "0.01")
            for index in range(size)
        ]
        with counted_statements(app) as statements:
            assert post(*members, atomic=atomic)["applied"] == size
        counts.append(len(statements))
    # Lock the wallets, look the references up, update, insert; once perhaps a ping.
    assert max(counts) <= 5, counts


# What is no batch


def test_empty_batch_is_refused(refuse):
    problem = refuse(422, "validation_failed")
    assert list(problem["errors"]) == ["operations"]


def test_more_than_a_thousand_members_are_refused(refuse, make_wallet):
    wallet = make_wallet()
    members = [deposit(wallet, "0.01") for _ in range(1001)]
    problem = refuse(422, "validation_failed", *members)
    assert list(problem["errors"]) == ["operations"]


def test_invalid_members_are_named_by_index_and_stop_the_valid_ones(
    refuse, make_wallet
):
    wallet = make_wallet()
    problem = refuse(
        422,
        "validation_failed",
        deposit(wallet),
        deposit(wallet, "-1"),
        member("FEE", "1.00", wallet=wallet),
        member("DEPOSIT", "1.00"),
        deposit("not-a-uuid"),
        member("TRANSFER", "1.00", wallet=wallet),
        deposit(wallet, colour="red"),
        deposit(wallet, from_wallet=wallet),
        deposit(wallet),
    )
    errors = problem["errors"]["operations"]
    assert {index: sorted(fields) for index, fields in errors.items()} == {
        "1": ["amount"],
        "2": ["operation_type"],
        "3": ["wallet"],
        "4": ["wallet"],
        "5": ["from_wallet", "to_wallet", "wallet"],
        "6": ["colour"],
        "7": ["from_wallet"],
    }


@pytest.mark.parametrize("one", [None, 1, "DEPOSIT", [], [{}]])
def test_member_that_is_no_object_is_refused(refuse, one):
    problem = refuse(422, "validation_failed", one)
    assert list(problem["errors"]["operations"]) == ["0"]


@pytest.mark.parametrize("atomic", [None, 2, "true", "false", "yes", []])
def test_atomic_is_a_json_boolean_and_nothing_else(refuse, make_wallet, atomic):
    problem = refuse(422, "validation_failed", deposit(make_wallet()), atomic=atomic)
    assert list(problem["errors"]) == ["atomic"]


# All or none


def test_atomic_batch_applies_everything(post, make_wallet, balance_of):
    first, second = make_wallet(), make_wallet()
    body = post(
        deposit(first, "10.00"),
        transfer(first, second, "10.00"),
        withdraw(second, "4.00"),
        atomic=True,
    )
    assert [one["code"] for one in body["outcomes"]] == ["ok"] * 3
    assert [balance_of(first), balance_of(second)] == ["0.00", "6.00"]


def test_atomic_batch_names_its_first_refusal_and_applies_nothing(refuse, make_wallet):
    wallet, other = make_wallet(5), make_wallet()
    problem = refuse(
        409,
        "insufficient_funds",
        deposit(wallet, "1.00"),
        transfer(wallet, other, "2.00"),
        withdraw(wallet, "4.01"),
        deposit(uuid.uuid4()),
        atomic=True,
    )
    facts = [problem[name] for name in ("index", "available", "short_by")]
    assert facts == [2, "4.00", "0.01"]


def test_references_of_a_refused_atomic_batch_are_free_again(
    client, post, make_wallet, balance_of
):
    wallet, key = make_wallet(), str(uuid.uuid4())
    one = deposit(wallet, "5.00", reference_id=key)
    body = {"operations": [one, withdraw(wallet, "6.00")], "atomic": True}
    assert client.post(PATH, json=body).status_code == 409
    assert client.get(f"/api/v1/operations/{key}").status_code == 404
    assert post(one)["outcomes"][0]["code"] == "ok"
    assert balance_of(wallet) == "5.00"
