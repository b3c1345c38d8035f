"""Celery's part: hints, heartbeats, schedules; never in the way of money."""

import json
import os
import signal
import subprocess
import sys
import time
from queue import Empty

import bulk_history
import pytest
from celery.beat import Scheduler
from kombu.transport.sqlalchemy import Channel
from ops import Crowd
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from wallet_app import health
from wallet_app.background import broker_tables, heartbeat, hints
from wallet_app.background.celery_app import forget_connections
from wallet_app.background.tasks import prune_broker
from wallet_app.background.worker_pool import ProcessLock
from wallet_app.database import db, reading, transaction
from wallet_app.statistics import rollup
from wallet_app.statistics.tasks import roll_up
from wallet_app.webhooks.tasks import deliver


def readiness(client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    return json.loads(answer.text)


@pytest.fixture(autouse=True)
def no_silence(monkeypatch):
    monkeypatch.setattr(hints, "silent_until", 0.0)


def test_without_workers_the_service_is_ready_but_degraded(client):
    assert readiness(client) == {
        "status": "degraded",
        "workers": 0,
        "last_rollup_at": None,
        "rollup_lag_seconds": None,
    }


def test_workers_and_rollups_are_seen(client, context):
    heartbeat.note("worker:one@host")
    heartbeat.note("worker:two@host")
    heartbeat.note("worker:two@host")
    roll_up()
    ready = readiness(client)
    assert (ready["status"], ready["workers"]) == ("ok", 2)
    assert ready["rollup_lag_seconds"] < 5


def test_a_worker_that_is_silent_is_not_counted(client, context):
    roll_up()
    heartbeat.note("worker:one@host")
    with transaction() as connection:
        connection.execute(
            text("UPDATE heartbeats SET seen_at = now() - interval '2 minutes'")
        )
    ready = readiness(client)
    assert (ready["status"], ready["workers"]) == ("degraded", 0)
    assert ready["rollup_lag_seconds"] > 100
    heartbeat.forget_old()
    assert readiness(client)["last_rollup_at"] is not None


def test_heartbeats_that_cannot_be_read_do_not_make_it_unready(client, monkeypatch):
    def fail():
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(health.heartbeat, "read", fail)
    assert readiness(client)["status"] == "degraded"


def test_a_pulse_comes_and_goes_with_its_worker(app, client, context):
    pulse = heartbeat.Pulse(app, "one@host")
    pulse.start()
    deadline = time.monotonic() + 5
    while readiness(client)["workers"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pulse.stop()
    assert readiness(client)["workers"] == 0


def test_a_long_rollup_goes_on_with_a_hint(context, monkeypatch):
    sent = []
    monkeypatch.setattr(hints, "send", lambda *hint: sent.append(hint))
    monkeypatch.setattr(rollup, "MAX_RUN_S", 0.0)
    monkeypatch.setattr(rollup, "ROWS_A_BATCH", 10)
    bulk_history.add_transactions(bulk_history.make_wallets(5), 10)
    roll_up()
    assert sent == [(hints.ROLL_UP,)]
    monkeypatch.setattr(rollup, "MAX_RUN_S", 60.0)
    roll_up()
    assert len(sent) == 1
    assert rollup.roll_up() == 0


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "amqp://guest:guest@127.0.0.1:1//",
    ],
)
def test_a_broker_that_is_down_costs_little_and_only_once(make_app, url):
    with make_app(broker_url=url).app_context():
        started = time.monotonic()
        assert not hints.send(hints.ROLL_UP)
        assert time.monotonic() - started < 5
        started = time.monotonic()
        assert not hints.send(hints.ROLL_UP)
        assert time.monotonic() - started < 0.1


def test_a_hanging_broker_holds_up_one_request_at_a_time(app, context, monkeypatch):
    def hang(*_, **__):
        time.sleep(1)
        raise OSError("timed out")

    monkeypatch.setattr(app.extensions["celery"], "send_task", hang)
    started = time.monotonic()
    crowd = Crowd(app, 16)
    assert (
        crowd.together(lambda _: hints.send(hints.ROLL_UP), range(16)) == [False] * 16
    )
    assert time.monotonic() - started < 2


