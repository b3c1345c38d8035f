"""Transactions are found over all wallets, by what they are and what they carry."""

import json
import random
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.engine import make_url

from wallet_app.finding import walks
from wallet_app.http.pages import encode_cursor

API = "/api/v1"


def move(client, wallet, amount, **fields):
    body = {"operation_type": "DEPOSIT", "amount": str(amount)} | fields
    return client.post(f"{API}/wallets/{wallet}/operation", json=body)


def search(client, **query):
    """All transactions found, and how many pages they were on."""
    rows, cursor = [], {}
    for count in range(1, 500):
        answer = client.get(f"{API}/transactions", query_string=query | cursor)
        assert answer.status_code == 200, answer.text
        page = answer.get_json()
        rows += page["data"]
        if not page["has_more"]:
            return rows, count
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("the pages do not end")


def test_an_operation_shows_its_metadata_wherever_it_is_shown(client, make_wallet):
    wallet, other = make_wallet(10), make_wallet()
    metadata = {"order": "4711", "lines": [{"sku": 7, "net": "1.25"}], "gift": None}
    single = move(client, wallet, 1, metadata=metadata)
    assert single.get_json()["metadata"] == metadata
    sent = {"from_wallet": str(wallet), "to_wallet": str(other), "amount": 1}
    both = client.post(f"{API}/transfers", json=sent | {"metadata": metadata})
    for leg in ("outgoing", "incoming"):
        assert both.get_json()[leg]["metadata"] == metadata
    member = sent | {"operation_type": "TRANSFER", "metadata": metadata}
    plain = {"operation_type": "DEPOSIT", "wallet": str(wallet), "amount": 1}
    body = {"operations": [member, plain]}
    outcomes = client.post(f"{API}/operations/batch", json=body).get_json()["outcomes"]
    shown = [[one["metadata"] for one in each["transactions"]] for each in outcomes]
    assert shown == [[metadata, metadata], [None]]
    history = client.get(f"{API}/wallets/{other}/transactions").get_json()["data"]
    assert [one["metadata"] for one in history] == [metadata, metadata]
    found, _ = search(client, metadata="order=4711")
    assert len(found) == 5
    reference = single.get_json()["reference_id"]
    looked_up = client.get(f"{API}/operations/{reference}").get_json()
    assert looked_up["transactions"] == [single.get_json()]


def test_a_retry_with_the_same_metadata_is_the_first_answer_again(client, make_wallet):
    wallet, reference = make_wallet(), str(uuid4())
    metadata = {"b": 1e3, "a": [0.1, -0.0, 1e-7, 12345678901234], "c": {"d": True}}
    first = move(client, wallet, 1, metadata=metadata, reference_id=reference)
    swapped = dict(reversed(metadata.items()))
    again = move(client, wallet, 1, metadata=swapped, reference_id=reference)
    assert again.headers["Idempotent-Replayed"] == "true"
    # By the standard library: the service's own reading keeps fractions as text.
    assert json.loads(again.text) == json.loads(first.text)
    assert json.loads(first.text)["metadata"] == metadata


@pytest.mark.parametrize(
    "other", [None, {}, {"a": "1"}, {"a": 1, "b": 2}, {"b": 1}, {"a": 2}, {"a": True}]
)
def test_a_reference_with_other_metadata_is_another_operation(
    client, make_wallet, other
):
    wallet, reference = make_wallet(), str(uuid4())
    move(client, wallet, 1, metadata={"a": 1}, reference_id=reference)
    answer = move(client, wallet, 1, metadata=other, reference_id=reference)
    assert answer.get_json()["code"] == "idempotency_key_reused"
    body = {"operation_type": "DEPOSIT", "wallet": str(wallet), "amount": "1"}
    batch = {"operations": [body | {"metadata": other, "reference_id": reference}]}
    outcomes = client.post(f"{API}/operations/batch", json=batch).get_json()["outcomes"]
    assert outcomes[0]["code"] == "idempotency_key_reused"


def test_metadata_out_of_bounds_refuses_the_operation(make_wallet, refused):
    wallet = make_wallet()
    body = {"operation_type": "DEPOSIT", "amount": 1, "metadata": {"a": ["\0"]}}
    path = f"{API}/wallets/{wallet}/operation"
    problem = refused(422, "validation_failed", "POST", path, json=body)
    assert list(problem["errors"]) == ["metadata"]


@pytest.fixture
def history(client, make_wallet):
    """What the service shows of eighty operations on five wallets, newest first."""
    chance = random.Random(11)
    made = [make_wallet(100, "JPY") for _ in range(5)]
    for number in range(70):
        wallet, other = chance.sample(made, k=2)
        extra = {}
        if number % 3:
            extra["metadata"] = {
                "shop": f"{chance.randrange(3)}",
                "basket": {"lines": number % 5, "tags": ["x", f"t{number % 2}"]},
            }
        amount = chance.randrange(1, 5)
        if number % 4:
            kind = chance.choice(["DEPOSIT", "WITHDRAW"])
            answer = move(client, wallet, amount, operation_type=kind, **extra)
        else:
            body = {"from_wallet": str(wallet), "to_wallet": str(other)}
            body |= {"amount": amount} | extra
            answer = client.post(f"{API}/transfers", json=body)
        assert answer.status_code == 200, answer.text
    rows = []
    for wallet in made:
        page = client.get(f"{API}/wallets/{wallet}/transactions?limit=100").get_json()
        rows += page["data"]
    return sorted(rows, key=lambda one: (one["created_at"], one["id"]))[::-1]


