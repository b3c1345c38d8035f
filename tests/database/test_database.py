"""Connections: bounded in number and in time, and right about transactions."""

from contextlib import ExitStack, suppress

import psycopg
import pytest
from flask import current_app
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.config import Settings
from wallet_app.database import db, pipeline, reading, transaction
from wallet_app.database.engine import RESERVED_CONNECTIONS, engine_options
from wallet_app.ledger import wallets

ADD_WALLET = text("INSERT INTO wallets (uuid) VALUES (gen_random_uuid())")


def count_wallets():
    with reading() as connection:
        return connection.scalar(text("SELECT count(*) FROM wallets"))


def show(name):
    with reading() as connection:
        return connection.scalar(text(f"SHOW {name}"))


def test_every_wait_of_a_connection_has_its_bound(make_app):
    app = make_app(lock_timeout_ms=123, statement_timeout_ms=4567, deadline_ms=8900)
    with app.app_context():
        assert show("lock_timeout") == "123ms"
        assert show("statement_timeout") == "4567ms"
        assert show("idle_in_transaction_session_timeout") == "8900ms"


def test_a_commit_waits_until_it_is_durable(context):
    assert show("synchronous_commit") == "on"
    assert show("fsync") == "on"


def test_transactions_have_the_databases_isolation_level(context):
    """READ COMMITTED, unless the operator has chosen a stricter one."""
    with transaction() as connection:
        level = connection.scalar(text("SHOW transaction_isolation"))
    assert level == show("default_transaction_isolation")


def test_options_in_the_url_are_kept(make_app, database_url):
    extra = "&" if "?" in database_url else "?"
    url = f"{database_url}{extra}options=-c%20work_mem%3D7MB"
    with make_app(database_url=url, lock_timeout_ms=321).app_context():
        assert (show("work_mem"), show("lock_timeout")) == ("7MB", "321ms")


def test_pool_holds_what_is_set_and_no_more():
    options = engine_options(Settings(pool_size=20), "postgresql+psycopg://h/d")
    assert options["max_overflow"] == 0
    assert options["pool_size"] == 20


def test_requests_that_share_the_pool_leave_connections_to_the_money_path(context):
    with ExitStack() as stack:
        for _ in range(Settings.pool_size - RESERVED_CONNECTIONS):
            stack.enter_context(reading())
        places = current_app.extensions["shared_connections"]
        assert not places.acquire(blocking=False)
        with pipeline() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert places.acquire(blocking=False)
    places.release()


def test_request_that_finds_no_connection_free_in_time_is_told_so(context, monkeypatch):
    monkeypatch.setattr("wallet_app.database.transactions.POOL_TIMEOUT_S", 0.01)
    with ExitStack() as stack:
        for _ in range(Settings.pool_size - RESERVED_CONNECTIONS):
            stack.enter_context(reading())
        with pytest.raises(PoolTimeout), reading():
            pass


def test_transaction_is_committed_at_its_end(context):
    with transaction() as connection:
        connection.execute(
            text("INSERT INTO wallets (uuid) VALUES (gen_random_uuid())")
        )
        assert count_wallets() == 0
    assert count_wallets() == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", [transaction, pipeline])
def test_transaction_is_rolled_back_on_any_error(context, kind, error):
    def work():
        with kind() as connection:
            connection.execute(ADD_WALLET.text if kind is pipeline else ADD_WALLET)
            raise error

    with pytest.raises(error):
        work()
    assert count_wallets() == 0
    # Nor does the connection take anything of it to the next transaction.
    with pytest.raises(ZeroDivisionError):
        add_wallet_and_fail()
    assert count_wallets() == 0


def add_wallet_and_fail():
    with transaction() as connection:
        connection.execute(ADD_WALLET)
        raise ZeroDivisionError


def test_pipeline_whose_error_was_overlooked_is_not_committed(context):
    def work():
        with pipeline() as connection:
            connection.execute(ADD_WALLET.text)
            with suppress(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1 / 0").fetchone()

    with pytest.raises(psycopg.errors.PipelineAborted):
        work()
    assert count_wallets() == 0


def test_reads_hold_no_snapshot_between_their_statements(context, settings):
    """A snapshot that is held keeps PostgreSQL from tidying a hot wallet's row."""
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM wallets")) == 0
        wallets.create(currency="USD")
        assert connection.scalar(text("SELECT count(*) FROM wallets")) == 1
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with db.engine.connect() as observer:
            row = observer.execute(
                text(
                    "SELECT state, backend_xmin FROM pg_stat_activity WHERE pid = :pid"
                ),
                {"pid": pid},
            ).one()
    # A pooler is asked for a transaction, which has no snapshot between statements.
    state = "idle in transaction" if settings.transaction_pooling else "idle"
    assert tuple(row) == (state, None)


def test_connections_go_back_to_the_pool(context):
    wallets.create(currency="USD")
    count_wallets()
    assert db.engine.pool.checkedout() == 0
