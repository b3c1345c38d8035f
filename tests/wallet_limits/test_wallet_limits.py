"""A wallet's limits: what they let through, how they are set, whom they stop."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from ops import deposit, operation, withdraw
from sqlalchemy import text

from wallet_app.database import db
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.limit_rules import Period
from wallet_app.ledger.posting import Receipt, Unit

API = "/api/v1"


@pytest.fixture
def path(client):
    made = client.post(f"{API}/wallets", json={}).get_json()
    return f"{API}/wallets/{made['uuid']}"


@pytest.fixture
def move(client, path):
    def post(kind, amount=1, **fields):
        body = {"operation_type": kind, "amount": amount} | fields
        return client.post(f"{path}/operation", json=body)

    return post


@pytest.fixture
def limit(client, path):
    def put(status=200, headers=None, **limits):
        answer = client.put(f"{path}/limits", json=limits, headers=headers)
        assert answer.status_code == status, answer.get_json()
        return answer

    return put


def told(answer, *names):
    assert answer.status_code == 409
    problem = answer.get_json()
    assert problem["code"] == "limit_exceeded"
    return [problem[name] for name in ("limit", "value", "left", *names)]


def test_wallet_without_limits_shows_none(client, path):
    shown = client.get(f"{path}/limits").get_json()
    assert (shown["minimum_balance"], shown["maximum_balance"]) == ("0.00", None)
    assert shown["velocity"] == {"hour": None, "day": None, "month": None}


def test_overdraft_goes_as_far_as_it_is_let_but_holds_do_not_draw_on_it(
    client, move, limit, path
):
    limit(minimum_balance="-100")
    move("DEPOSIT", 10)
    problem = client.post(f"{path}/holds", json={"amount": 11}).get_json()
    assert (problem["code"], problem["available"]) == ("insufficient_funds", "10.00")
    assert move("WITHDRAW", 110).get_json()["balance_after"] == "-100.00"
    assert move("WITHDRAW").get_json()["short_by"] == "1.00"
    # What is owed is owed: the minimum cannot rise above it.
    problem = limit(409, minimum_balance="-99").get_json()
    assert (problem["code"], problem["has"]) == ("wallet_overdrawn", "-100.00")
    move("DEPOSIT", 100)
    assert limit().get_json()["minimum_balance"] == "0.00"
    assert move("WITHDRAW").status_code == 409


def test_minimum_stays_in_the_wallet(client, move, limit, path):
    move("DEPOSIT", 10)
    limit(minimum_balance=4)
    assert client.get(path).get_json()["available"] == "6.00"
    assert move("WITHDRAW", 7).get_json()["available"] == "6.00"
    assert client.post(f"{path}/holds", json={"amount": 7}).status_code == 409
    assert move("WITHDRAW", 6).status_code == 200


def test_maximum_balance_tells_what_is_left(client, move, limit, path):
    limit(maximum_balance="100.00")
    move("DEPOSIT", "99.50")
    assert told(move("DEPOSIT")) == ["maximum_balance", "100.00", "0.50"]
    other = client.post(f"{API}/wallets", json={}).get_json()["uuid"]
    operation = {"operation_type": "DEPOSIT", "amount": 1}
    client.post(f"{API}/wallets/{other}/operation", json=operation)
    mine = path.rpartition("/")[2]
    transfer = {"from_wallet": other, "to_wallet": mine, "amount": 1}
    assert told(client.post(f"{API}/transfers", json=transfer))[2] == "0.50"
    assert move("DEPOSIT", "0.50").status_code == 200


def test_largest_operation_is_for_all_that_begins_something(client, move, limit, path):
    move("DEPOSIT", 100)
    made = client.post(f"{path}/holds", json={"amount": 20}).get_json()["hold"]["id"]
    limit(largest_operation=10)
    for kind in ("DEPOSIT", "WITHDRAW"):
        assert told(move(kind, "10.01"))[0] == "largest_operation"
    assert told(client.post(f"{path}/holds", json={"amount": 11}))[2] == "10.00"
    # What was promised before is kept.
    assert client.post(f"{API}/holds/{made}/capture", json={}).status_code == 200


def test_velocity_counts_what_leaves_and_says_when_more_does(client, move, limit, path):
    move("DEPOSIT", 100)
    limit(velocity={"hour": {"max_count": 3, "max_amount": 20}})
    reference = str(uuid.uuid4())
    assert move("WITHDRAW", 15, reference_id=reference).status_code == 200
    end = Period.HOUR.end(Period.HOUR.start(datetime.now(UTC))).isoformat()
    refused = told(move("WITHDRAW", 6), "frees_at")
    assert refused == ["hour_amount", "20.00", "5.00", end]
    # A retry is no second operation, and what comes in is not counted.
    again = move("WITHDRAW", 15, reference_id=reference)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert move("DEPOSIT", 50).status_code == 200
    made = client.post(f"{path}/holds", json={"amount": 1}).get_json()["hold"]["id"]
    assert move("WITHDRAW").status_code == 200
    assert told(move("WITHDRAW"))[:3] == ["hour_count", 3, 0]
    for what in ("capture", "void"):
        body = {"amount": "0.50"} if what == "capture" else {}
        answer = client.post(f"{API}/holds/{made}/{what}", json=body)
        assert answer.status_code == 200
    hour = client.get(f"{path}/limits").get_json()["velocity"]["hour"]
    assert (hour["count"], hour["amount"]) == (3, "17.00")


def test_a_refund_keeps_the_maximum_and_the_minimum_and_is_not_counted(
    client, move, limit, path
):
    def refund(original, amount):
        body = {"amount": amount}
        return client.post(f"{API}/operations/{original}/refund", json=body)

    paid = move("DEPOSIT", 100).get_json()["reference_id"]
    limit(maximum_balance=100, largest_operation=50, velocity={"day": {"max_count": 1}})
    spent = move("WITHDRAW", 40).get_json()["reference_id"]
    assert told(move("WITHDRAW"))[0] == "day_count"
    move("DEPOSIT", 30)
    assert told(refund(spent, 11)) == ["maximum_balance", "100.00", "10.00"]
    assert refund(spent, 10).status_code == 200
    # Nothing of it is counted, nor is what gives back an operation of its own.
    assert refund(paid, 60).status_code == 200
    day = client.get(f"{path}/limits").get_json()["velocity"]["day"]
    assert (day["count"], day["amount"]) == (1, "40.00")
    limit(minimum_balance=30, maximum_balance=60)
    problem = refund(paid, 11).get_json()
    assert (problem["code"], problem["short_by"]) == ("insufficient_funds", "1.00")
    assert refund(paid, 10).status_code == 200


def test_a_period_that_stays_limited_keeps_its_count(client, move, limit, path):
    move("DEPOSIT", 100)
    limit(velocity={"day": {"max_count": 5}})
    move("WITHDRAW", 2)
    shown = limit(velocity={"day": {"max_amount": 3}, "month": {"max_count": 1}})
    velocity = shown.get_json()["velocity"]
    assert (velocity["day"]["count"], velocity["month"]["count"]) == (1, 0)
    assert told(move("WITHDRAW", 2))[:3] == ["day_amount", "3.00", "1.00"]


def test_a_new_period_begins_at_nothing_and_a_clock_set_back_opens_none(app, client):
    with app.app_context():
        wallet = wallets.create(currency="USD")[0]
    path = f"{API}/wallets/{wallet}"
    client.put(f"{path}/limits", json={"velocity": {"hour": {"max_count": 1}}})

    def withdraw_with_count():
        with app.app_context():
            outcome = posting.post([Unit([withdraw(wallet, 1)])])[0][0]
        hour = client.get(f"{path}/limits").get_json()["velocity"]["hour"]
        return isinstance(outcome, Receipt), hour["count"]

    def shift(column, table, hours):
        with db.engine.begin() as connection:
            connection.execute(
                text(f"UPDATE {table} SET {column} = {column} + :by"),
                {"by": timedelta(hours=hours)},
            )

    with app.app_context():
        posting.post([Unit([deposit(wallet, 10)])])
        assert withdraw_with_count() == (True, 1)
        assert withdraw_with_count() == (False, 1)
        # As if it had been an hour ago.
        shift("start", "wallet_velocities", -1)
        assert withdraw_with_count() == (True, 1)
        # As if the clock had been set back since.
        shift("start", "wallet_velocities", 1)
        assert withdraw_with_count() == (False, 1)


def test_a_refused_atomic_batch_has_counted_nothing(client, move, limit, path):
    move("DEPOSIT", 10)
    limit(velocity={"day": {"max_count": 3}})
    mine = path.rpartition("/")[2]
    out = {"operation_type": "WITHDRAW", "wallet": mine, "amount": 1}
    body = {"operations": [out] * 4, "atomic": True}
    problem = client.post(f"{API}/operations/batch", json=body).get_json()
    assert (problem["code"], problem["index"]) == ("limit_exceeded", 3)
    body = {"operations": [out] * 4, "atomic": False}
    codes = [
        one["code"]
        for one in client.post(f"{API}/operations/batch", json=body).get_json()[
            "outcomes"
        ]
    ]
    assert codes == ["ok", "ok", "ok", "limit_exceeded"]


def test_a_refused_atomic_unit_leaves_its_neighbours_the_limit(
    app, client, limit, path
):
    limit(velocity={"day": {"max_count": 3}})
    mine = uuid.UUID(path.rpartition("/")[2])
    units = [
        Unit([deposit(mine, 10)]),
        Unit([withdraw(mine, 1) for _ in range(4)], atomic=True),
        Unit([withdraw(mine, 1) for _ in range(4)]),
    ]
    with app.app_context():
        *_, last = posting.post(units)
    assert [isinstance(one, Receipt) for one in last] == [True, True, True, False]


def test_many_callers_never_pass_a_limit_by_one(app, client, move, limit, path):
    move("DEPOSIT", 1000)
    limit(velocity={"day": {"max_count": 50, "max_amount": 70}})
    mine = uuid.UUID(path.rpartition("/")[2])
    ledger = app.extensions["ledger"]

    def attempt(number):
        with app.app_context():
            kind = "HOLD" if number % 3 == 0 else "WITHDRAW"
            outcome = ledger.submit(operation(kind, mine, 1 + number % 2))
            return isinstance(outcome, Receipt)

    with ThreadPoolExecutor(64) as pool:
        applied = sum(pool.map(attempt, range(200)))
    day = client.get(f"{path}/limits").get_json()["velocity"]["day"]
    assert day["count"] == applied <= 50
    assert 69 <= float(day["amount"]) <= 70


def test_limits_are_a_change_of_the_wallet(app, client, limit, path):
    tag = limit(maximum_balance=5).headers["ETag"]
    assert client.get(path).headers["ETag"] == tag == '"0-1"'
    stale = {"If-Match": '"0"'}
    assert limit(412, stale, maximum_balance=6).get_json()["version"] == 0
    assert limit(200, {"If-Match": tag}).headers["ETag"] == '"0-2"'
    with app.app_context(), db.engine.connect() as connection:
        log = connection.execute(
            text("SELECT action, after->>'maximum_balance' FROM audit_log ORDER BY id")
        )
        assert log.all() == [("wallet.limited", "5.00"), ("wallet.limited", None)]


@pytest.mark.parametrize(
    "limits",
    [
        {"minimum_balance": "-0.001"},
        {"minimum_balance": "--1"},
        {"minimum_balance": True},
        {"maximum_balance": 0},
        {"largest_operation": -1},
        {"velocity": {"hour": {}}},
        {"velocity": {"day": {"max_count": 0}}},
        {"velocity": {"week": {"max_count": 1}}},
        {"velocity": {"day": {"max_amount": "1.001"}}},
        {"weekly": 1},
    ],
    ids=str,
)
def test_bad_limits_are_told_and_leave_the_old_ones(client, limit, path, limits):
    limit(maximum_balance=5)
    answer = client.put(f"{path}/limits", json=limits)
    assert answer.status_code == 422, answer.get_json()
    assert answer.get_json()["errors"]
    assert client.get(f"{path}/limits").get_json()["maximum_balance"] == "5.00"


def test_a_closed_wallet_keeps_its_limits(client, limit, path):
    client.post(f"{path}/close", json={"reason": "over"})
    assert limit(409, maximum_balance=1).get_json()["code"] == "wallet_closed"


@pytest.mark.parametrize(
    ("period", "moment", "start", "end"),
    [
        ("hour", "2026-12-31T23:59:59", "2026-12-31T23:00:00", "2027-01-01T00:00:00"),
        ("day", "2028-02-28T12:00:00", "2028-02-28T00:00:00", "2028-02-29T00:00:00"),
        ("month", "2026-01-31T00:00:00", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("month", "2026-02-28T23:00:00", "2026-02-01T00:00:00", "2026-03-01T00:00:00"),
    ],
)
def test_periods_are_of_the_calendar_in_utc(period, moment, start, end):
    begun = Period(period).start(datetime.fromisoformat(f"{moment}+00:00"))
    found = [begun, Period(period).end(begun)]
    assert [one.isoformat()[:19] for one in found] == [start, end]
