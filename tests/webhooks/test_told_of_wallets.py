"""Webhooks are told of changed wallets as the feed tells of them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from ops import deposit
from receivers import add, deliver_all, make_due, new_wallet, post, rows
from sqlalchemy import text

from wallet_app.database import transaction
from wallet_app.feed import partitions, relay
from wallet_app.ledger import wallets
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.status import changing
from wallet_app.wallet_limits.changing import replace_limits
from wallet_app.webhooks import deliveries, recording

NO_LIMITS = dict.fromkeys(("minimum_balance", "largest_operation", "velocity"))
TYPES = [
    *("wallet.created", "wallet.updated", "wallet.updated", "wallet.frozen"),
    *("transaction.posted", "wallet.unfrozen"),
]


@pytest.fixture
def live(context):
    """Let one thing after the other happen to a new wallet; return it."""

    def live():
        wallet = new_wallet()
        this = {"tenant_id": DEFAULT_TENANT_ID, "uuid": wallet}
        changes = {"owner": "ann", "metadata": {"order": 4711}}
        wallets.change(**this, changes=changes)
        replace_limits(**this, wanted=NO_LIMITS | {"maximum_balance": Decimal(100)})
        changing.change(**this, status="frozen", blocks="out")
        post(deposit(wallet, 5))
        changing.change(**this, status="active")
        return wallet

    return live


def test_a_webhook_is_told_what_the_feed_tells(live, webhook, receiver, client):
    first, second = live(), live()
    deliver_all()
    shown = client.get("/api/v1/events").get_json()["data"]
    for event in shown:
        event["timestamp"] = event.pop("time")
    told = [body for _, body in receiver.told]
    assert sorted(told, key=lambda body: body["position"]) == shown
    for wallet in (first, second):
        its = [body for body in told if body["wallet_uuid"] == str(wallet)]
        assert [body["type"] for body in its] == TYPES
    assert {row.state for row in rows()} == {"delivered"}


def test_a_webhook_from_before_there_were_these_types_gets_what_it_had(
    live, private, receiver
):
    add(receiver, event_types=["wallet.created", "transaction.posted"])
    live()
    deliver_all()
    assert [body["type"] for _, body in receiver.told] == [TYPES[0], TYPES[4]]


def test_what_failed_is_told_as_it_was_then(live, webhook, receiver, client):
    receiver.answer = lambda _id, _times: 500
    wallet = live()
    deliver_all()
    wallets.change(
        tenant_id=DEFAULT_TENANT_ID, uuid=wallet, changes={"owner": "somebody else"}
    )
    receiver.answer = lambda _id, _times: 200
    make_due()
    deliver_all()
    data = [body["data"] for _, body in receiver.told]
    assert [one.get("owner") for one in data[1:4]] == ["ann"] * 3
    assert [one.get("status") for one in data[1:4]] == ["active", "active", "frozen"]
    assert data[-1]["owner"] == "somebody else"


def test_it_is_told_again_though_the_feed_has_it_no_more(
    app, live, webhook, receiver, monkeypatch
):
    live()
    deliver_all()
    (told,) = [one for one in receiver.told if one[1]["type"] == "wallet.frozen"]
    monkeypatch.setitem(app.extensions, "events_keep", timedelta(days=-1))
    assert len(partitions.prune()) == 1
    for row in rows():
        deliveries.redeliver(DEFAULT_TENANT_ID, webhook.id, row.id)
    deliver_all()
    assert len(receiver.told) == 2 * len(TYPES)
    assert receiver.told.count(told) == 2


def test_deliveries_say_what_they_tell(live, webhook, receiver, client):
    live()
    deliver_all()
    path = f"/api/v1/webhooks/{webhook.id}/deliveries"
    listed = client.get(path).get_json()["data"]
    assert [one["event_type"] for one in reversed(listed)] == TYPES


def test_what_was_recorded_without_what_was_said_is_told(webhook, receiver):
    """As a worker of the release before records a new wallet."""
    wallets.create(currency="USD", owner="ann")
    relay.relay()
    recording.record()
    with transaction() as connection:
        connection.execute(text("UPDATE webhook_deliveries SET seq = NULL"))
    deliver_all()
    ((_, body),) = receiver.told
    assert (body["type"], body["data"].get("owner")) == ("wallet.created", None)
