"""Deliveries: each event at least once, in order, whatever fails."""

import random
from uuid import uuid5

import ops
import pytest
from ops import deposit, transfer
from receivers import (
    add,
    assert_in_order,
    deliver_all,
    let_leases_end,
    make_due,
    new_wallet,
    post,
    rows,
    the_webhook,
)
from sqlalchemy import text

from wallet_app.database import transaction
from wallet_app.feed import relay
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.webhooks import (
    claiming,
    cleaning,
    deliveries,
    delivering,
    registry,
    settling,
)


def test_events_arrive_as_the_api_shows_them_signed(webhook, receiver, client):
    wallet = new_wallet()
    post(deposit(wallet, 5))
    deliver_all()
    (_, created), (the_id, posted) = receiver.told
    assert (created["type"], created["data"]["uuid"]) == ("wallet.created", str(wallet))
    assert posted.keys() == {"type", "timestamp", "position", "wallet_uuid", "data"}
    assert the_id == str(uuid5(webhook.id, str(posted["position"])))
    (shown,) = client.get(f"/api/v1/wallets/{wallet}/transactions").json["data"]
    assert posted["data"] == shown
    assert posted["timestamp"] == shown["created_at"]
    headers = receiver.headers[0]
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{receiver.server.server_port}"
    assert {row.state for row in rows()} == {"delivered"}
    assert not delivering.look().due


def test_what_happened_before_is_not_told_and_other_types_neither(
    private, context, receiver
):
    post(deposit(new_wallet(), 1))
    while relay.relay():
        pass
    add(receiver, event_types=["transaction.posted"])
    wallet = new_wallet()
    post(deposit(wallet, 2))
    deliver_all()
    ((_, body),) = receiver.told
    assert (body["type"], body["wallet_uuid"]) == ("transaction.posted", str(wallet))


@pytest.mark.parametrize("ordered", [True, False])
def test_a_receiver_that_fails_at_random_is_told_everything(
    private, context, receiver, ordered, monkeypatch
):
    monkeypatch.setattr(settling, "RETRY_AFTER_S", (0.01,) * 30)
    chance = random.Random(1)
    receiver.answer = lambda *_: chance.choice([200, 204, 500, 302])
    add(receiver, ordered=ordered)
    known = [new_wallet() for _ in range(5)]
    for _ in range(10):
        post(*(deposit(one, 2) for one in known), transfer(known[0], known[1], 1))
    deliver_all(
        60,
        until=lambda: (
            not [r for r in rows() if r.state == "pending"] if rows() else False
        ),
    )
    assert len(dict(receiver.told)) == 5 + 10 * 7
    assert {row.state for row in rows()} == {"delivered"}
    if ordered:
        assert_in_order(receiver)


def test_a_wallet_waits_for_what_failed_and_others_do_not(webhook, receiver):
    one, other = new_wallet(), new_wallet()
    receiver.answer = lambda the_id, _: 500 if the_id == first_of_one else 200
    relay.relay()
    first_of_one = str(uuid5(webhook.id, "1"))
    post(deposit(one, 1), deposit(other, 1), deposit(one, 1))
    deliver_all()
    assert {body["wallet_uuid"] for _, body in receiver.told} == {str(other)}
    assert [row.attempts for row in rows()] == [1, 1, 0, 1, 0]
    receiver.answer = lambda *_: 200
    make_due()
    deliver_all()
    assert assert_in_order(receiver) == {str(one): [0, 1, 2], str(other): [0, 1]}


def test_many_that_wait_do_not_hide_what_is_due(webhook, receiver, monkeypatch):
    monkeypatch.setattr(claiming, "LOOKED_AT", 5)
    one, other = new_wallet(), new_wallet()
    receiver.answer = lambda *_: 500
    deliver_all()
    post(*(deposit(one, 1) for _ in range(50)))
    receiver.answer = lambda *_: 200
    with transaction() as connection:
        connection.execute(text("DELETE FROM webhook_deliveries WHERE position = 2"))
    deliver_all(until=lambda: len(rows()) > 50)
    post(deposit(other, 1))
    deliver_all()
    assert [body["wallet_uuid"] for _, body in receiver.told] == [str(other)]


def test_attempts_end_and_the_next_goes_on(webhook, receiver, monkeypatch):
    monkeypatch.setattr(settling, "RETRY_AFTER_S", (0.01, 0.01))
    wallet = new_wallet()
    first = str(uuid5(webhook.id, "1"))
    receiver.answer = lambda the_id, _: 503 if the_id == first else 200
    post(deposit(wallet, 1))
    deliver_all(until=lambda: len(receiver.told) == 1)
    failed, delivered = rows()
    assert (failed.state, failed.attempts, failed.http_status) == ("failed", 3, 503)
    assert failed.error == "It answered 503."
    assert (delivered.state, delivered.attempts) == ("delivered", 1)


