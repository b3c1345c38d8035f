"""Wallets are found by what was said of them, page by page, whatever the filters."""

import json
import random
from uuid import UUID

import pytest
from sqlalchemy import text

from wallet_app.database import transaction
from wallet_app.finding import walks
from wallet_app.http.pages import encode_cursor

API = "/api/v1"


@pytest.fixture
def create(client):
    """Create a wallet as the body says; return what it is answered with."""

    def make(**body):
        answer = client.post(f"{API}/wallets", json=body)
        assert answer.status_code == 201, answer.text
        return answer.get_json()

    return make


def patch(client, wallet, body, **headers):
    return client.patch(f"{API}/wallets/{wallet}", json=body, headers=headers)


def pages(client, path, **query):
    """All rows of a list, and how many pages they were on."""
    rows, cursor = [], {}
    for count in range(1, 500):
        page = client.get(path, query_string=query | cursor).get_json()
        rows += page["data"]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return rows, count
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("the pages do not end")


def names(rows):
    return [row["name"] for row in rows]


def test_a_wallet_shows_what_was_said_of_it(client, create):
    given = {
        "owner": "customer 4711",
        "name": "Savings ☂",
        "labels": ["vip", "eu"],
        "metadata": {"segment": {"tier": 3, "tags": ["a", None, True, -5]}},
    }
    wallet = create(**given)
    assert {name: wallet[name] for name in given} == given
    assert client.get(f"{API}/wallets/{wallet['uuid']}").get_json() == wallet
    assert client.get(f"{API}/wallets").get_json()["data"] == [wallet]


def test_a_wallet_of_which_nothing_was_said_has_no_details(create):
    wallet = create()
    nothing = {"owner": None, "name": None, "labels": [], "metadata": None}
    assert {name: wallet[name] for name in nothing} == nothing


def test_patch_changes_what_it_names_and_null_takes_away(client, create):
    wallet = create(owner="ann", name="One", labels=["a", "b"], metadata={"k": 1})
    answer = patch(client, wallet["uuid"], {"name": "Two", "labels": ["b", "c"]})
    assert answer.status_code == 200
    expected = wallet | {"name": "Two", "labels": ["b", "c"]}
    assert answer.get_json() == expected
    for label, found in (("a", []), ("b", ["Two"]), ("c", ["Two"])):
        assert names(pages(client, f"{API}/wallets", label=label)[0]) == found
    gone = {"owner": None, "name": None, "labels": [], "metadata": None}
    assert patch(client, wallet["uuid"], gone).get_json() == expected | gone
    assert pages(client, f"{API}/wallets", label="b") == ([], 1)
    assert pages(client, f"{API}/wallets", owner="ann") == ([], 1)


def test_patch_raises_the_revision_and_touches_no_money(client, create, app):
    wallet = create(owner="ann")
    row = text("SELECT revision, version, balance FROM wallets")
    with app.app_context(), transaction() as connection:
        before = connection.execute(row).one()
    patch(client, wallet["uuid"], {"owner": "bob"})
    patch(client, wallet["uuid"], {})
    with app.app_context(), transaction() as connection:
        after = connection.execute(row).one()
    assert after == (before.revision + 1, before.version, before.balance)


def test_patch_with_the_tag_of_an_older_read_changes_nothing(client, create, refused):
    wallet = create(owner="ann")["uuid"]
    path = f"{API}/wallets/{wallet}"
    tag = client.get(path).headers["ETag"]
    client.post(f"{path}/operation", json={"operation_type": "DEPOSIT", "amount": 1})
    refused(
        *(412, "precondition_failed", "PATCH", path),
        json={"owner": "bob"},
        headers={"If-Match": tag},
    )
    assert client.get(path).get_json()["owner"] == "ann"
    for number, form in enumerate(("{}", "W/{}", "*", '"x", {}')):
        good = form.format(client.get(path).headers["ETag"])
        answer = patch(client, wallet, {"owner": f"o{number}"}, **{"If-Match": good})
        assert (answer.status_code, answer.get_json()["owner"]) == (200, f"o{number}")
        assert answer.headers["ETag"] == client.get(path).headers["ETag"]


def test_of_two_patches_with_one_tag_the_second_is_refused(client, create, refused):
    wallet = create(owner="ann")["uuid"]
    path = f"{API}/wallets/{wallet}"
    tag = client.get(path).headers["ETag"]
    headers = {"If-Match": tag}
    assert client.patch(path, json={"name": "a"}, headers=headers).status_code == 200
    refused(
        *(412, "precondition_failed", "PATCH", path),
        json={"name": "b"},
        headers=headers,
    )
    assert client.get(path, headers={"If-None-Match": tag}).get_json()["name"] == "a"


