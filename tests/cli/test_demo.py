import pytest
from sqlalchemy import func, select

from wallet_app.cli import demo
from wallet_app.database import reading
from wallet_app.ledger import wallets
from wallet_app.ledger.models import Transaction, Wallet


@pytest.fixture
def run_demo(runner):
    def run():
        result = runner.invoke(args=["wallet", "demo"])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return run


def counts():
    with reading() as connection:
        return connection.execute(
            select(
                select(func.count(Wallet.id)).scalar_subquery(),
                select(func.count(Transaction.id)).scalar_subquery(),
            )
        ).one()


def operate(client, operation_type, amount):
    return client.post(
        f"/api/v1/wallets/{demo.DEMO_WALLET}/operation",
        json={"operation_type": operation_type, "amount": amount},
    )


def test_demo_run_twice_adds_nothing(run_demo, context):
    assert "5 wallets, 260 operations added" in run_demo()
    before = counts()
    assert "nothing to add" in run_demo()
    assert counts() == before


def test_demo_after_an_interrupted_one_adds_the_history(run_demo, context):
    # The wallets are committed before the history.
    start, _ = demo.generation.full_days(demo.DAYS, demo.datetime.now(demo.UTC))
    wallets.create_many(demo.imported_wallets(start))
    assert "0 wallets, 260 operations added" in run_demo()


def test_demo_refuses_no_operation_of_its_own(run_demo, context):
    run_demo()
    with reading() as connection:
        posted = connection.scalar(select(func.count(Transaction.reference_id)))
    assert posted == demo.OPERATIONS + len(demo.STORY) + 2


def test_demo_shows_a_hold_a_limit_and_a_frozen_wallet(run_demo, client):
    run_demo()
    page = client.get("/api/v1/wallets?sort=created_at&limit=5").get_json()
    shown = {one["name"]: one for one in page["data"] if one["owner"] == "bob"}
    assert shown["Kuwait"]["status"] == "frozen"
    [hold] = client.get(f"/api/v1/wallets/{demo.DEMO_WALLET}/holds").get_json()["data"]
    funds = client.get(f"/api/v1/wallets/{demo.DEMO_WALLET}/balance").get_json()
    assert (hold["status"], hold["remaining"], funds["held"]) == (
        "open",
        "120.00",
        "120.00",
    )
    [journeys] = [one for one in page["data"] if one["name"] == "Journeys"]
    limits = client.get(f"/api/v1/wallets/{journeys['uuid']}/limits").get_json()
    assert limits["velocity"]["day"]["max_amount"] == "250.00"


def test_demo_wallet_takes_a_deposit_and_a_withdrawal_at_once(run_demo, client):
    run_demo()
    assert operate(client, "DEPOSIT", 1000).status_code == 200
    assert operate(client, "WITHDRAW", 500).status_code == 200


def test_demo_leaves_a_wallet_alone_that_is_in_use(run_demo, client, context):
    wallets.create(currency="USD", uuid=demo.DEMO_WALLET)
    operate(client, "DEPOSIT", 1000)
    run_demo()
    assert counts() == (5, 1)


def test_demo_leaves_a_wallet_of_another_currency_alone(run_demo, context):
    wallets.create(currency="EUR", uuid=demo.DEMO_WALLET)
    run_demo()
    assert counts() == (5, 0)
