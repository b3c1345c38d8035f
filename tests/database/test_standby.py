"""A failover, a full server, sessions that are ended: the real thing."""

import time
import uuid

import pytest
from every_call import (
    WALLETS,
    assert_not_available,
    assert_try_again,
    driver_connections,
    money_calls,
    other_writes,
    reads,
    send,
)
from failover import THEIRS, read_only
from sqlalchemy.engine import make_url

from wallet_app.background.tasks import OutageError
from wallet_app.database import db, engine
from wallet_app.statistics.tasks import roll_up

pytestmark = pytest.mark.usefixtures("short_pauses")


def test_database_that_takes_no_writes_is_read_and_refuses_the_rest(
    client, runner, fresh_pool, two, admin
):
    with read_only(admin):
        db.engine.dispose()
        for call in money_calls(*two):
            assert_try_again(send(client, call), applied="no")
        for call in other_writes(two[0]):
            assert_try_again(send(client, call))
        for call in reads(two[0]):
            assert send(client, call).status_code == 200
        with pytest.raises(OutageError, match="read-only"):
            roll_up()
        assert_not_available(runner, "create")
        assert_not_available(runner, "deposit", two[0], 1)
        assert_try_again(client.get("/readyz"))
    db.engine.dispose()
    assert client.get("/readyz").status_code == 200
    for call in money_calls(*two):
        assert send(client, call).status_code == 200


@pytest.fixture
def standby(direct):
    """Let the pool's connections lead to what has become a standby; returns them."""
    with direct.app_context():
        connections = driver_connections(5)
        for one in connections:
            one.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            one.commit()
        yield connections


@pytest.mark.parametrize("call", range(4))
def test_money_moves_over_a_new_connection_if_the_old_ones_lead_to_a_standby(
    direct, two, standby, call
):
    client = direct.test_client()
    assert send(client, money_calls(*two)[call]).status_code == 200
    assert not set(standby) & set(driver_connections(5))
    assert all(one.closed for one in standby)


@pytest.mark.parametrize("idle_s", [0, 10])
def test_one_write_at_most_meets_the_connections_that_lead_to_a_standby(
    direct, standby, monkeypatch, idle_s
):
    monkeypatch.setattr(engine, "IDLE_BEFORE_PING_S", idle_s)
    client = direct.test_client()
    statuses = [client.post(WALLETS, json={}).status_code for _ in range(5)]
    assert statuses == [503 if idle_s else 201, *[201] * 4]
    assert not set(standby) & set(driver_connections(5))


def test_session_that_was_idle_for_too_long_costs_nobody_anything(direct, two):
    with direct.app_context():
        for one in driver_connections(3):
            one.execute("SET idle_session_timeout = 10")
            one.commit()
        time.sleep(0.1)
        assert send(direct.test_client(), money_calls(*two)[0]).status_code == 200


@pytest.fixture
def clerk(admin):
    """A role that may do all that the service does, as often as it is let in."""
    name = f"clerk_{uuid.uuid4().hex[:12]}"
    admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    for kind in ("TABLES", "SEQUENCES"):
        admin.execute(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {name}")
    yield name
    admin.execute(f"SELECT pg_terminate_backend(pid){THEIRS} AND usename = '{name}'")
    admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_server_without_a_connection_left_is_a_503_until_there_is_one(
    make_app, database_url, admin, two, clerk
):
    url = make_url(database_url).set(username=clerk, password="secret")
    own = url.render_as_string(hide_password=False)
    app = make_app(database_url=own, transaction_pooling=False)
    client, runner = app.test_client(), app.test_cli_runner()
    admin.execute(f"ALTER ROLE {clerk} CONNECTION LIMIT 0")
    for call in money_calls(*two):
        assert_try_again(send(client, call), applied="no")
    for call in other_writes(two[0]) + reads(two[0]):
        assert_try_again(send(client, call))
    with app.app_context(), pytest.raises(OutageError, match="too many connections"):
        roll_up.run()
    assert_not_available(runner, "show", two[0])
    assert_not_available(runner, "deposit", two[0], 1)
    admin.execute(f"ALTER ROLE {clerk} CONNECTION LIMIT -1")
    for call in money_calls(*two) + other_writes(two[0]) + reads(two[0]):
        assert send(client, call).status_code < 300
