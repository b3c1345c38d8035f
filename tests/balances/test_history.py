"""A wallet's transactions over HTTP: pages, orders, filters."""

import itertools
import uuid
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from ops import deposit, transfer, withdraw

from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


class History:
    """A wallet with transactions whose dates are known, and a reader of them."""

    def __init__(self, client):
        self.client = client
        self.wallet, _ = wallets.create(currency="USD", created_at=NOON)
        self.other, _ = wallets.create(currency="USD", created_at=NOON)
        minutes = (NOON + timedelta(minutes=number) for number in itertools.count())
        self.operations = [
            deposit(self.wallet, 100, occurred_at=next(minutes)),
            withdraw(self.wallet, "10.50", occurred_at=next(minutes)),
            transfer(self.wallet, self.other, 20, occurred_at=next(minutes)),
            transfer(self.other, self.wallet, 5, occurred_at=next(minutes)),
            deposit(self.wallet, "10.50", occurred_at=next(minutes)),
            withdraw(self.wallet, "0.01", occurred_at=next(minutes)),
            deposit(self.wallet, 7, occurred_at=next(minutes)),
        ]
        posting.post([Unit(self.operations)])

    def path(self, query=""):
        return f"/api/v1/wallets/{self.wallet}/transactions?{query}"

    def page(self, query=""):
        answer = self.client.get(self.path(query))
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def seqs(self, query=""):
        """The seqs of all pages, as their cursors lead from one to the next."""
        found = []
        cursor = ""
        while cursor is not None:
            page = self.page(f"{query}&{cursor}" if query else cursor)
            found += [row["seq"] for row in page["data"]]
            assert len(found) <= len(self.operations), "the pages go round in circles"
            assert page["has_more"] == (page["next_cursor"] is not None)
            cursor = page["next_cursor"] and f"cursor={page['next_cursor']}"
        return found


@pytest.fixture
def history(client, context):
    return History(client)


def test_transactions_come_newest_first(history):
    assert history.seqs() == [7, 6, 5, 4, 3, 2, 1]


def test_transactions_show_what_happened(history):
    newest = history.page()["data"]
    outgoing = newest[4]
    assert outgoing.pop("id") > 0
    assert outgoing == {
        "wallet_uuid": str(history.wallet),
        "seq": 3,
        "operation_type": "TRANSFER_OUT",
        "amount": "20.00",
        "balance_before": "89.50",
        "balance_after": "69.50",
        "held_after": "0.00",
        "parent_reference_id": None,
        "metadata": None,
        "currency": "USD",
        "description": None,
        "reference_id": str(history.operations[2].reference_id),
        "counterparty_uuid": str(history.other),
        "created_at": "2020-01-01T12:02:00.000000Z",
    }
    assert newest[3]["operation_type"] == "TRANSFER_IN"
    assert newest[3]["reference_id"] == str(history.operations[3].reference_id)


def test_each_balance_follows_from_the_one_before(history):
    rows = history.page("order=asc")["data"]
    for before, after in itertools.pairwise(rows):
        assert before["balance_after"] == after["balance_before"]
    for row in rows:
        moved = Decimal(row["balance_after"]) - Decimal(row["balance_before"])
        assert abs(moved) == Decimal(row["amount"])


def test_history_of_a_new_wallet_is_an_empty_page(client, make_wallet):
    page = client.get(f"/api/v1/wallets/{make_wallet()}/transactions").get_json()
    assert page == {"data": [], "has_more": False, "next_cursor": None}


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 100])
@pytest.mark.parametrize(
    ("order", "seqs"),
    [("asc", [1, 2, 3, 4, 5, 6, 7]), ("desc", [7, 6, 5, 4, 3, 2, 1])],
)
def test_pages_chain_without_gap_or_double_in_both_orders(history, order, seqs, limit):
    assert history.seqs(f"order={order}&limit={limit}") == seqs


