"""What probes are told."""

import pytest
from sqlalchemy import text

from wallet_app.background import heartbeat
from wallet_app.database import db


@pytest.fixture
def dead_client(make_app):
    """A client of a service whose database is not there."""
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    return make_app(database_url=url).test_client()


def test_process_is_alive_whatever_the_database_does(client, dead_client):
    for one in (client, dead_client):
        answer = one.get("/healthz")
        assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_service_is_ready_with_its_database(client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.get_json() == {
        "status": "degraded",
        "workers": 0,
        "last_rollup_at": None,
        "rollup_lag_seconds": None,
    }


def test_service_is_not_ready_without_its_database(dead_client):
    answer = dead_client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"


def test_live_worker_and_fresh_rollup_are_reported(client, context):
    heartbeat.note(heartbeat.WORKER + "one")
    heartbeat.note(heartbeat.WORKER + "two")
    heartbeat.note(heartbeat.ROLLUP)
    body = client.get("/readyz").get_json()
    assert (body["status"], body["workers"]) == ("ok", 2)
    assert float(body["rollup_lag_seconds"].text) < 30


@pytest.mark.parametrize("late", [heartbeat.ROLLUP, heartbeat.WORKER + "one"])
def test_late_background_work_degrades_and_does_not_stop_the_service(
    client, context, late
):
    heartbeat.note(heartbeat.WORKER + "one")
    heartbeat.note(heartbeat.ROLLUP)
    with db.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE heartbeats SET seen_at = now() - interval '2 minutes'"
                " WHERE name = :name"
            ),
            {"name": late},
        )
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")


def test_probes_answer_head_requests(client):
    assert client.head("/healthz").status_code == 200
    assert client.head("/readyz").status_code == 200
