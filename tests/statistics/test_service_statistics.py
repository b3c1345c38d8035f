"""GET /statistics: the service as a whole."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bulk_history
import pytest
from ops import Crowd, transfer
from sqlalchemy import text

from wallet_app.database import transaction
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statistics import rebuild, rollup, service_statistics

PATH = "/api/v1/statistics"


def test_an_empty_service_has_statistics(client):
    assert client.get(PATH).get_json() == {
        "currencies": [],
        "days": [],
        "busiest_wallets": [],
    }


def test_figures_are_by_currency_type_and_day(client, context):
    dollars = bulk_history.make_wallets(3)
    euros = bulk_history.make_wallets(2, "EUR")
    bulk_history.add_transactions(dollars, 8, step=timedelta(hours=6))
    rollup.roll_up()
    bulk_history.add_transactions(euros, 4, step=timedelta(hours=6))
    bulk_history.add_transactions(dollars[:1], 4, step=timedelta(hours=6))
    answer = client.get(PATH, query_string={"from": "2026-01-01", "to": "2026-01-02"})
    body = answer.get_json()
    assert [(one["currency"], one["wallets"]) for one in body["currencies"]] == [
        ("EUR", 2),
        ("USD", 3),
    ]
    assert body["currencies"][1]["count"] == 28
    assert body["currencies"][1]["total_balance"] == "143.50"
    trial = [
        (one["deposited"], one["withdrawn"], one["balanced"])
        for one in body["currencies"]
    ]
    assert trial == [("61.50", "20.50", True), ("215.25", "71.75", True)]
    assert body["currencies"][1]["operations"] == [
        {"operation_type": "DEPOSIT", "count": 21, "total": "215.25"},
        {"operation_type": "WITHDRAW", "count": 7, "total": "71.75"},
    ]
    assert {day["day"] for day in body["days"]} == {"2026-01-01", "2026-01-02"}
    assert body["busiest_wallets"][0] == {
        "uuid": str(dollars[0]),
        "currency": "USD",
        "transactions": 12,
    }
    rollup.roll_up()
    assert (
        client.get(answer.request.path, query_string=answer.request.args).json == body
    )


class Disturbed:
    """A connection after each of whose statements something happens."""

    def __init__(self, connection, happens):
        self.connection = connection
        self.happens = happens

    def execute(self, *statement):
        result = self.connection.execute(*statement)
        self.happens()
        return result


def test_all_figures_are_of_the_moment_of_the_first(context, client, make_wallet):
    wallet, today = make_wallet(10), datetime.now(UTC).date()
    days = {"first_day": today - timedelta(1), "last_day": today + timedelta(1)}

    def deposit():
        body = {"operation_type": "DEPOSIT", "amount": "1.00"}
        path = f"/api/v1/wallets/{wallet}/operation"
        assert client.post(path, json=body).status_code == 200

    with service_statistics.snapshot() as connection:
        disturbed = Disturbed(connection, deposit)
        found = service_statistics.read_service_statistics(
            disturbed, DEFAULT_TENANT_ID, **days
        )
    (currency,), (busiest,) = found["currencies"], found["busiest_wallets"]
    (deposits,) = currency["operations"]
    assert currency["total_balance"] == deposits["total"] == 10
    assert busiest.transactions == currency["count"] == 1


def test_a_currency_that_does_not_balance_says_so(client, context):
    wallets = bulk_history.make_wallets(2)
    bulk_history.add_transactions(wallets, 5)
    rollup.roll_up()
    assert client.get(PATH).json["currencies"][0]["balanced"]
    with transaction() as connection:
        connection.execute(text("UPDATE service_currencies SET balance = balance + 1"))
    assert not client.get(PATH).json["currencies"][0]["balanced"]
    assert rebuild.rebuild_currencies() == 1
    assert client.get(PATH).json["currencies"][0]["balanced"]
    assert rebuild.rebuild_currencies() == 0


def test_money_in_less_money_out_is_the_balance_while_money_moves(
    app, context, make_wallet
):
    wallets = [make_wallet(1000) for _ in range(4)]
    ledger = app.extensions["ledger"]
    crowd = Crowd(app, 4)

    def move(number):
        for _ in range(15):
            source, target = wallets[number], wallets[(number + 1) % 4]
            ledger.submit(transfer(source, target, 1))
            rollup.roll_up()

    moving = [crowd.start(move, number) for number in range(4)]
    reads = 0
    while not all(future.done() for future in moving) or reads < 5:
        reads += 1
        with service_statistics.snapshot() as connection:
            today = connection.scalar(text("SELECT current_date"))
            figures = service_statistics.read_service_statistics(
                connection, DEFAULT_TENANT_ID, first_day=today, last_day=today
            )
        (dollars,) = figures["currencies"]
        totals = {one["operation_type"]: one["total"] for one in dollars["operations"]}
        assert totals.get("TRANSFER_IN") == totals.get("TRANSFER_OUT")
        assert dollars["total_balance"] == Decimal(4000)
    assert [future.result() for future in moving] == [None] * 4


LONG_FEED = text(
    "INSERT INTO feed (position, fed_on, count, kind, wallet_ids, seqs, created_at)"
    " SELECT -number, current_date, 1, 'posted', '{1}', '{1}', now()"
    " FROM generate_series(1, 20000) AS number"
)
# The connection's, also of transactions before this one.
READ_AS_A_WHOLE = text(
    "SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables"
    " WHERE relname ~ '^(feed_2|wallet|transactions)' ORDER BY relname"
)


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
def test_no_long_table_is_read_as_a_whole(context, plan):
    wallets = bulk_history.make_wallets(3000)
    bulk_history.add_transactions(wallets, 1)
    rollup.roll_up()
    with transaction() as connection:
        connection.execute(LONG_FEED)
    bulk_history.add_transactions(wallets[:3], 1)
    with transaction() as connection:
        connection.execute(text("ANALYZE wallets, transactions, feed, wallet_rollups"))
    today = datetime.now(UTC).date()
    with service_statistics.snapshot() as connection:
        connection.execute(text(f"SET LOCAL plan_cache_mode = {plan}"))
        connection.execute(text("SET LOCAL random_page_cost = 4"))
        before = connection.execute(READ_AS_A_WHOLE).all()
        # psycopg prepares what comes again.
        for _ in range(8):
            found = service_statistics.read_service_statistics(
                connection, DEFAULT_TENANT_ID, first_day=today, last_day=today
            )
        assert connection.execute(READ_AS_A_WHOLE).all() == before
    assert found["currencies"][0]["count"] == 3003


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "2024-01-01", "to": "2026-01-01"},
        {"to": "soon"},
        {"days": "7"},
    ],
)
def test_a_range_that_cannot_be_is_refused(client, query):
    assert client.get(PATH, query_string=query).status_code == 422
