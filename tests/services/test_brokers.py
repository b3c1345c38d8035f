"""The background work over every broker: hints may be lost, work is not."""

import json
import os
import signal
import time
from datetime import timedelta

import bulk_history
import pytest
import recount
from failover import operator, read_only
from sqlalchemy import text
from workers import eventually

from wallet_app.background import hints
from wallet_app.database import reading, transaction
from wallet_app.statements import lifecycle

pytestmark = pytest.mark.services

PERIOD = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}


def ask(web, wallet, file_format="csv"):
    answer = web.post(
        f"/api/v1/wallets/{wallet}/statements", json={**PERIOD, "format": file_format}
    )
    assert answer.status_code == 202
    return answer.headers["Location"]


def is_ready(web, location):
    state = web.get(location).json
    assert state["state"] != "failed", state
    return state if state["state"] == "ready" else None


def readiness(web):
    return json.loads(web.get("/readyz").text)


def counted():
    with reading() as connection:
        return connection.scalar(text("SELECT sum(last_seq) FROM wallet_rollups")) or 0


def assert_exact():
    with reading() as connection:
        assert recount.differences(connection) == {}


@pytest.fixture
def wallet(service):
    (uuid,) = bulk_history.make_wallets(1)
    bulk_history.add_transactions([uuid], 300, step=timedelta(hours=1))
    return uuid


@pytest.fixture(autouse=True)
def fresh_hints(monkeypatch):
    monkeypatch.setattr(hints, "silent_until", 0.0)


def test_a_hint_wakes_the_worker_and_beat_keeps_the_rollups(web, wallet, start_worker):
    start_worker(concurrency=2)
    eventually(lambda: counted() == 300)
    assert_exact()
    started = time.monotonic()
    location = ask(web, wallet, "pdf")
    state = eventually(lambda: is_ready(web, location))
    # Sooner than beat, which looks for forgotten statements every ten seconds.
    assert time.monotonic() - started < 8
    assert web.get(state["file"], buffered=True).mimetype == "application/pdf"
    ready = eventually(lambda: found if (found := readiness(web))["workers"] else None)
    assert ready["status"] == "ok"
    assert ready["rollup_lag_seconds"] < 10


def test_a_lost_hint_is_made_up_for_by_beat(web, wallet, start_worker, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(hints, "send", lambda *_: False)
        locations = [ask(web, wallet, one) for one in ("csv", "json", "pdf")]
    start_worker()
    for location in locations:
        eventually(lambda location=location: is_ready(web, location))


def test_two_beats_and_two_workers_count_nothing_twice(web, service, start_worker):
    wallets = bulk_history.make_wallets(50)
    for name in ("one", "two"):
        start_worker(name=name, concurrency=2)
    for _ in range(8):
        bulk_history.add_transactions(wallets, 40, step=timedelta(hours=1))
        time.sleep(0.3)
    eventually(lambda: counted() == 50 * 8 * 40)
    assert_exact()
    eventually(lambda: readiness(web)["workers"] == 2)


def test_a_killed_worker_leaves_nothing_undone(web, service, start_worker):
    (wallet,) = bulk_history.make_wallets(1)
    bulk_history.add_transactions([wallet], 40_000, step=timedelta(minutes=1))
    worker = start_worker()
    eventually(worker.children)
    location = ask(web, wallet)
    eventually(lambda: web.get(location).json["state"] != "pending")
    worker.kill()
    with transaction() as connection:
        # As half a minute later.
        connection.execute(
            text("UPDATE statements SET leased_until = now() WHERE state = 'running'")
        )
    start_worker(name="next")
    assert eventually(lambda: is_ready(web, location), 40)["rows"] == 40_000
    eventually(lambda: counted() == 40_000)
    assert_exact()


def test_a_killed_task_process_is_replaced(web, wallet, start_worker):
    worker = start_worker(beat=False)
    location = ask(web, wallet)
    eventually(lambda: is_ready(web, location))
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    again = ask(web, wallet, "json")
    with transaction() as connection:
        connection.execute(text("UPDATE statements SET leased_until = now()"))
    time.sleep(1)
    hints.send(hints.WRITE_STATEMENT, again.rpartition("/")[2])
    eventually(lambda: is_ready(web, again))


def test_a_large_statement_delays_no_rollup(web, service, start_worker):
    (wallet,) = bulk_history.make_wallets(1)
    bulk_history.add_transactions([wallet], 100_000, step=timedelta(seconds=5))
    start_worker(name="rollups", queues="rollups")
    writer = start_worker(name="statements", queues="statements", beat=False)
    location = ask(web, wallet, "json")
    eventually(lambda: web.get(location).json["state"] == "running")
    # It takes as long as the rollups need, whatever the machine.
    writer.hold()
    others = bulk_history.make_wallets(3)
    bulk_history.add_transactions(others, 10)
    with reading() as connection:
        count = text(
            "SELECT count(*) FROM wallet_rollups JOIN wallets ON id = wallet_id"
            " WHERE last_seq = version AND version = 10"
        )
        eventually(lambda: connection.scalar(count) == 3)
    assert web.get(location).json["state"] == "running"
    writer.go_on()
    eventually(lambda: is_ready(web, location), 60)


def test_without_its_broker_the_service_goes_on(broker, web, wallet, start_worker):
    if broker is None:
        pytest.skip("without PostgreSQL there is no service")
    start_worker()
    eventually(lambda: counted() == 300)
    broker.stop()
    started = time.monotonic()
    location = ask(web, wallet)
    assert time.monotonic() - started < 5
    started = time.monotonic()
    ask(web, wallet, "json")
    assert time.monotonic() - started < 0.5
    operation = {"operation_type": "DEPOSIT", "amount": 1}
    answer = web.post(f"/api/v1/wallets/{wallet}/operation", json=operation)
    assert answer.status_code == 200
    broker.start()
    eventually(lambda: is_ready(web, location), 60)
    eventually(lambda: counted() == 301, 60)
    assert lifecycle.due() == [] or eventually(lambda: not lifecycle.due())


def test_worker_outlives_a_database_that_takes_no_writes(
    web, wallet, start_worker, database_url
):
    worker = start_worker()
    eventually(lambda: counted() == 300)
    with operator(database_url) as admin, read_only(admin):
        time.sleep(5)
        assert worker.process.poll() is None
    bulk_history.add_transactions([wallet], 100, step=timedelta(hours=1))
    eventually(lambda: counted() == 400, 60)
    location = ask(web, wallet)
    eventually(lambda: is_ready(web, location), 60)
    assert worker.process.poll() is None
    assert "raised unexpected" not in worker.log.read_text()
