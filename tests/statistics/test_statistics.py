"""A wallet's statistics: exact, however much of them was counted beforehand."""

import random
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from ops import deposit, transfer, withdraw
from sqlalchemy import text

from wallet_app.database import reading
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit
from wallet_app.statistics import rollup

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
DIGITS = {"USD": 2, "JPY": 0, "KWD": 3}


@pytest.fixture
def statistics(client):
    """Read a wallet's statistics."""

    def read(wallet):
        answer = client.get(f"/api/v1/wallets/{wallet}/statistics")
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    return read


def post(*operations):
    """Post the operations; all of them must be taken."""
    for outcome in posting.post([Unit(operations)])[0]:
        assert isinstance(outcome, posting.Receipt), outcome


def aggregate(wallet, currency="USD"):
    """The figures, counted afresh from the history, row by row."""
    with reading() as session:
        rows = session.execute(
            text(
                "SELECT operation_type, amount, balance_after - balance_before, seq,"
                " transactions.created_at FROM transactions"
                " JOIN wallets ON wallets.id = wallet_id WHERE uuid = :uuid"
            ),
            {"uuid": wallet},
        ).all()
    digit = Decimal(1).scaleb(-DIGITS[currency])
    by_type = defaultdict(list)
    for row in rows:
        by_type[row[0]].append(row)

    def text_of(amount):
        return str(amount.quantize(digit, rounding=ROUND_HALF_EVEN))

    def moment(value):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")

    return {
        "uuid": str(wallet),
        "currency": currency,
        "count": len(rows),
        "as_of_seq": max((row.seq for row in rows), default=0),
        "net_flow": text_of(sum((row[2] for row in rows), Decimal(0))),
        "first_operation_at": moment(min(row[4] for row in rows)) if rows else None,
        "last_operation_at": moment(max(row[4] for row in rows)) if rows else None,
        "operations": [
            {
                "operation_type": kind,
                "count": len(members),
                "total": text_of(sum(row.amount for row in members)),
                "average": text_of(sum(row.amount for row in members) / len(members)),
                "smallest": text_of(min(row.amount for row in members)),
                "largest": text_of(max(row.amount for row in members)),
                "net_flow": text_of(sum(row[2] for row in members)),
                "first_at": moment(min(row[4] for row in members)),
                "last_at": moment(max(row[4] for row in members)),
            }
            for kind, members in sorted(by_type.items())
        ],
    }


def without_progress(body):
    return {name: value for name, value in body.items() if name != "rolled_up_to_seq"}


@pytest.fixture
def lively(context):
    """A wallet and a function that makes it do one of everything."""
    wallet, _ = wallets.create(currency="USD", created_at=NOON)
    other, _ = wallets.create(currency="USD", created_at=NOON)
    clock = iter(NOON + timedelta(minutes=number) for number in range(1000))
    chance = random.Random(7)

    def live():
        amounts = [Decimal(chance.randrange(1, 10_000)) / 100 for _ in range(4)]
        post(
            deposit(wallet, 1000 + amounts[0], occurred_at=next(clock)),
            withdraw(wallet, amounts[1], occurred_at=next(clock)),
            transfer(wallet, other, 100 + amounts[2], occurred_at=next(clock)),
            transfer(other, wallet, amounts[3], occurred_at=next(clock)),
        )

    return wallet, live


def test_statistics_say_what_happened(statistics, context):
    wallet, _ = wallets.create(currency="USD", created_at=NOON)
    minutes = [NOON + timedelta(minutes=number) for number in range(3)]
    post(
        deposit(wallet, "10.00", occurred_at=minutes[0]),
        deposit(wallet, "5.55", occurred_at=minutes[1]),
        withdraw(wallet, "3.50", occurred_at=minutes[2]),
    )
    assert statistics(wallet) == {
        "uuid": str(wallet),
        "currency": "USD",
        "count": 3,
        "net_flow": "12.05",
        "first_operation_at": "2020-01-01T12:00:00.000000Z",
        "last_operation_at": "2020-01-01T12:02:00.000000Z",
        "operations": [
            {
                "operation_type": "DEPOSIT",
                "count": 2,
                "total": "15.55",
                "average": "7.78",
                "smallest": "5.55",
                "largest": "10.00",
                "net_flow": "15.55",
                "first_at": "2020-01-01T12:00:00.000000Z",
                "last_at": "2020-01-01T12:01:00.000000Z",
            },
            {
                "operation_type": "WITHDRAW",
                "count": 1,
                "total": "3.50",
                "average": "3.50",
                "smallest": "3.50",
                "largest": "3.50",
                "net_flow": "-3.50",
                "first_at": "2020-01-01T12:02:00.000000Z",
                "last_at": "2020-01-01T12:02:00.000000Z",
            },
        ],
        "as_of_seq": 3,
        "rolled_up_to_seq": 0,
    }


def test_statistics_are_exact_before_any_rollup(statistics, lively):
    wallet, live = lively
    live()
    body = statistics(wallet)
    assert body["rolled_up_to_seq"] == 0
    assert without_progress(body) == aggregate(wallet)


def test_statistics_are_exact_when_all_was_counted_beforehand(statistics, lively):
    wallet, live = lively
    live()
    before = statistics(wallet)
    rollup.roll_up()
    after = statistics(wallet)
    assert (before["rolled_up_to_seq"], after["rolled_up_to_seq"]) == (0, 4)
    assert without_progress(after) == without_progress(before) == aggregate(wallet)


