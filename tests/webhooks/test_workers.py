"""Those who deliver: what they claim, record, forget, and how their runs end."""

import itertools
import socket
import threading
import time

import ops
import pytest
from ops import deposit, wait_until
from receivers import (
    add,
    deliver_all,
    deliverer,
    let_leases_end,
    new_wallet,
    post,
    rows,
    the_webhook,
)
from sqlalchemy import text

from wallet_app.database import reading, transaction
from wallet_app.feed import readers, relay
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.webhooks import (
    claiming,
    cleaning,
    delivering,
    recording,
    registry,
    sending,
    settling,
)


def test_a_lease_that_went_to_another_settles_nothing(webhook, receiver):
    new_wallet()
    relay.relay()
    recording.record()
    (late,) = claiming.claim(webhook.id, busy=[])
    let_leases_end()
    (lane,) = claiming.claim(webhook.id, busy=[])
    attempts = delivering.send(late, private=True)
    settling.settle(late, attempts)
    (row,) = rows()
    assert (row.state, row.lease_id) == ("pending", lane.lease_id)
    settling.settle(lane, delivering.send(lane, private=True))
    (row,) = rows()
    assert (row.state, row.attempts) == ("delivered", 1)


def test_a_claimed_wallet_has_no_second_lane(webhook):
    wallet, other = new_wallet(), new_wallet()
    relay.relay()
    recording.record()
    lanes = claiming.claim(webhook.id, busy=[])
    assert len(lanes) == 2
    post(deposit(wallet, 1), deposit(other, 1), deposit(new_wallet(), 1))
    relay.relay()
    recording.record()
    (third,) = claiming.claim(webhook.id, busy=lanes)
    assert [row.seq for row in third.deliveries] == [None, 1]
    settling.settle(lanes[0], delivering.send(lanes[0], private=True))
    assert len(claiming.claim(webhook.id, busy=[])) == 1


def test_two_that_claim_at_once_share_nothing(app, webhook):
    for _ in range(40):
        new_wallet()
    relay.relay()
    recording.record()
    crowd = ops.Crowd(app, 8)
    found = crowd.together(lambda _: claiming.claim(webhook.id, busy=[]), range(8))
    claimed = [one for lanes in found for lane in lanes for one in lane.wallet_ids]
    assert len(claimed) == len(set(claimed)) >= claiming.LANES


def test_the_position_moves_with_the_deliveries_or_not_at_all(webhook, monkeypatch):
    new_wallet()
    relay.relay()

    def die(*_, **__):
        raise ZeroDivisionError

    for name in ("advance", "read"):
        with monkeypatch.context() as patch:
            patch.setattr(readers, name, die)
            with pytest.raises(ZeroDivisionError):
                recording.record()
        assert rows() == []
    with monkeypatch.context() as patch:
        patch.setattr(recording, "insert_in", die)
        with pytest.raises(ZeroDivisionError):
            recording.record()
    assert recording.record() == 1
    assert len(rows()) == 1


@pytest.fixture
def dead_endpoint():
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_an_endpoint_that_hangs_delays_no_other(
    webhook, receiver, dead_endpoint, monkeypatch
):
    monkeypatch.setattr(sending, "TIMEOUT_S", 3.0)
    dead = type("Dead", (), {"url": dead_endpoint})()
    secret = receiver.secret
    for _ in range(5):
        add(dead)
    receiver.secret = secret
    known = [new_wallet() for _ in range(20)]
    for wallet in known:
        post(deposit(wallet, 1))
    began = time.monotonic()
    with deliverer() as one:
        while len(receiver.told) < 40:
            one.step()
            time.sleep(0.01)
            assert time.monotonic() - began < 2.5
        hanging = [lane for lane in one.lanes.values() if lane.webhook.id != webhook.id]
        assert len(hanging) == 5 * claiming.LANES
        one.finish()
    errors = {row.error for row in rows() if row.webhook_id != webhook.id}
    assert any(error and "TimeoutError" in error for error in errors)


def test_an_endpoint_that_keeps_failing_gets_one_lane(webhook, receiver):
    for _ in range(5):
        new_wallet()
    relay.relay()
    recording.record()
    with transaction() as connection:
        connection.execute(
            text("UPDATE webhooks SET failing_since = now() - interval '40 seconds'")
        )
    (lane,) = claiming.claim(webhook.id, busy=[])
    assert len(lane.wallet_ids) == 5
    assert claiming.claim(webhook.id, busy=[lane]) == []


def test_old_deliveries_are_deleted_and_those_of_a_deleted_webhook(webhook, receiver):
    new_wallet()
    deliver_all()
    assert cleaning.clean_up() == 0
    with transaction() as connection:
        connection.execute(
            text("UPDATE webhook_deliveries SET created_at = now() - interval '8 days'")
        )
    new_wallet()
    deliver_all()
    assert cleaning.clean_up() == 1
    assert len(rows()) == 1
    registry.delete(DEFAULT_TENANT_ID, webhook.id)
    assert cleaning.clean_up() == 1
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM webhooks")) == 0


def test_a_backlog_that_is_too_long_disables(webhook, monkeypatch):
    monkeypatch.setattr(cleaning, "MOST_PENDING", 3)
    for expected in (False, True):
        for _ in range(1 if expected else 3):
            new_wallet()
        relay.relay()
        while recording.record():
            pass
        cleaning.clean_up()
        assert the_webhook(webhook.id).disabled is expected


def test_without_a_webhook_the_feed_is_left_alone(context):
    new_wallet()
    with deliverer() as one:
        assert not one.step()
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM journal")) == 1


def test_a_run_ends_when_its_worker_ends(app, webhook, receiver, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(delivering.ending, "is_near", ended.is_set)
    run = ops.Crowd(app, 1).start(delivering.deliver_for, 60)
    new_wallet()
    wait_until(lambda: receiver.told)
    ended.set()
    run.result(5)
    assert [row.state for row in rows()] == ["delivered"]


def test_a_run_outlives_an_outage_of_the_database(app, webhook, receiver, monkeypatch):
    calls = itertools.count()
    settle = settling.settle

    def fail_once(*arguments):
        if next(calls) == 0:
            raise delivering.PoolTimeout("no connection")
        settle(*arguments)

    monkeypatch.setattr(settling, "settle", fail_once)
    run = ops.Crowd(app, 1).start(delivering.deliver_for, 2.5)
    new_wallet()
    run.result(10)
    assert len(receiver.told) == 1
    assert [row.state for row in rows()] == ["delivered"]
