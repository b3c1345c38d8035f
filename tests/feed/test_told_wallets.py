"""What events have told of wallets: kept as long as one needs it; counted by nobody."""

from datetime import timedelta

import ops
import pytest
import recount
from sqlalchemy import text

from wallet_app.database import reading, transaction
from wallet_app.feed import events, partitions, relay
from wallet_app.ledger import wallets
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statistics import rollup
from wallet_app.webhooks import cleaning


@pytest.fixture
def change(context):
    """Give a wallet, or a new one, a name; return the wallet."""

    def change(name, uuid=None):
        uuid = uuid or wallets.create(currency="USD")[0]
        changes = {"name": name}
        wallets.change(tenant_id=DEFAULT_TENANT_ID, uuid=uuid, changes=changes)
        return uuid

    return change


def relay_all():
    while relay.relay():
        pass


def ids_of(*uuids):
    with reading() as connection:
        find = wallets.find
        return [find(connection, DEFAULT_TENANT_ID, uuid).id for uuid in uuids]


def read(after=0):
    with reading() as connection:
        page = events.read_page(connection, DEFAULT_TENANT_ID, after=after, limit=100)
    return page.events


def value(statement):
    with reading() as connection:
        return connection.scalar(text(statement))


def let_time_pass(days):
    with transaction() as connection:
        passing = f"retired_at = retired_at - interval '{days} days'"
        connection.execute(text(f"UPDATE told_wallets SET {passing}"))


def test_wallets_frozen_together_are_told_each_once(context):
    uuids = [wallets.create(currency="USD")[0] for _ in range(4)]
    relay_all()
    ids = ids_of(*uuids)
    with transaction() as connection:
        assert wallets.freeze(connection, ids[1:3]) == 2
    # Those that are frozen already, and one that is not there.
    with transaction() as connection:
        assert wallets.freeze(connection, [*ids, 0]) == 2
    relay_all()
    found = [
        (event.type, event.data["status"], event.data["block"]) for event in read(4)
    ]
    assert found == [("wallet.frozen", "frozen", "all")] * 4
    assert {event.wallet_uuid for event in read(4)} == set(uuids)
    with transaction() as connection:
        assert wallets.freeze(connection, ids) == 0
    relay_all()
    assert read(8) == []


def test_it_goes_with_its_day_but_not_before_a_delivery_can_do_without(
    app, change, monkeypatch
):
    wallets.create(currency="USD", owner="ann")
    wallet = change("first")
    relay_all()
    monkeypatch.setitem(app.extensions, "events_keep", timedelta(days=-1))
    assert len(partitions.prune()) == 1
    # Of the feed's next day, and one that has no position yet.
    change("second", wallet)
    relay_all()
    change("third", wallet)
    assert partitions.KEEP_TOLD > cleaning.KEEP
    let_time_pass(partitions.KEEP_TOLD.days - 1)
    monkeypatch.setitem(app.extensions, "events_keep", timedelta(days=1))
    assert partitions.prune() == []
    assert value("SELECT count(*) FROM told_wallets") == 4
    let_time_pass(2)
    partitions.prune()
    assert value("SELECT count(*) FROM told_wallets") == 2
    relay_all()
    assert [event.data.get("name") for event in read(3)] == ["second", "third"]


def test_a_day_that_somebody_has_still_to_read_keeps_what_it_tells(
    app, change, monkeypatch
):
    change("first")
    relay_all()
    with transaction() as connection:
        connection.execute(text("INSERT INTO feed_readers VALUES ('somebody', 0)"))
    monkeypatch.setitem(app.extensions, "events_keep", timedelta(days=-1))
    assert partitions.prune() == []
    assert value("SELECT count(retired_at) FROM told_wallets") == 0


def test_more_than_a_statement_forgets_is_forgotten(app, change, monkeypatch):
    monkeypatch.setattr(partitions, "ROWS_A_STATEMENT", 2)
    for turn in range(5):
        change(f"turn {turn}")
    with transaction() as connection:
        connection.execute(text("UPDATE told_wallets SET retired_at = '2026-01-01'"))
    partitions.prune()
    assert value("SELECT count(*) FROM told_wallets") == 0


def test_statistics_count_money_and_no_changes(change, runner):
    wallet = ops.funded_wallet(10)
    for name in ("first", "second"):
        change(name, wallet)
    idle = change("third")
    ops.posting.post([ops.Unit([ops.deposit(wallet, 1)])])
    assert rollup.roll_up() == 2
    change("fourth", wallet)
    assert rollup.roll_up() == 0
    with reading() as connection:
        assert recount.differences(connection) == {}
    counted = "SELECT array_agg(wallet_id) FROM wallet_rollups"
    assert value(counted) == ids_of(wallet)
    rebuilt = runner.invoke(args=["wallet", "rollup", "--rebuild"])
    assert (rebuilt.exit_code, value(counted)) == (0, ids_of(wallet)), rebuilt.output
    assert "The rollups equal the ledger." in rebuilt.output
    assert read()[-1].data["name"] == "fourth"
    assert idle != wallet
