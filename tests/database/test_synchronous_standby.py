"""A COMMIT that did not wait for its synchronous standby is no 200."""

import threading
import uuid
from pathlib import Path

import flask_migrate
import pytest
import replicas
from every_call import assert_try_again, money_calls, other_writes, send

from proofs.tcp_proxy import Proxy
from wallet_app.background.celery_app import connect_to_tables
from wallet_app.config import Settings, with_driver
from wallet_app.database import db

pytestmark = pytest.mark.slow
MIGRATIONS = Path(__file__).parents[2] / "migrations"


@pytest.fixture(scope="module")
def pair():
    with replicas.replicated() as pair:
        yield pair


@pytest.fixture
def service(make_app, pair):
    """A service whose primary has a standby; the link between them holds afterwards."""
    app = make_app(database_url=pair.url, deadline_ms=3000, transaction_pooling=False)
    with app.app_context():
        flask_migrate.upgrade(directory=str(MIGRATIONS))
    yield app
    pair.link.resume()
    pair.wait_until_replicated()


@pytest.fixture
def client(service):
    return service.test_client()


@pytest.fixture
def two(client):
    wallets = [client.post("/api/v1/wallets", json={}).get_json() for _ in range(2)]
    uuids = [uuid.UUID(wallet["uuid"]) for wallet in wallets]
    for one in uuids:
        assert send(client, money_calls(one, one)[0]).status_code == 200
    return uuids


class Impatient:
    """Ends, or cancels, every wait for the standby for as long as the block lasts."""

    def __init__(self, pair, function, *, times=1_000_000):
        self.pair, self.function, self.times = pair, function, times
        self.ended = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(0.01) and self.ended < self.times:
            self.ended += self.pair.signal_waiting(self.function)
        self.pair.link.resume()

    def __enter__(self):
        self.pair.link.hang()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
@pytest.mark.parametrize("call", range(4))
def test_money_is_unknown_while_waits_for_the_standby_are_ended(
    client, two, pair, function, call
):
    with Impatient(pair, function) as ends:
        answer = send(client, money_calls(*two)[call])
    assert ends.ended > 0
    if answer.status_code == 200:
        # A batch that is not atomic answers for each of its members.
        members = answer.get_json()["outcomes"]
        assert {one["status"] for one in members} == {503}
        assert {one["error"]["applied"] for one in members} == {"unknown"}
    else:
        assert_try_again(answer, applied="unknown")


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
def test_money_is_a_200_once_the_standby_has_it(client, two, pair, function):
    with Impatient(pair, function, times=1):
        answer = send(client, money_calls(*two)[0])
    assert answer.status_code == 200
    assert answer.headers["Idempotent-Replayed"] == "true"


def test_wait_for_the_standby_outlasts_the_statement_timeout(make_app, pair, two):
    """PostgreSQL stops counting before it commits, so no timeout cancels the wait."""
    client = make_app(
        database_url=pair.url,
        deadline_ms=1500,
        statement_timeout_ms=200,
        lock_timeout_ms=100,
        transaction_pooling=False,
    ).test_client()
    pair.link.hang()
    answer = send(client, money_calls(*two)[0])
    assert_try_again(answer, applied="unknown")


def test_what_a_lookup_finds_is_on_the_standby(client, two, pair):
    deposit = money_calls(*two)[0]
    deposit[2]["reference_id"] = str(uuid.uuid4())
    look_up = "GET", f"/api/v1/operations/{deposit[2]['reference_id']}", None
    with Impatient(pair, "pg_cancel_backend"):
        assert_try_again(send(client, deposit), applied="unknown")
        assert_try_again(send(client, look_up))
    assert send(client, look_up).status_code == 200


def test_a_retry_elsewhere_finds_what_the_standby_does_not_have_and_waits(
    make_app, client, two, pair
):
    deposit = money_calls(*two)[0]
    deposit[2]["reference_id"] = str(uuid.uuid4())
    other = make_app(
        database_url=pair.url, deadline_ms=3000, transaction_pooling=False
    ).test_client()
    with Impatient(pair, "pg_cancel_backend"):
        assert_try_again(send(client, deposit), applied="unknown")
        assert_try_again(send(other, deposit), applied="unknown")
    assert send(other, deposit).headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("call", range(2))
def test_other_writes_are_a_503_if_the_standby_may_not_have_them(
    client, two, pair, call
):
    with Impatient(pair, "pg_cancel_backend"):
        assert_try_again(send(client, other_writes(two[0])[call]))


def test_wallet_that_is_created_again_is_on_the_standby(client, pair):
    create = "POST", "/api/v1/wallets", {"uuid": str(uuid.uuid4())}
    with Impatient(pair, "pg_cancel_backend"):
        assert_try_again(send(client, create))
        assert_try_again(send(client, create))
    assert send(client, create).headers["Idempotent-Replayed"] == "true"


def test_of_several_hosts_the_one_that_takes_writes_is_used(make_app, pair):
    """libpq's own way to write it; the standby is asked first, and refuses."""
    with (
        Proxy(pair.socket_of(pair.standby)) as standby,
        Proxy(pair.socket_of(pair.primary)) as primary,
    ):
        settings = Settings(
            database_url=with_driver(
                f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:"
                f"{primary.port}/wallet?target_session_attrs=read-write"
            )
        )
        app = make_app(database_url=settings.database_url, transaction_pooling=False)
        assert app.test_client().post("/api/v1/wallets", json={}).status_code == 201
        with connect_to_tables(settings, settings.database_url or "") as connection:
            assert connection.info.port == primary.port
        with app.app_context():
            db.engine.dispose()


def test_a_role_that_wants_no_warnings_gets_this_one(make_app, pair, two):
    with pair.connect() as connection:
        connection.execute("ALTER ROLE postgres SET client_min_messages = 'error'")
    try:
        client = make_app(
            database_url=pair.url, deadline_ms=3000, transaction_pooling=False
        ).test_client()
        with Impatient(pair, "pg_cancel_backend"):
            answer = send(client, money_calls(*two)[0])
    finally:
        with pair.connect() as connection:
            connection.execute("ALTER ROLE postgres RESET client_min_messages")
    assert_try_again(answer, applied="unknown")
