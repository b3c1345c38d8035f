"""Creating, listing and reading wallets over HTTP."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from ops import deposit, withdraw

from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit

WALLETS = "/api/v1/wallets"


@pytest.fixture
def create(client):
    def post(**fields):
        return client.post(WALLETS, json=fields)

    return post


def test_new_wallet_is_empty_active_and_in_dollars(client, create):
    answer = create()
    body = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{WALLETS}/{body['uuid']}"
    assert "Idempotent-Replayed" not in answer.headers
    assert client.get(answer.headers["Location"]).get_json() == body
    assert uuid.UUID(body.pop("uuid")).version == 7
    created_at = datetime.fromisoformat(body.pop("created_at"))
    assert abs(datetime.now(UTC) - created_at) < timedelta(minutes=1)
    assert datetime.fromisoformat(body.pop("updated_at")) == created_at
    assert body == {
        "balance": "0.00",
        "currency": "USD",
        "status": "active",
        "held": "0.00",
        "available": "0.00",
        "block": None,
        "owner": None,
        "name": None,
        "labels": [],
        "metadata": None,
        "version": 0,
    }


@pytest.mark.parametrize(
    ("currency", "balance"),
    [("EUR", "0.00"), ("JPY", "0"), ("KWD", "0.000"), ("CLF", "0.0000")],
)
def test_new_wallet_shows_its_balance_in_its_currency(create, currency, balance):
    body = create(currency=currency).get_json()
    assert (body["currency"], body["balance"]) == (currency, balance)


def test_wallet_with_the_clients_uuid_may_be_created_again(create):
    chosen = str(uuid.uuid4())
    first, again = create(uuid=chosen), create(uuid=chosen.upper(), currency="USD")
    assert [first.status_code, again.status_code] == [201, 201]
    assert first.get_json()["uuid"] == chosen
    assert first.get_json() == again.get_json()
    assert first.headers["Location"] == again.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_retry_of_a_creation_does_not_empty_the_wallet(create, context):
    chosen = uuid.uuid4()
    create(uuid=str(chosen))
    posting.post([Unit([deposit(chosen, 5)])])
    assert create(uuid=str(chosen)).get_json()["balance"] == "5.00"


def test_uuid_of_a_wallet_in_another_currency_is_refused(create, refused):
    chosen = str(uuid.uuid4())
    create(uuid=chosen)
    body = {"uuid": chosen, "currency": "JPY"}
    problem = refused(409, "wallet_exists", "POST", WALLETS, json=body)
    assert "USD" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"currency": "usd"},
        {"currency": "US"},
        {"currency": "XXX"},
        {"currency": "XAU"},
        {"currency": ""},
        {"currency": None},
        {"currency": 840},
        {"currency": "\x00"},
        {"currency": ["USD"]},
        {"uuid": "1"},
        {"uuid": None},
        {"uuid": 1},
        {"balance": "5.00"},
        {"status": "active"},
    ],
    ids=str,
)
def test_wallet_that_cannot_be_is_refused_and_its_field_named(refused, body):
    problem = refused(422, "validation_failed", "POST", WALLETS, json=body)
    assert list(problem["errors"]) == list(body)


def test_balance_is_read_on_its_own(client, make_wallet):
    wallet = make_wallet("12.34")
    client.post(f"{WALLETS}/{wallet}/holds", json={"amount": "2.30"})
    assert client.get(f"{WALLETS}/{wallet}/balance").get_json() == {
        "uuid": str(wallet),
        "balance": "12.34",
        "held": "2.30",
        "available": "10.04",
        "currency": "USD",
    }


def test_balance_at_a_time_tells_what_was_held_then(client, make_wallet):
    wallet = make_wallet("12.34")
    path = f"{WALLETS}/{wallet}"
    hold = client.post(f"{path}/holds", json={"amount": "2.30"}).get_json()
    client.post(f"/api/v1/holds/{hold['hold']['id']}/capture", json={})
    entries = client.get(f"{path}/transactions?order=asc").get_json()["data"]
    told = [
        client.get(f"{path}/balance", query_string={"at": one["created_at"]}).get_json()
        for one in entries
    ]
    assert [(one["balance"], one["held"]) for one in told] == [
        ("12.34", "0.00"),
        ("12.34", "2.30"),
        ("10.04", "0.00"),
    ]
    assert {one["available"] for one in told} == {None}


def test_uuid_in_a_path_may_be_written_in_capitals(client, make_wallet):
    wallet = make_wallet()
    answer = client.get(f"{WALLETS}/{str(wallet).upper()}")
    assert answer.get_json()["uuid"] == str(wallet)


def test_wallet_shows_what_has_happened_to_it(client, make_wallet, context):
    wallet = make_wallet(10)
    before = client.get(f"{WALLETS}/{wallet}").get_json()
    ((receipt,),) = posting.post([Unit([withdraw(wallet, 4)])])
    after = client.get(f"{WALLETS}/{wallet}").get_json()
    assert (before["version"], before["balance"]) == (1, "10.00")
    assert (after["version"], after["balance"]) == (2, "6.00")
    assert after["created_at"] == before["created_at"]
    updated_at = datetime.fromisoformat(after["updated_at"])
    assert updated_at == receipt.entries[0].created_at


@pytest.fixture
def old_wallet(context):
    """A wallet that got 1.00 at each full hour from 2020-01-01T01:00Z to 05:00Z."""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    wallet, _ = wallets.create(currency="USD", created_at=start)
    hours = [start + timedelta(hours=hour) for hour in range(1, 6)]
    posting.post([Unit([deposit(wallet, 1, occurred_at=hour) for hour in hours])])
    return wallet


@pytest.mark.parametrize(
    ("at", "balance"),
    [
        ("2020-01-01T00:30:00Z", "0.00"),
        ("2020-01-01T00:59:59.999999Z", "0.00"),
        ("2020-01-01T01:00:00Z", "1.00"),
        ("2020-01-01T02:59:59Z", "2.00"),
        ("2020-01-01T05:30:00%2B02:30", "3.00"),
        ("2020-01-01T05:30:00+02:30", "3.00"),
        ("2021-01-01T00:00:00Z", "5.00"),
    ],
)
def test_balance_at_a_time_includes_what_happened_then(client, old_wallet, at, balance):
    answer = client.get(f"{WALLETS}/{old_wallet}/balance?at={at}")
    assert answer.get_json()["balance"] == balance


@pytest.mark.parametrize(
    "at",
    [
        "",
        "now",
        "1577836800",
        "2020-01-01T01:00:00",
        "2020-13-01T00:00:00Z",
        "2999-01-01T00:00:00Z",
    ],
)
def test_balance_at_no_past_time_is_refused(refused, old_wallet, at):
    path = f"{WALLETS}/{old_wallet}/balance?at={at}"
    problem = refused(422, "validation_failed", "GET", path)
    assert list(problem["errors"]) == ["at"]


# ETag


def test_wallet_that_has_not_changed_is_not_sent_again(client, make_wallet, context):
    wallet = make_wallet(10)
    path = f"{WALLETS}/{wallet}"
    tag = client.get(path).headers["ETag"]
    assert tag == '"1"'
    for known in (tag, f"W/{tag}", f'"0", {tag}', "*"):
        answer = client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.data) == (304, b"")
        assert answer.headers["ETag"] == tag
    posting.post([Unit([deposit(wallet, 1)])])
    answer = client.get(path, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')


@pytest.mark.parametrize("known", ['"0"', '"2"', "", "rubbish", '"1'])
def test_wallet_with_another_etag_is_sent(client, make_wallet, known):
    path = f"{WALLETS}/{make_wallet(10)}"
    answer = client.get(path, headers={"If-None-Match": known})
    assert answer.status_code == 200
    assert answer.get_json()["balance"] == "10.00"


def test_head_answers_as_get_does_without_the_body(client, make_wallet):
    path = f"{WALLETS}/{make_wallet(10)}"
    answer = client.head(path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["ETag"] == client.get(path).headers["ETag"]


# Pages


def pages(client, path, limit):
    """Every page of a list, followed by its cursors; as lists of rows."""
    found = []
    cursor = ""
    while True:
        answer = client.get(f"{path}?limit={limit}{cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.get_json()
        found.append(page["data"])
        assert len(found) < 20, "the pages go round in circles"
        assert page["has_more"] == (page["next_cursor"] is not None)
        assert len(page["data"]) == limit or not page["has_more"]
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_no_wallets_are_an_empty_page(client):
    assert client.get(WALLETS).get_json() == {
        "data": [],
        "has_more": False,
        "next_cursor": None,
    }


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (8, [7]), (100, [7])]
)
def test_pages_of_wallets_chain_without_gap_or_double(
    client, make_wallet, limit, sizes
):
    made = [str(make_wallet()) for _ in range(7)]
    found = pages(client, WALLETS, limit)
    assert [len(page) for page in found] == sizes
    assert [row["uuid"] for page in found for row in page] == made[::-1]


def test_page_has_fifty_wallets_if_nobody_says_how_many(client, context):
    for _ in range(51):
        wallets.create(currency="USD")
    page = client.get(WALLETS).get_json()
    assert (len(page["data"]), page["has_more"]) == (50, True)


def test_wallet_made_meanwhile_does_not_shift_the_pages(client, make_wallet):
    made = [str(make_wallet()) for _ in range(4)]
    first = client.get(f"{WALLETS}?limit=2").get_json()
    make_wallet()
    second = client.get(f"{WALLETS}?limit=2&cursor={first['next_cursor']}").get_json()
    rows = first["data"] + second["data"]
    assert [row["uuid"] for row in rows] == made[::-1]


def test_listed_wallet_is_what_reading_it_shows(client, make_wallet):
    wallet = make_wallet("1.5", "KWD")
    (row,) = client.get(WALLETS).get_json()["data"]
    assert row == client.get(f"{WALLETS}/{wallet}").get_json()