def test_beat_sends_again_after_its_attempts_have_failed(app, context):
    scheduler = Scheduler(app.extensions["celery"])
    (entry, *_) = scheduler.schedule.values()
    scheduler.apply_async(entry, producer=scheduler.producer)
    # As kombu leaves it behind when it gives up: its channel is closed.
    scheduler.connection.collect()
    scheduler.apply_async(entry, producer=scheduler.producer)
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM kombu_message")) == 2


def test_worker_looks_for_messages_again_after_its_link_led_to_a_standby(
    app, make_app, database_url
):
    direct = make_app(database_url=database_url, transaction_pooling=False)
    with direct.extensions["celery"].connection_for_read() as connection:
        channel = connection.default_channel
        channel._new_queue("rollups")
        link = channel.session.connection()
        link.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        channel.session.commit()
        # A worker ends at any other error.
        with pytest.raises(connection.connection_errors):
            channel._get("rollups")
        with pytest.raises(Empty):
            channel._get("rollups")


def test_scheduled_messages_expire_but_not_before_the_broker_is_asked(app):
    app.extensions["celery"].loader.import_default_modules()
    entries = app.extensions["celery"].conf.beat_schedule.values()
    assert len(entries) == 13
    for entry in entries:
        # PostgreSQL as broker is asked once a second.
        assert 2 < entry["options"]["expires"] <= max(5, entry["schedule"])
        assert entry["task"] in roll_up.app.tasks


def test_messages_are_acknowledged_late_and_fetched_singly(app):
    conf = app.extensions["celery"].conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result
    assert conf.task_soft_time_limit < conf.task_time_limit
    route = app.extensions["celery"].amqp.router.route
    assert route({}, hints.WRITE_STATEMENT)["queue"].name == "statements"
    assert route({}, hints.ROLL_UP)["queue"].name == "rollups"
    assert route({}, deliver.name)["queue"].name == "webhooks"


def test_delivered_messages_are_deleted_and_waiting_ones_kept(context):
    assert hints.send(hints.ROLL_UP)
    assert hints.send(hints.ROLL_UP)
    with transaction() as connection:
        connection.execute(
            text(
                "UPDATE kombu_message SET visible = false"
                " WHERE id = (SELECT min(id) FROM kombu_message)"
            )
        )
    prune_broker()
    assert broker_tables.prune() == 0
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM kombu_message")) == 1


def test_a_forked_process_leaves_its_parents_connections_alone(app, context):
    hints.send(hints.ROLL_UP)
    engines = [db.engine, *(engine for engine, _ in Channel._engines.values())]
    parents = [engine.pool for engine in engines]
    backend = text("SELECT pg_backend_pid()")
    with reading() as inherited:
        before = inherited.scalar(backend)
        forget_connections(app)
        with reading() as fresh:
            assert fresh.scalar(backend) != before
        assert inherited.scalar(backend) == before
    for engine, pool in zip(engines, parents, strict=True):
        assert engine.pool is not pool
        pool.dispose()


HOLD = """
import sys, time
from wallet_app.background.worker_pool import ProcessLock
lock = ProcessLock()
import os
child = os.fork()
if child == 0:
    lock.acquire()
    print("held", os.getpid(), flush=True)
    time.sleep(60)
os.waitpid(child, 0)
with lock:
    print("free", flush=True)
"""


def test_a_lock_is_free_again_when_its_holder_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True
    ) as process:
        word, pid = process.stdout.readline().split()
        assert word == "held"
        os.kill(int(pid), signal.SIGKILL)
        assert process.stdout.readline() == "free\n"


def test_a_lock_is_taken_and_given_back():
    lock = ProcessLock()
    with lock as taken:
        assert taken
    assert lock.acquire()
    lock.release()
    lock.file.close()