def test_statistics_are_exact_when_a_part_was_counted_beforehand(statistics, lively):
    wallet, live = lively
    live()
    rollup.roll_up()
    live()
    body = statistics(wallet)
    assert (body["rolled_up_to_seq"], body["as_of_seq"]) == (4, 8)
    assert without_progress(body) == aggregate(wallet)


def test_statistics_stay_exact_over_many_rollups(statistics, lively):
    wallet, live = lively
    for _ in range(5):
        live()
        rollup.roll_up()
        rollup.roll_up()
        assert without_progress(statistics(wallet)) == aggregate(wallet)


def test_operation_type_that_is_new_since_the_rollup_is_counted(statistics, context):
    wallet, _ = wallets.create(currency="USD")
    post(deposit(wallet, 10))
    rollup.roll_up()
    post(withdraw(wallet, 4))
    body = statistics(wallet)
    assert [one["operation_type"] for one in body["operations"]] == [
        "DEPOSIT",
        "WITHDRAW",
    ]
    assert without_progress(body) == aggregate(wallet)


def test_operation_is_in_the_statistics_as_soon_as_it_is_answered(
    client, statistics, make_wallet
):
    wallet = make_wallet()
    for count in range(1, 4):
        client.post(
            f"/api/v1/wallets/{wallet}/operation",
            json={"operation_type": "DEPOSIT", "amount": "0.01"},
        )
        assert (statistics(wallet)["count"], statistics(wallet)["as_of_seq"]) == (
            count,
            count,
        )


def test_what_goes_out_flows_negatively(statistics, context):
    """A type's net flow is negative for what goes out; the wallet's cannot be."""
    wallet, _ = wallets.create(currency="USD")
    other, _ = wallets.create(currency="USD")
    post(deposit(wallet, 10), transfer(wallet, other, "9.99"))
    flows = {
        one["operation_type"]: one["net_flow"]
        for one in (statistics(wallet)["operations"])
    }
    assert flows == {"DEPOSIT": "10.00", "TRANSFER_OUT": "-9.99"}
    assert statistics(wallet)["net_flow"] == "0.01"
    assert statistics(other)["net_flow"] == "9.99"


@pytest.mark.parametrize("counted", [True, False])
def test_statistics_of_a_new_wallet_are_empty(statistics, context, counted):
    wallet, _ = wallets.create(currency="USD")
    if counted:
        rollup.roll_up()
    assert statistics(wallet) == {
        "uuid": str(wallet),
        "currency": "USD",
        "count": 0,
        "net_flow": "0.00",
        "first_operation_at": None,
        "last_operation_at": None,
        "operations": [],
        "as_of_seq": 0,
        "rolled_up_to_seq": 0,
    }


@pytest.mark.parametrize(
    ("currency", "amounts", "average"),
    [
        ("USD", ["0.01", "0.02"], "0.02"),  # 0.015
        ("USD", ["0.02", "0.03"], "0.02"),  # 0.025
        ("USD", ["0.01", "0.01", "0.02"], "0.01"),
        ("USD", ["0.01", "0.02", "0.02"], "0.02"),
        ("USD", ["999999999999999.99", "0.02"], "500000000000000.00"),  # .005
        ("JPY", ["1", "2"], "2"),  # 1.5
        ("JPY", ["2", "3"], "2"),  # 2.5
        ("KWD", ["0.001", "0.002"], "0.002"),
        ("KWD", ["0.002", "0.003"], "0.002"),
    ],
)
@pytest.mark.parametrize("counted", [0, 1, 2])
def test_average_is_rounded_half_to_even_in_its_currency(
    statistics, context, currency, amounts, average, counted
):
    wallet, _ = wallets.create(currency=currency)
    for place, amount in enumerate(amounts, start=1):
        post(deposit(wallet, amount))
        if place <= counted:
            rollup.roll_up()
    body = statistics(wallet)
    assert body["operations"][0]["average"] == average
    assert without_progress(body) == aggregate(wallet, currency)


def test_large_totals_are_exact(statistics, context):
    wallet, _ = wallets.create(currency="USD")
    for _ in range(20):
        post(deposit(wallet, "999999999999999999.99"))
        post(withdraw(wallet, "999999999999999999.99"))
        rollup.roll_up()
    totals = {
        one["operation_type"]: one["total"]
        for one in (statistics(wallet)["operations"])
    }
    assert totals == dict.fromkeys(["DEPOSIT", "WITHDRAW"], "19999999999999999999.80")


def test_another_wallets_operations_are_not_counted(statistics, context):
    wallet, _ = wallets.create(currency="USD")
    others = [wallets.create(currency="USD")[0] for _ in range(3)]
    post(*(deposit(one, 5) for one in (wallet, *others)))
    rollup.roll_up()
    post(*(deposit(one, 5) for one in (wallet, *others)))
    assert statistics(wallet)["count"] == 2
    assert without_progress(statistics(wallet)) == aggregate(wallet)


def test_unknown_wallet_has_no_statistics(refused):
    path = f"/api/v1/wallets/{uuid.uuid4()}/statistics"
    refused(404, "wallet_not_found", "GET", path)