def test_retries_are_spread_over_days_and_jittered():
    days = sum(settling.RETRY_AFTER_S) / 86400
    assert 3 < days < cleaning.KEEP.days
    pauses = {settling.jittered(100) for _ in range(50)}
    assert len(pauses) > 40
    assert all(80 <= pause <= 120 for pause in pauses)


def test_gone_disables_at_once(webhook, receiver):
    receiver.answer = lambda *_: 410
    new_wallet()
    deliver_all()
    found = the_webhook(webhook.id)
    assert (found.disabled, found.disabled_reason) == (True, "It answered 410 Gone.")
    new_wallet()
    deliver_all()
    assert len(rows()) == 1


def test_failing_for_days_disables_and_a_success_between_does_not(webhook, receiver):
    receiver.answer = lambda *_: 500
    new_wallet()
    deliver_all()
    assert the_webhook(webhook.id).failing_since is not None
    with transaction() as connection:
        connection.execute(
            text("UPDATE webhooks SET failing_since = now() - interval '73 hours'")
        )
    receiver.answer = lambda *_: 200
    make_due()
    deliver_all()
    assert the_webhook(webhook.id).failing_since is None
    with transaction() as connection:
        connection.execute(
            text("UPDATE webhooks SET failing_since = now() - interval '73 hours'")
        )
    receiver.answer = lambda *_: 500
    new_wallet()
    deliver_all()
    found = the_webhook(webhook.id)
    assert found.disabled
    assert "for 3 days" in found.disabled_reason
    assert "500" in found.disabled_reason


def test_enabled_again_it_gets_what_was_left_but_not_what_was_missed(webhook, receiver):
    receiver.answer = lambda *_: 500
    kept = new_wallet()
    deliver_all()
    registry.change(DEFAULT_TENANT_ID, webhook.id, disabled=True)
    new_wallet()
    deliver_all()
    while relay.relay():
        pass
    receiver.answer = lambda *_: 200
    registry.change(DEFAULT_TENANT_ID, webhook.id, disabled=False)
    last = new_wallet()
    deliver_all()
    told = [body["wallet_uuid"] for _, body in receiver.told]
    # Of two wallets, in no order.
    assert sorted(told) == sorted([str(kept), str(last)])


def test_a_worker_that_dies_before_it_marks_leads_to_a_double_with_the_same_id(
    webhook, receiver, monkeypatch
):
    wallet = new_wallet()

    def die(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(settling, "settle", die)
        with pytest.raises(ZeroDivisionError):
            deliver_all()
    assert [row.state for row in rows()] == ["pending"]
    post(deposit(wallet, 1))
    deliver_all(until=lambda: len(rows()) == 2)
    assert len(receiver.told) == 1, "it waits for the end of the lease"
    let_leases_end()
    deliver_all()
    ids = [the_id for the_id, _ in receiver.told]
    assert len(ids) == 3
    assert ids[0] == ids[1] != ids[2]
    assert_in_order(receiver)


def test_nothing_is_lost_while_many_post_and_two_deliver(
    app, webhook, receiver, monkeypatch
):
    monkeypatch.setattr(settling, "RETRY_AFTER_S", (0.01,) * 30)
    receiver.answer = lambda _, times: (
        500 if times == 0 and random.random() < 0.2 else 200
    )
    known = [new_wallet() for _ in range(4)]
    post(*(deposit(one, 100) for one in known))
    ledger = app.extensions["ledger"]
    crowd = ops.Crowd(app, 10)

    def work(number):
        if number > 5:
            deliver_all(60, until=lambda: len(dict(receiver.told)) == 368)
            return
        for turn in range(20):
            ledger.submit(deposit(known[turn % 4], 2))
            source, target = known[number % 4], known[(number + 1) % 4]
            ledger.submit(transfer(source, target, 1))

    crowd.together(work, range(8))
    assert_in_order(receiver)


def test_redelivered_it_comes_once_more_under_its_id(webhook, receiver):
    new_wallet()
    deliver_all()
    deliveries.redeliver(DEFAULT_TENANT_ID, webhook.id, rows()[0].id)
    deliver_all()
    one, other = receiver.told
    assert one == other


def test_a_test_event_is_delivered_beside_the_others(webhook, receiver):
    deliveries.send_test(DEFAULT_TENANT_ID, webhook.id)
    deliver_all()
    ((_, body),) = receiver.told
    assert body["type"] == "webhook.test"
    assert body["data"] == {"webhook_id": str(webhook.id)}