def test_operation_meanwhile_does_not_shift_the_pages(history):
    first = history.page("limit=3")
    posting.post([Unit([deposit(history.wallet, 1)])])
    second = history.page(f"limit=3&cursor={first['next_cursor']}")
    assert [row["seq"] for row in first["data"] + second["data"]] == [7, 6, 5, 4, 3, 2]


def at(minute):
    return f"2020-01-01T12:{minute:02}:00Z"


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("operation_type=DEPOSIT", [7, 5, 1]),
        ("operation_type=WITHDRAW", [6, 2]),
        ("operation_type=TRANSFER_OUT", [3]),
        ("operation_type=TRANSFER_IN", [4]),
        ("min_amount=10.50", [5, 3, 2, 1]),
        ("min_amount=10.51", [3, 1]),
        ("max_amount=10.50", [7, 6, 5, 4, 2]),
        ("max_amount=10.49", [7, 6, 4]),
        ("min_amount=10.5&max_amount=10.500", [5, 2]),
        ("min_amount=100.01", []),
        ("max_amount=0.005", []),
        # A time range is half-open: from its start, up to and without its end.
        (f"from={at(3)}", [7, 6, 5, 4]),
        (f"to={at(3)}", [3, 2, 1]),
        (f"from={at(1)}&to={at(3)}", [3, 2]),
        (f"from={at(3)}&to={at(3)}", []),
        (f"from={at(4)}&to={at(3)}", []),
        ("from=2020-01-01T12:02:59.999999Z", [7, 6, 5, 4]),
        ("from=2020-01-01T12:03:00.000001Z", [7, 6, 5]),
        ("to=2020-01-01T12:03:00.000001Z", [4, 3, 2, 1]),
        ("from=2019-01-01T00:00:00Z", [7, 6, 5, 4, 3, 2, 1]),
        ("to=2019-01-01T00:00:00Z", []),
        ("from=2021-01-01T00:00:00Z", []),
        ("from=2020-01-01T14:03:00%2B02:00", [7, 6, 5, 4]),
        ("from=2020-01-01T14:03:00+02:00", [7, 6, 5, 4]),
        (f"operation_type=DEPOSIT&from={at(1)}", [7, 5]),
        (f"operation_type=DEPOSIT&from={at(1)}&to={at(6)}", [5]),
        (f"operation_type=WITHDRAW&max_amount=1&to={at(6)}", [6]),
        (f"min_amount=5&max_amount=20&from={at(2)}&to={at(5)}", [5, 4, 3]),
    ],
)
def test_filters_find_what_passes_all_of_them(history, query, seqs):
    assert history.seqs(query) == seqs
    assert history.seqs(f"{query}&limit=1") == seqs
    assert history.seqs(f"{query}&order=asc&limit=2") == seqs[::-1]


def test_transactions_at_the_same_moment_stay_together_at_a_boundary(client, context):
    wallet, _ = wallets.create(currency="USD", created_at=NOON)
    moments = [NOON, NOON, NOON, NOON + timedelta(microseconds=1)]
    posting.post([Unit([deposit(wallet, 1, occurred_at=one) for one in moments])])
    path = f"/api/v1/wallets/{wallet}/transactions"

    def seqs(query):
        rows = client.get(f"{path}?{query}").get_json()["data"]
        return [row["seq"] for row in rows]

    assert seqs("from=2020-01-01T12:00:00Z") == [4, 3, 2, 1]
    assert seqs("to=2020-01-01T12:00:00Z") == []
    assert seqs("to=2020-01-01T12:00:00.000001Z") == [3, 2, 1]
    assert seqs("from=2020-01-01T12:00:00.000001Z") == [4]


def test_filters_do_not_reach_into_another_wallets_history(history):
    rows = history.client.get(
        f"/api/v1/wallets/{history.other}/transactions?from={at(2)}&min_amount=5"
    ).get_json()["data"]
    assert [(row["seq"], row["operation_type"]) for row in rows] == [
        (2, "TRANSFER_OUT"),
        (1, "TRANSFER_IN"),
    ]


