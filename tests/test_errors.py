"""Errors that are nobody's input: a database in trouble, a defect of our own."""

import logging
import uuid
from contextlib import ExitStack

import psycopg
import pytest
from ops import wait_until
from sqlalchemy.engine import make_url

from wallet_app.database import db, engine
from wallet_app.ledger import posting

UNKNOWN = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
OPERATION = {"operation_type": "DEPOSIT", "amount": "1.00"}
CALLS = [
    ("POST", "/api/v1/wallets", {}),
    ("GET", "/api/v1/wallets", None),
    ("GET", f"/api/v1/wallets/{UNKNOWN}", None),
    ("GET", f"/api/v1/wallets/{UNKNOWN}/balance", None),
    ("GET", f"/api/v1/wallets/{UNKNOWN}/transactions", None),
    ("GET", f"/api/v1/wallets/{UNKNOWN}/statistics", None),
    ("POST", f"/api/v1/wallets/{UNKNOWN}/operation", OPERATION),
    ("GET", "/readyz", None),
]
# What PostgreSQL, psycopg, SQLAlchemy or Python would say.
INSIDE = (
    "psycopg",
    "sqlalchemy",
    "Traceback",
    "SELECT",
    "connection to server",
    "127.0.0.1",
    "Error",
    "timeout",
    "wallet_app",
)


def assert_discreet(answer):
    for words in INSIDE:
        assert words not in answer.text


@pytest.fixture(scope="module")
def closed_port():
    """A database URL behind which nobody listens."""
    return "postgresql+psycopg://user:secret@127.0.0.1:1/wallet"


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_missing_database_is_a_503_that_says_when_to_try_again(
    make_app, closed_port, method, path, body
):
    client = make_app(database_url=closed_port).test_client()
    answer = client.open(path, method=method, json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "try_again")
    assert answer.headers["Retry-After"] == "1"
    assert "again" in answer.get_json()["detail"]
    assert_discreet(answer)
    assert "secret" not in answer.text


def test_input_is_judged_without_a_database(make_app, closed_port):
    client = make_app(database_url=closed_port).test_client()
    path = f"/api/v1/wallets/{UNKNOWN}/operation"
    assert client.post(path, json={"amount": 0}).status_code == 422
    assert client.post(path, data="x").status_code == 415
    assert client.get("/api/v1/nothing").status_code == 404
    assert client.get("/openapi.json").status_code == 200


def test_operation_without_a_database_says_that_nothing_was_applied_or_how_to_see(
    make_app, closed_port
):
    client = make_app(database_url=closed_port).test_client()
    path = f"/api/v1/wallets/{UNKNOWN}/operation"
    problem = client.post(path, json=OPERATION).get_json()
    assert problem["applied"] in {"no", "unknown"}
    assert uuid.UUID(problem["reference_id"])


def test_read_that_waits_too_long_for_the_database_is_a_503(
    client, make_wallet, database_url
):
    wallet = make_wallet()
    url = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute("LOCK TABLE wallets")
        answer = client.get(f"/api/v1/wallets/{wallet}")
        connection.rollback()
    assert (answer.status_code, answer.get_json()["code"]) == (503, "try_again")
    assert_discreet(answer)
    assert client.get(f"/api/v1/wallets/{wallet}").status_code == 200


@pytest.fixture
def end_connections(app, database_url):
    """End every connection of the service, as a restart of the database does."""
    url = make_url(database_url).set(drivername="postgresql")
    theirs = (
        " FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'wallet'"
    )

    def end():
        text = url.render_as_string(hide_password=False)
        with psycopg.connect(text, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid)" + theirs)
            wait_until(lambda: not connection.execute("SELECT" + theirs).fetchall())

    yield end
    # Those that have died must not be met by another test.
    with app.app_context():
        db.engine.dispose()


def test_operation_survives_the_end_of_its_connections(
    client, make_wallet, end_connections
):
    wallet = make_wallet()
    end_connections()
    for _ in range(3):
        answer = client.post(f"/api/v1/wallets/{wallet}/operation", json=OPERATION)
        assert answer.status_code == 200
    assert answer.get_json()["balance_after"] == "3.00"


def test_operation_survives_a_pool_full_of_dead_connections(
    app, client, make_wallet, end_connections
):
    wallet = make_wallet()
    with app.app_context(), ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(db.engine.connect())
    end_connections()
    answer = client.post(f"/api/v1/wallets/{wallet}/operation", json=OPERATION)
    assert answer.status_code == 200


def test_connection_that_died_in_the_pool_is_replaced_unseen(
    client, make_wallet, end_connections, monkeypatch
):
    monkeypatch.setattr(engine, "IDLE_BEFORE_PING_S", 0)
    wallet = make_wallet()
    end_connections()
    assert client.get(f"/api/v1/wallets/{wallet}").status_code == 200


def test_reads_recover_from_the_end_of_their_connections(
    client, make_wallet, end_connections
):
    wallet = make_wallet()
    end_connections()
    statuses = [client.get(f"/api/v1/wallets/{wallet}").status_code for _ in range(5)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


def test_defect_is_a_500_that_tells_the_log_and_not_the_client(
    client, make_wallet, monkeypatch, caplog
):
    def fail(*args, **kwargs):
        raise RuntimeError("a secret of ours")

    wallet = make_wallet()
    monkeypatch.setattr(posting, "post", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.post(f"/api/v1/wallets/{wallet}/operation", json=OPERATION)
    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert_discreet(answer)
    assert "a secret of ours" in caplog.text
    assert problem["request_id"] in caplog.text


def test_defect_does_not_end_the_service(client, make_wallet, monkeypatch):
    wallet = make_wallet()
    path = f"/api/v1/wallets/{wallet}/operation"
    with monkeypatch.context() as patch:
        patch.setattr(posting, "post", lambda *_, **__: 1 / 0)
        assert client.post(path, json=OPERATION).status_code == 500
    assert client.post(path, json=OPERATION).status_code == 200
