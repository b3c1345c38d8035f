"""Opening plus movements is closing, on every row, and the rows chain."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import bulk_history
import pytest
from sqlalchemy import text

from wallet_app.database import reading, transaction
from wallet_app.ledger import wallets
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statistics import rollup, summaries

PATH = "/api/v1/wallets/{}/summaries"


def get(client, wallet, **query):
    answer = client.get(PATH.format(wallet), query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()["data"]


def refusal(client, wallet, **query):
    answer = client.get(PATH.format(wallet), query_string=query)
    assert answer.status_code == 422, answer.text
    return answer.get_json()


def check_chain(rows):
    for row in rows:
        opening, closing = (
            Decimal(row["opening_balance"]),
            Decimal(row["closing_balance"]),
        )
        assert opening + Decimal(row["total_in"]) - Decimal(row["total_out"]) == closing
        assert Decimal(row["smallest_balance"]) <= min(opening, closing)
        assert Decimal(row["largest_balance"]) >= max(opening, closing)
        counts = [one["count"] for one in row["operations"]]
        assert sum(counts) == row["count_in"] + row["count_out"]
    for one, following in pairwise(rows):
        assert one["closing_balance"] == following["opening_balance"]
        assert one["ends_at"] == following["starts_at"]


@pytest.fixture
def wallet(context):
    """Two months of transactions, seven hours apart, two thirds of them counted."""
    (uuid,) = bulk_history.make_wallets(1)
    bulk_history.add_transactions([uuid], 140, step=timedelta(hours=7))
    rollup.roll_up()
    bulk_history.add_transactions([uuid], 70, step=timedelta(hours=7))
    return uuid


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize("granularity", ["day", "week", "month"])
def test_rows_chain_and_end_with_the_balance(client, wallet, granularity, zone):
    query = {"from": "2025-12-20", "to": "2026-03-10", "tz": zone}
    rows = get(client, wallet, granularity=granularity, **query)
    check_chain(rows)
    assert rows[0]["opening_balance"] == "0.00"
    balance = client.get(f"/api/v1/wallets/{wallet}/balance").get_json()["balance"]
    assert rows[-1]["closing_balance"] == balance
    assert sum(row["count_in"] + row["count_out"] for row in rows) == 210


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_day_is_what_its_transactions_say(client, wallet, zone):
    (row,) = get(client, wallet, tz=zone, **{"from": "2026-01-15", "to": "2026-01-15"})
    with reading() as connection:
        steps = connection.execute(
            text(
                "SELECT operation_type, amount, balance_before, balance_after"
                " FROM transactions"
                " WHERE created_at >= :starts_at AND created_at < :ends_at ORDER BY seq"
            ),
            row,
        ).all()
    assert Decimal(row["opening_balance"]) == steps[0].balance_before
    assert Decimal(row["closing_balance"]) == steps[-1].balance_after
    came = [step.amount for step in steps if step.operation_type == "DEPOSIT"]
    assert row["count_in"] == len(came)
    assert Decimal(row["total_in"]) == sum(came)
    seen = [steps[0].balance_before, *(step.balance_after for step in steps)]
    assert Decimal(row["smallest_balance"]) == min(seen)
    assert Decimal(row["largest_balance"]) == max(seen)


def test_summaries_are_the_same_counted_or_not(client, wallet):
    query = {"from": "2026-01-01", "to": "2026-03-10"}
    before = get(client, wallet, **query)
    rollup.roll_up()
    assert get(client, wallet, **query) == before


def test_today_moves_with_every_operation(client, context, make_wallet):
    wallet = make_wallet(100)
    rollup.roll_up()
    client.post(
        f"/api/v1/wallets/{wallet}/operation",
        json={"operation_type": "WITHDRAW", "amount": 30},
    )
    rows = get(client, wallet)
    check_chain(rows)
    assert len(rows) == 30
    assert rows[-1]["closing_balance"] == "70.00"
    assert rows[-1]["total_out"] == "30.00"
    assert rows[-1]["smallest_balance"] == "0.00"


def test_a_time_for_an_end_is_exclusive(client, wallet):
    query = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}
    assert [row["period"] for row in get(client, wallet, **query)] == [
        "2026-01-01",
        "2026-01-02",
    ]


def test_quiet_periods_have_rows(client, wallet):
    rows = get(client, wallet, **{"from": "2026-04-01", "to": "2026-04-03"})
    assert [row["count_in"] for row in rows] == [0, 0, 0]
    check_chain(rows)
    assert rows[0]["opening_balance"] != "0.00"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"granularity": "year"}, "granularity"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"tz": "x\x00y"}, "tz"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "to"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "to"),
        ({"from": "0001-01-01"}, "from"),
        ({"from": "9999-12-31T23:59:59Z", "to": "9999-12-31"}, "from"),
        ({"since": "2026-01-01"}, "since"),
    ],
)
def test_what_cannot_be_answered_is_refused(client, wallet, query, field):
    assert field in refusal(client, wallet, **query)["errors"]


def test_too_much_to_count_on_demand_is_refused(client, wallet, monkeypatch):
    monkeypatch.setattr(summaries, "MAX_ZONED_TRANSACTIONS", 50)
    query = {"from": "2026-01-01", "to": "2026-03-10"}
    problem = refusal(client, wallet, tz="Europe/Berlin", **query)
    assert "210 transactions" in problem["detail"]
    assert get(client, wallet, **query)


def test_a_rollup_that_differs_from_the_ledger_is_never_shown(wallet):
    with transaction() as connection:
        connection.execute(
            text(
                "UPDATE wallet_days SET total = total + 1"
                " WHERE day = '2026-01-15' AND operation_type = 'DEPOSIT'"
            )
        )
    utc, day = ZoneInfo("UTC"), date(2026, 1, 15)
    found = summaries.periods_asked_for("day", day, day, utc)
    with reading() as connection:
        row = wallets.find(connection, DEFAULT_TENANT_ID, wallet)
        with pytest.raises(summaries.BooksDoNotBalanceError):
            summaries.read_summaries(connection, row, found, utc)


def test_an_unknown_wallet_is_not_found(client):
    answer = client.get(PATH.format("123e4567-e89b-12d3-a456-426614174000"))
    assert answer.status_code == 404


def test_balance_at_a_time_is_the_one_that_was(client, wallet):
    with reading() as connection:
        steps = connection.execute(
            text("SELECT created_at, balance_after FROM transactions ORDER BY seq")
        ).all()
    for step in steps[::37]:
        for moment in (step.created_at, step.created_at + timedelta(hours=1)):
            answer = client.get(
                f"/api/v1/wallets/{wallet}/balance",
                query_string={"at": moment.isoformat()},
            )
            assert Decimal(answer.get_json()["balance"]) == step.balance_after
    before = {"at": "2025-12-31T23:59:59Z"}
    answer = client.get(f"/api/v1/wallets/{wallet}/balance", query_string=before)
    assert answer.get_json()["balance"] == "0.00"


@pytest.mark.parametrize("at", ["2999-01-01T00:00:00Z", "2026-01-01", "now"])
def test_a_balance_at_no_past_time_is_refused(client, make_wallet, at):
    answer = client.get(f"/api/v1/wallets/{make_wallet()}/balance?at={at}")
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == ["at"]


def test_balance_at_a_time_takes_an_index(context, wallet):
    with transaction() as connection:
        # Whatever the tables' size and statistics are just now.
        for way in ("seqscan", "bitmapscan", "sort"):
            connection.execute(text(f"SET LOCAL enable_{way} = off"))
        plan = connection.scalars(
            text(
                "EXPLAIN SELECT balance_after FROM transactions WHERE wallet_id = 1"
                " AND created_at <= now() ORDER BY created_at DESC, seq DESC LIMIT 1"
            )
        ).all()
    assert "ix_transactions_wallet_id_created_at_seq" in "\n".join(plan)
    assert "Sort" not in "\n".join(plan)


def test_now_is_not_in_the_future(client, make_wallet):
    wallet = make_wallet(12)
    now = datetime.now(UTC).isoformat()
    answer = client.get(f"/api/v1/wallets/{wallet}/balance", query_string={"at": now})
    assert answer.get_json()["balance"] == "12.00"