# What is refused


def cursor(text):
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        "é",
        "rubbish",
        "====",
        cursor("desc"),
        cursor("7"),
        cursor("{}"),
        cursor("[]"),
        cursor('["desc"]'),
        cursor('["desc", 7, 7]'),
        cursor('["desc", "7"]'),
        cursor('["desc", 7.0]'),
        cursor('["desc", null]'),
        cursor('["desc", true]'),
        cursor('["desc", -1]'),
        cursor(f'["desc", {2**63}]'),
        cursor('["desc", ' + "9" * 5000 + "]"),
        cursor('["asc", 7]'),
        cursor('["wallets", 7]'),
        cursor('[["desc"], 7]'),
        cursor("[" * 10_000),
        cursor('["desc", NaN]'),
    ],
    ids=lambda given: given[:24],
)
def test_cursor_that_no_page_gave_is_refused(refused, history, given):
    path = history.path(f"cursor={given}")
    problem = refused(422, "validation_failed", "GET", path)
    assert list(problem["errors"]) == ["cursor"]


def test_cursor_of_the_other_order_is_refused(refused, history):
    given = history.page("limit=2&order=asc")["next_cursor"]
    path = history.path(f"order=desc&cursor={given}")
    assert list(refused(422, "validation_failed", "GET", path)["errors"]) == ["cursor"]


def test_cursor_of_another_list_is_refused(refused, history):
    given = history.client.get("/api/v1/wallets?limit=1").get_json()["next_cursor"]
    path = history.path(f"cursor={given}")
    assert list(refused(422, "validation_failed", "GET", path)["errors"]) == ["cursor"]


@pytest.mark.parametrize("path", ["/api/v1/wallets", "history"])
@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "x", "", "1.5", "1e1", "9" * 30, "9" * 5000, "true"]
)
def test_limit_out_of_its_range_is_refused(refused, history, path, limit):
    path = history.path() if path == "history" else f"{path}?"
    problem = refused(422, "validation_failed", "GET", f"{path}limit={limit}")
    assert list(problem["errors"]) == ["limit"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("operation_type", "TRANSFER"),
        ("operation_type", "deposit"),
        ("operation_type", ""),
        ("order", "up"),
        ("order", ""),
        ("from", "yesterday"),
        ("from", "2020-01-01T00:00:00"),
        ("from", "2020-01-01"),
        ("from", "2020-02-30T00:00:00Z"),
        ("from", "0000-01-01T00:00:00Z"),
        ("from", "10000-01-01T00:00:00Z"),
        ("from", "0001-01-01T00:00:00%2B14:00"),
        ("from", "9999-12-31T23:59:59-12:00"),
        ("from", ""),
        ("to", "1577880000"),
        ("to", "%00"),
        ("since", "2020-01-01T00:00:00Z"),
        ("min_amount", "0"),
        ("min_amount", "-1"),
        ("min_amount", "1e3"),
        ("max_amount", "x"),
        ("max_amount", "NaN"),
        ("page", "2"),
        ("offset", "10"),
    ],
)
def test_filter_that_cannot_be_meant_is_refused_and_named(
    refused, history, name, value
):
    problem = refused(422, "validation_failed", "GET", history.path(f"{name}={value}"))
    assert list(problem["errors"]) == [name]


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_time_at_the_edge_of_the_calendar_is_understood(history, edge):
    assert history.seqs(f"from={edge}") == (
        [7, 6, 5, 4, 3, 2, 1] if edge.startswith("0001") else []
    )


def test_unknown_wallet_has_no_history(refused):
    path = f"/api/v1/wallets/{uuid.uuid4()}/transactions?limit=5"
    refused(404, "wallet_not_found", "GET", path)
