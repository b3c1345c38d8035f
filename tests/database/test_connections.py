"""Connections keep to their bounds, also when the network or a pooler is between."""

import gc
import socket
import time

import psutil
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from proofs.tcp_proxy import Proxy
from wallet_app.background import hints
from wallet_app.database import connections, db, pipeline, reading, transaction
from wallet_app.ledger import wallets

DEADLINE_MS = 300
SLACK_S = 0.2
# The deadline, the slack for those who lead, and a busy machine.
BOUND_S = DEADLINE_MS / 1000 + SLACK_S + 1


@pytest.fixture
def network(app, context, database_url):
    """The way to the database, which can hang."""
    with reading() as connection:
        directory = connection.scalar(text("SHOW unix_socket_directories"))
        port = connection.scalar(text("SHOW port"))
    if make_url(database_url).host or not directory:
        pytest.skip("the server has no socket that a proxy could use")
    with Proxy(directory.split(",")[0] + f"/.s.PGSQL.{port}") as proxy:
        yield proxy


@pytest.fixture
def far_client(make_app, network, database_url, monkeypatch):
    """A client of a service that reaches its database over that network."""
    monkeypatch.setattr(connections, "SLACK_S", SLACK_S)
    far = make_url(database_url).set(host="127.0.0.1", port=network.port, query={})
    return make_app(
        database_url=far.render_as_string(hide_password=False), deadline_ms=DEADLINE_MS
    ).test_client()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/transactions", None),
        ("POST", "/operation", {"operation_type": "DEPOSIT", "amount": 1}),
    ],
    ids=["read", "history", "operation"],
)
def test_network_that_hangs_means_503_in_good_time(
    far_client, network, make_wallet, method, path, body
):
    path = f"/api/v1/wallets/{make_wallet()}{path}"
    assert far_client.open(path, method=method, json=body).status_code == 200
    network.hang()
    began = time.monotonic()
    answer = far_client.open(path, method=method, json=body)
    assert time.monotonic() - began < BOUND_S
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    network.resume()
    assert far_client.open(path, method=method, json=body).status_code == 200


def test_server_that_does_not_greet_means_503_in_good_time(far_client, network):
    network.hang()
    began = time.monotonic()
    # psycopg gives an attempt to connect two seconds at least.
    assert far_client.get("/readyz").status_code == 503
    assert time.monotonic() - began < 2 + BOUND_S
    network.resume()
    assert far_client.get("/readyz").status_code == 200


@pytest.fixture
def silent_server():
    """The connection string of a server that accepts and never greets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"host=127.0.0.1 port={server.getsockname()[1]}"


def test_attempt_to_connect_begins_only_if_it_can_end_in_time(app, silent_server):
    with app.test_request_context():
        app.preprocess_request()
        moment = connections.deadline.get() - connections.LEAST_CONNECT_TIMEOUT_S
        assert connections.connect_until.get() == pytest.approx(moment)
        connections.connect_until.set(time.monotonic())
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="no time left"):
            connections.connect(silent_server)
        assert time.monotonic() - began < 1


def test_each_of_several_hosts_is_left_the_time_of_an_attempt(make_app):
    url = "postgresql+psycopg://postgres@/wallet?host=a:1&host=b:2"
    with make_app(database_url=url).test_request_context() as request:
        request.app.preprocess_request()
        moment = connections.deadline.get() - 2 * connections.LEAST_CONNECT_TIMEOUT_S
        assert connections.connect_until.get() == pytest.approx(moment)


def test_attempt_to_connect_that_fails_leaves_no_socket(silent_server, monkeypatch):
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 2)
    process = psutil.Process()
    gc.disable()
    try:
        before = process.num_fds()
        with pytest.raises(psycopg.OperationalError):
            connections.connect(silent_server)
        assert process.num_fds() == before
    finally:
        gc.enable()


def test_hint_for_the_background_is_given_up_in_good_time(
    far_client, network, make_wallet, monkeypatch
):
    monkeypatch.setattr(hints, "silent_until", 0.0)
    with far_client.application.test_request_context():
        assert hints.send(hints.ROLL_UP, 0)
        far_client.application.preprocess_request()
        network.hang()
        began = time.monotonic()
        assert not hints.send(hints.ROLL_UP, 0)
        assert time.monotonic() - began < BOUND_S
        network.resume()


def test_work_without_a_request_has_no_deadline(context):
    assert connections.remaining_s() == float("inf")


@pytest.fixture
def pooled(app, make_app):
    """A service that takes each transaction for one with another session."""
    pooled = make_app(
        transaction_pooling=True,
        statement_timeout_ms=4567,
        lock_timeout_ms=123,
        deadline_ms=8900,
    )
    with pooled.app_context():
        yield pooled


LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
SHOW_LIMITS = f"SELECT {', '.join(f'current_setting({name!r})' for name in LIMITS)}"


@pytest.mark.parametrize("context_manager", [reading, transaction, pipeline])
def test_each_transaction_of_a_pooler_brings_its_limits(pooled, context_manager):
    with context_manager() as connection:
        query = SHOW_LIMITS if context_manager is pipeline else text(SHOW_LIMITS)
        shown = connection.execute(query).fetchone()
    assert tuple(shown) == ("4567ms", "123ms", "8900ms")


def test_nothing_of_ours_stays_in_a_poolers_session(pooled):
    for _ in range(10):
        wallets.create(currency="USD")
    with db.engine.connect() as connection:
        raw = connection.connection.driver_connection
        raw.rollback()
        raw.autocommit = True
        limits = raw.execute(SHOW_LIMITS).fetchone()
        prepared = raw.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        raw.autocommit = False
    assert limits == ("0", "0", "0")
    assert prepared == (0,)