def test_money_moves_by_a_tag_with_a_revision_or_without(client, create, refused):
    wallet = create(owner="ann")["uuid"]
    path = f"{API}/wallets/{wallet}"
    patch(client, wallet, {"name": "a"})
    body = {"operation_type": "DEPOSIT", "amount": 1}
    for tag, status in (('"0-2"', 412), ('"1-1"', 412), ('"0-1"', 200), ('"1"', 200)):
        answer = client.post(f"{path}/operation", json=body, headers={"If-Match": tag})
        assert answer.status_code == status, tag


def test_patch_of_an_unknown_wallet_is_refused(refused):
    path = f"{API}/wallets/{UUID(int=1)}"
    refused(404, "wallet_not_found", "PATCH", path, json={"owner": "ann"})


TOO_DEEP = {"a": {"a": {"a": {"a": {"a": {}}}}}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner", ""),
        ("owner", "x" * 201),
        ("owner", "a\0b"),
        ("owner", 7),
        ("name", "\ud800"),
        ("labels", None),
        ("labels", "vip"),
        ("labels", ["a", "a"]),
        ("labels", [""]),
        ("labels", ["x" * 65]),
        ("labels", [f"{n}" for n in range(21)]),
        ("labels", [None]),
        ("metadata", []),
        ("metadata", "text"),
        ("metadata", {"a": "x" * 16_400}),
        ("metadata", {"a": "☂" * 5_500}),
        ("metadata", {"a": ["b", {"c": "nul \0"}]}),
        ("metadata", {"nul \0": 1}),
        ("metadata", {"a": [{"\udc00": 1}]}),
        ("metadata", {"a": 2**63}),
        ("metadata", {"a": -(2**64)}),
        ("metadata", {"a": 1e300}),
        ("metadata", TOO_DEEP),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_out_of_bounds_is_refused(
    client, create, refused, method, field, value
):
    path = f"{API}/wallets"
    if method == "PATCH":
        path += f"/{create()['uuid']}"
    # Written by the standard library: orjson refuses lone surrogates.
    body = {"data": json.dumps({field: value}), "content_type": "application/json"}
    problem = refused(422, "validation_failed", method, path, **body)
    assert list(problem["errors"]) == [field]


@pytest.mark.parametrize("value", ["1e400", "-1e400", "9223372036854775808.0"])
def test_numbers_that_no_reader_holds_are_refused(refused, value):
    body = f'{{"metadata": {{"n": {value}}}}}'
    refused(
        *(422, "validation_failed", "POST", f"{API}/wallets"),
        data=body,
        content_type="application/json",
    )


def test_what_is_just_within_bounds_is_kept(client, create):
    given = {
        "owner": "☂" * 200,
        "name": "'" * 200,
        "labels": [f"{n:064}" for n in range(20)],
        "metadata": {"a": "☂" * 5_400, "deep": {"a": {"a": {"a": [1]}}}},
    }
    wallet = create(**given)
    assert {name: wallet[name] for name in given} == given


def test_a_retry_of_a_creation_leaves_the_details_as_they_are(client):
    body = {"uuid": str(UUID(int=5)), "owner": "ann", "labels": ["a"]}
    first = client.post(f"{API}/wallets", json=body)
    patch(client, body["uuid"], {"owner": "bob"})
    again = client.post(f"{API}/wallets", json=body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json() == first.get_json() | {"owner": "bob"}


OWNERS, LABELS, CURRENCIES = ("ann", "bob"), ("vip", "eu", "new"), ("USD", "JPY", "KWD")
STATUSES = ("active", "frozen", "closed")
SET_STATUS = text("UPDATE wallets SET status = :status WHERE uuid = :uuid")


@pytest.fixture
def many(app, client, create):
    """Forty wallets of all kinds, in the order of their creation."""
    chance = random.Random(5)
    made = []
    for number in range(40):
        body = {"currency": chance.choice(CURRENCIES)}
        if chance.random() < 0.7:
            body["owner"] = chance.choice(OWNERS)
        if chance.random() < 0.7:
            body["name"] = f"wallet {chance.randrange(20)}"
        body["labels"] = chance.sample(LABELS, k=chance.randrange(4))
        wallet = create(**body)
        if number % 2:
            deposit = {"operation_type": "DEPOSIT", "amount": chance.randrange(1, 9)}
            client.post(f"{API}/wallets/{wallet['uuid']}/operation", json=deposit)
        status = chance.choice(STATUSES if not number % 2 else STATUSES[:2])
        with app.app_context(), transaction() as connection:
            connection.execute(SET_STATUS, {"status": status, "uuid": wallet["uuid"]})
        made.append(client.get(f"{API}/wallets/{wallet['uuid']}").get_json())
    return made


def passes(wallet, query):
    """Whether a wallet passes a query, said a second time."""
    asked = {
        "owner": lambda value: wallet["owner"] == value,
        "label": lambda value: value in wallet["labels"],
        "currency": lambda value: wallet["currency"] == value,
        "status": lambda value: wallet["status"] == value,
        "min_balance": lambda value: float(wallet["balance"]) >= float(value),
        "max_balance": lambda value: float(wallet["balance"]) <= float(value),
        "from": lambda value: wallet["created_at"] >= value,
        "to": lambda value: wallet["created_at"] < value,
    }
    return all(asked[name](value) for name, value in query.items())


def expected_of(many, query, sort):
    found = [wallet for wallet in many if passes(wallet, query)]
    if sort == "name":
        found = [wallet for wallet in found if wallet["name"]]
        return sorted(found, key=lambda one: (one["name"], one["uuid"]))
    by_place = sorted(found, key=lambda one: (one["created_at"], one["uuid"]))
    return by_place if sort == "created_at" else by_place[::-1]


@pytest.mark.parametrize("looked_at", [3, 7, 10_000])
def test_pages_hold_what_passes_in_order_once(client, many, monkeypatch, looked_at):
    monkeypatch.setattr(walks, "MOST_LOOKED_AT", looked_at)
    chance = random.Random(looked_at)
    choices = {
        "owner": [*OWNERS, "nobody"],
        "label": [*LABELS, "none"],
        "currency": [*CURRENCIES, "EUR"],
        "status": STATUSES,
        "min_balance": ["0", "3", "-5.5"],
        "max_balance": ["0", "4", "-1"],
        "from": [many[10]["created_at"], many[30]["created_at"]],
        "to": [many[20]["created_at"], many[35]["created_at"]],
    }
    queries = [{}, *({name: value} for name in choices for value in choices[name])]
    for _ in range(25):
        some = chance.sample(list(choices), k=chance.randrange(2, 4))
        queries.append({name: chance.choice(choices[name]) for name in some})
    for query in queries:
        sort = chance.choice(["created_at", "-created_at", "name"])
        limit = chance.choice([1, 4, 100])
        rows, _ = pages(client, f"{API}/wallets", limit=limit, sort=sort, **query)
        assert rows == expected_of(many, query, sort), (query, sort)


def test_a_page_may_be_short_and_its_cursor_goes_on(client, many, monkeypatch):
    monkeypatch.setattr(walks, "MOST_LOOKED_AT", 7)
    page = client.get(f"{API}/wallets?min_balance=1000").get_json()
    assert (page["data"], page["has_more"]) == ([], True)
    rows, count = pages(client, f"{API}/wallets", min_balance="1000")
    assert (rows, count) == ([], 6)


@pytest.mark.parametrize(
    "query",
    [
        "sort=balance",
        "status=gone",
        "min_balance=1e2",
        "min_balance=--1",
        "max_balance=abc",
        "owner=",
        "owner=%00",
        "label=" + "x" * 65,
        "currency=usd",
        "currency=USD%0A",
        "from=yesterday",
        "version=1",
    ],
)
def test_a_query_that_cannot_be_is_refused(refused, query):
    refused(422, "validation_failed", "GET", f"{API}/wallets?{query}")


@pytest.mark.parametrize(
    ("sort", "name", "place"),
    [
        ("name", "wallets", ["2026-01-01T00:00:00Z", str(UUID(int=1))]),
        ("name", "wallets by name", ["a\0", str(UUID(int=1))]),
        ("name", "wallets by name", [7, str(UUID(int=1))]),
        ("created_at", "wallets by created_at", ["x", str(UUID(int=1))]),
        ("-created_at", "wallets", ["2026-01-01T00:00:00Z", 7]),
        ("-created_at", "wallets", ["2026-01-01T00:00:00Z"]),
    ],
)
def test_a_cursor_of_another_list_is_refused(refused, sort, name, place):
    cursor = encode_cursor(name, place)
    path = f"{API}/wallets?sort={sort}&cursor={cursor}"
    refused(422, "validation_failed", "GET", path)
