"""Reads that a replica answers if it knows enough; nobody notices if it does not."""

import logging
import time
from pathlib import Path

import flask_migrate
import psycopg
import pytest
import replicas
import servers

from proofs.tcp_proxy import Proxy
from wallet_app.database import replica
from wallet_app.standalone.embedded_cluster import PORT, SUPERUSER
from wallet_app.statements import entry_stream

pytestmark = pytest.mark.slow
MIGRATIONS = Path(__file__).parents[2] / "migrations"


@pytest.fixture(scope="module")
def pair():
    with replicas.replicated() as pair:
        yield pair


@pytest.fixture
def link(pair):
    """What the service reaches the replica by."""
    with Proxy(Path(pair.standby.data_dir) / f".s.PGSQL.{PORT}") as link:
        yield link


@pytest.fixture
def service(make_app, pair, link):
    url = f"postgresql+psycopg://{SUPERUSER}@127.0.0.1:{link.port}/wallet"
    app = make_app(
        database_url=pair.url,
        replica_url=url,
        deadline_ms=6000,
        transaction_pooling=False,
    )
    with app.app_context():
        flask_migrate.upgrade(directory=str(MIGRATIONS))
        yield app


@pytest.fixture
def client(service):
    return service.test_client()


@pytest.fixture
def wallet(client):
    """The path of a wallet that the replica knows."""
    path = f"/api/v1/wallets/{client.post('/api/v1/wallets', json={}).json['uuid']}"
    deposit(client, path)
    return path


def deposit(client, path):
    body = {"operation_type": "DEPOSIT", "amount": 1}
    assert client.post(f"{path}/operation", json=body).status_code == 200


@pytest.fixture
def standby(pair):
    with psycopg.connect(servers.dsn(pair.standby_url), autocommit=True) as connection:
        yield connection
        connection.execute("SELECT pg_wal_replay_resume()")


@pytest.fixture
def by_primary(monkeypatch):
    """Notes each read that the primary had to answer."""
    answered = []
    reading = replica.reading

    def noting():
        answered.append(True)
        return reading()

    monkeypatch.setattr(replica, "reading", noting)
    return answered


def counts(client, path):
    """What history, statistics and summaries say of how often money moved."""
    statistics = client.get(f"{path}/statistics").json["operations"]
    days = client.get(f"{path}/summaries").json["data"]
    return (
        len(client.get(f"{path}/transactions").json["data"]),
        sum(one["count"] for one in statistics),
        sum(one["count"] for day in days for one in day["operations"]),
    )


def test_replica_that_is_as_far_answers(client, wallet, pair, by_primary):
    pair.wait_until_replicated()
    assert counts(client, wallet) == (1, 1, 1)
    assert by_primary == []


def test_what_was_answered_is_read_though_the_replica_is_behind(
    client, wallet, pair, standby, by_primary
):
    pair.wait_until_replicated()
    standby.execute("SELECT pg_wal_replay_pause()")
    deposit(client, wallet)
    assert counts(client, wallet) == (2, 2, 2)
    assert len(by_primary) == 3
    standby.execute("SELECT pg_wal_replay_resume()")
    pair.wait_until_replicated()
    assert counts(client, wallet) == (2, 2, 2)
    assert len(by_primary) == 3


def test_statement_is_read_from_the_replica(client, wallet, pair, service, by_primary):
    pair.wait_until_replicated()
    with pair.connect() as connection:
        (wallet_id,) = connection.execute("SELECT max(id) FROM wallets").fetchone()
    around = entry_stream.balances(wallet_id, 0, 1)
    (chunk,) = entry_stream.read_chunks(wallet_id, 0, 1, note_progress=lambda _: None)
    assert (around.closing, len(chunk), by_primary) == (1, 1, [])


def test_replica_that_hangs_costs_a_moment_and_then_nothing(
    client, wallet, pair, link, service, by_primary, caplog, monkeypatch
):
    pair.wait_until_replicated()
    assert counts(client, wallet) == (1, 1, 1)
    link.hang()
    with caplog.at_level(logging.WARNING, "wallet_app.database.replica"):
        assert counts(client, wallet) == (1, 1, 1)
        assert counts(client, wallet) == (1, 1, 1)
    assert len(by_primary) == 6
    assert len(caplog.records) == 1
    link.resume()
    # Asked again once its pause is over.
    state = service.extensions["replica"]
    assert state.ask_again_at > time.monotonic()
    monkeypatch.setattr(state, "ask_again_at", 0)
    assert counts(client, wallet) == (1, 1, 1)
    assert len(by_primary) == 6


def test_replica_that_cancels_a_statement_leaves_it_to_the_primary(
    client, wallet, pair, by_primary, monkeypatch
):
    """It may have to, to go on replaying; the next read may be its own again."""
    pair.wait_until_replicated()
    read = replica.Replica.read

    def cancelled(self, is_fresh, found):
        def conflict(connection):
            connection.exec_driver_sql(
                "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$"
            )
            return found(connection)

        return read(self, is_fresh, conflict)

    with monkeypatch.context() as patch:
        patch.setattr(replica.Replica, "read", cancelled)
        assert client.get(f"{wallet}/transactions").status_code == 200
    assert len(by_primary) == 1
    assert client.get(f"{wallet}/transactions").status_code == 200
    assert len(by_primary) == 1
