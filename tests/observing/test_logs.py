"""Logs: one line a request, in JSON if asked, from every program."""

import datetime
import json
import logging
import re
import uuid
from types import SimpleNamespace

import pytest
from flask import g
from flask.testing import FlaskClient
from ops import wait_until

from tests.services.workers import Worker
from wallet_app.ledger.observer import Observer
from wallet_app.observing import requests

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "hush-hush"


@pytest.fixture
def watched(app, make_app):
    app = make_app(request_log=True, log_format="json")
    # Ours would call for the API's description as well.
    app.test_client_class = FlaskClient
    return app


@pytest.fixture
def lines(watched, capsys):
    """Call the watched application: the lines that it logs of it."""

    def call(method, path, **request):
        capsys.readouterr()
        watched.test_client().open(path, method=method, **request)
        said = capsys.readouterr().err.splitlines()
        return [json.loads(line) for line in said if line.startswith("{")]

    return call


def operation(amount="1.00", description=SECRET):
    return {
        "operation_type": "DEPOSIT",
        "amount": amount,
        "description": description,
    }


def test_request_is_one_line(lines, make_wallet):
    wallet = make_wallet()
    (line,) = lines(
        "POST",
        f"/api/v1/wallets/{wallet}/operation",
        json=operation(),
        headers={"X-Request-ID": "mine", "traceparent": TRACEPARENT},
    )
    expected = {
        "request_id": "mine",
        "method": "POST",
        "route": "/api/v1/wallets/<uuid:uuid>/operation",
        "status": 200,
        "outcome": "ok",
        "wallet": str(wallet),
        "trace_id": TRACE,
        "level": "INFO",
        "logger": requests.__name__,
        "message": "request",
    }
    assert {name: line[name] for name in expected} == expected
    assert 0 < line["ms"] < 60_000
    assert "key_id" not in line


def test_refused_request_says_why(lines, make_wallet):
    path = f"/api/v1/wallets/{make_wallet()}/operation"
    body = {"operation_type": "WITHDRAW", "amount": "1.00"}
    (line,) = lines("POST", path, json=body)
    assert (line["status"], line["outcome"]) == (409, "insufficient_funds")
    (line,) = lines("POST", path, data="{")
    assert (line["status"], line["outcome"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("BREW", "/healthz"), ("GET", "/api/v1/wallets/x/balance")],
)
def test_request_without_a_route_is_a_line_too(lines, method, path):
    (line,) = lines(method, path)
    assert (line["method"], line["route"]) == ("none", "none")
    assert line["status"] >= 400
    assert "wallet" not in line


def test_request_that_fails_is_an_error(lines, watched, monkeypatch):
    def fail():
        raise RuntimeError(SECRET)

    monkeypatch.setitem(watched.view_functions, "health.healthz", fail)
    (line,) = lines("GET", "/healthz")
    assert (line["level"], line["status"]) == ("ERROR", 500)
    assert line["outcome"] == "internal_error"


def test_line_has_no_body_query_or_header(lines, make_wallet):
    (line,) = lines(
        "POST",
        f"/api/v1/wallets/{make_wallet()}/operation?token={SECRET}",
        json=operation(),
        headers={"Authorization": f"Bearer {SECRET}", "Cookie": SECRET},
    )
    assert SECRET not in str(line)


def test_line_names_the_callers_key(lines, watched):
    def identify():
        g.caller = SimpleNamespace(key_id="key-7", secret=SECRET)

    watched.before_request(identify)
    (line,) = lines("GET", "/healthz")
    assert line["key_id"] == "key-7"
    assert SECRET not in str(line)


def test_lines_of_requests_keep_to_the_level(lines, caplog):
    with caplog.at_level(logging.WARNING, "wallet_app"):
        assert lines("GET", "/healthz") == []


def test_request_is_a_line_in_text_as_well(app, make_app, caplog):
    web = make_app(request_log=True).test_client()
    with caplog.at_level(logging.INFO, requests.__name__):
        web.get("/healthz", headers={"X-Request-ID": "mine"})
    assert re.search(r"GET /healthz 200 ok \d+\.\d\d ms mine$", caplog.text, re.M)


def test_nothing_is_watched_unless_it_is_asked_for(app):
    watching = [*app.before_request_funcs[None], *app.after_request_funcs[None]]
    assert requests.__name__ not in {one.__module__ for one in watching}
    assert type(app.extensions["ledger"].observer) is Observer


def as_json(log):
    """Every line is an object with the members that all have."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    for line in found:
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert datetime.datetime.fromisoformat(line["time"]).tzinfo is not None
    return found


@pytest.mark.slow
def test_every_line_of_gunicorn_is_json(app, serve, make_wallet):
    wallet = make_wallet()
    settings = {"WALLET_LOG_FORMAT": "json", "WALLET_REQUEST_LOG": "on"}
    with serve(**settings) as served:
        served.call(
            "POST",
            f"/api/v1/wallets/{wallet}/operation",
            operation("nonsense"),
            X_Request_ID="mine",
        )
        served.end()
    lines = as_json(served.log)
    (mine,) = (one for one in lines if one.get("request_id") == "mine")
    assert mine["wallet"] == str(wallet)
    assert mine["outcome"] == "validation_failed"
    assert {one["logger"] for one in lines} == {"gunicorn.error", requests.__name__}
    assert any(one["message"].startswith("Booting worker") for one in lines)
    assert SECRET not in served.log.read_text()


@pytest.mark.slow
def test_every_line_of_a_worker_is_json_and_names_the_requests_trace(
    app, client, make_wallet, settings, database_environment, tmp_path
):
    wallet = make_wallet(5)
    environment = database_environment | {
        "WALLET_LOG_FORMAT": "json",
        "WALLET_BROKER_URL": "",
        "WALLET_INSTANCE_DIR": str(settings.instance_dir),
    }
    today = datetime.datetime.now(datetime.UTC).date()
    answer = client.post(
        f"/api/v1/wallets/{wallet}/statements",
        json={
            "from": f"{today - datetime.timedelta(2)}T00:00:00Z",
            "to": f"{today}T00:00:00Z",
        },
        headers={"traceparent": TRACEPARENT},
    )
    assert answer.status_code == 202, answer.text
    worker = Worker(
        environment,
        tmp_path / "worker.log",
        queues="statements",
        beat=False,
        quiet=True,
    )
    try:
        wait_until(lambda: "succeeded" in worker.log.read_text(), 60)
    finally:
        # Asked to end, Celery would print a word that is no line of its log.
        worker.kill()
    lines = as_json(worker.log)
    task = next(one for one in lines if "succeeded" in one["message"])
    assert task["trace_id"] == TRACE
    assert uuid.UUID(task["task_id"])
    assert task["task"].endswith("write_statement")