def contains(whole, part):
    """As PostgreSQL's @> has it, for what is asked here."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return all(any(contains(one, each) for one in whole) for each in part)
    return whole == part


PARTS = {
    "shop=1": {"shop": "1"},
    "shop=9": {"shop": "9"},
    '{"basket": {"lines": 3}}': {"basket": {"lines": 3}},
    '{"basket": {"tags": ["t0"]}, "shop": "2"}': {
        "basket": {"tags": ["t0"]},
        "shop": "2",
    },
    '{"basket": {"lines": "3"}}': {"basket": {"lines": "3"}},
}


def passes(entry, query):
    asked = {
        "wallet": lambda value: entry["wallet_uuid"] == value,
        "operation_type": lambda value: entry["operation_type"] == value,
        "from": lambda value: entry["created_at"] >= value,
        "to": lambda value: entry["created_at"] < value,
        "min_amount": lambda value: float(entry["amount"]) >= float(value),
        "max_amount": lambda value: float(entry["amount"]) <= float(value),
        "metadata": lambda value: contains(entry["metadata"], PARTS[value]),
        "reference_id": lambda value: entry["reference_id"] == value,
    }
    return all(asked[name](value) for name, value in query.items())


# Few rows looked at: metadata is common, and a walk meets it; many: it is rare.
@pytest.mark.parametrize("looked_at", [4, 20, 10_000])
def test_pages_hold_the_transactions_that_pass_in_order_once(
    client, history, monkeypatch, looked_at
):
    monkeypatch.setattr(walks, "MOST_LOOKED_AT", looked_at)
    chance = random.Random(looked_at)
    choices = {
        "wallet": sorted({one["wallet_uuid"] for one in history})[:3],
        "operation_type": ["DEPOSIT", "WITHDRAW", "TRANSFER_IN", "CAPTURE"],
        "from": [history[60]["created_at"], history[20]["created_at"]],
        "to": [history[0]["created_at"], history[10]["created_at"]],
        "min_amount": ["2", "4"],
        "max_amount": ["3", "100"],
        "metadata": list(PARTS),
        "reference_id": [history[5]["reference_id"], str(UUID(int=7))],
    }
    queries = [{}, *({name: value} for name in choices for value in choices[name])]
    for _ in range(30):
        some = chance.sample(list(choices), k=chance.randrange(2, 4))
        queries.append({name: chance.choice(choices[name]) for name in some})
    for query in queries:
        rows, _ = search(client, limit=chance.choice([1, 3, 100]), **query)
        assert rows == [one for one in history if passes(one, query)], query


def test_a_transfer_is_found_by_its_reference_with_both_legs(client, make_wallet):
    wallet, other = make_wallet(10), make_wallet()
    body = {"from_wallet": str(wallet), "to_wallet": str(other), "amount": 1}
    legs = client.post(f"{API}/transfers", json=body).get_json()
    found, _ = search(client, reference_id=legs["reference_id"])
    assert found == [legs["incoming"], legs["outgoing"]]


@pytest.mark.parametrize(
    "query",
    [
        "metadata=order",
        "metadata={",
        "metadata={}",
        'metadata={"a": {}}',
        'metadata={"a": [[], {}]}',
        'metadata={"a": "\\u0000"}',
        'metadata={"a": NaN}',
        'metadata={"a": 1, "a": 2}',
        "metadata=" + "[" * 5000,
        "metadata=a=%00",
        "operation_type=deposit",
        "reference_id=x",
        "wallet=x",
        "from=2026-01-01",
        "min_amount=0",
        "seq=1",
    ],
)
def test_a_search_that_cannot_be_is_refused(refused, query):
    refused(422, "validation_failed", "GET", f"{API}/transactions?{query}")


def test_a_search_in_an_unknown_wallet_is_refused(refused):
    path = f"{API}/transactions?wallet={UUID(int=1)}"
    refused(404, "wallet_not_found", "GET", path)


@pytest.mark.parametrize("place", [["x", 1], ["2026-01-01T00:00:00Z", -1], [1], 7])
def test_a_made_up_place_is_refused(refused, place):
    cursor = encode_cursor("transactions", place)
    path = f"{API}/transactions?cursor={cursor}"
    refused(422, "validation_failed", "GET", path)


@pytest.mark.parametrize("path", ["wallets?owner=ann", "transactions?metadata=a=1"])
def test_a_search_that_takes_too_long_asks_to_try_again(
    make_app, app, database_url, path
):
    impatient = make_app(statement_timeout_ms=200, lock_timeout_ms=5000)
    url = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as holder:
        holder.execute("LOCK TABLE wallet_details, transactions")
        answer = impatient.test_client().get(f"{API}/{path}")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "try_again")
    assert "Retry-After" in answer.headers
