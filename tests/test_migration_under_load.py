"""The release before tenants goes on working while its tables change."""

import threading
import uuid
from pathlib import Path

import flask_migrate
import psycopg
import pytest
from ops import wait_until
from sqlalchemy import text
from sqlalchemy.engine import make_url

from wallet_app.database import db
from wallet_app.ledger import wallets
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statistics import rollup

MIGRATIONS = str(Path(__file__).parent.parent / "migrations")
# As that release sends them.
CREATE = (
    "WITH new AS (INSERT INTO wallets (uuid, currency) VALUES (%s, 'USD')"
    " ON CONFLICT (uuid) DO NOTHING RETURNING id)"
    " INSERT INTO journal (kind, wallet_ids) SELECT 'created', array_agg(id) FROM new"
)
LOCK = (
    "SELECT id, uuid, balance, currency, status, version, updated_at FROM wallets"
    " WHERE uuid = ANY(%s) ORDER BY id FOR UPDATE"
)
POSTED = "SELECT reference_id FROM transactions WHERE reference_id = ANY(%s)"
UPDATE = (
    "UPDATE wallets SET balance = s.balance, version = s.version, updated_at = now()"
    " FROM unnest(%s::bigint[], %s::numeric[], %s::bigint[])"
    " AS s (id, balance, version)"
    " WHERE wallets.id = s.id"
)
INSERT = (
    "WITH journaled AS (INSERT INTO journal (kind, wallet_ids, seqs)"
    " VALUES ('posted', ARRAY[%(id)s::bigint], ARRAY[%(seq)s::bigint]))"
    " INSERT INTO transactions (wallet_id, seq, operation_type, amount, balance_before,"
    " balance_after, reference_id, created_at)"
    " VALUES (%(id)s, %(seq)s, 'DEPOSIT', 1, %(held)s, %(held)s + 1, %(key)s, now())"
)
COUNT = (
    "INSERT INTO service_days (currency, day, operation_type, count, total)"
    " VALUES ('USD', current_date, 'DEPOSIT', 0, 0)"
    " ON CONFLICT (currency, day, operation_type) DO UPDATE"
    " SET count = service_days.count + excluded.count"
)


class OldRelease:
    """Clients of the release before, each with a connection, until they are stopped."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url).set(drivername="postgresql")
        self.shared = uuid.uuid4()
        self.ended = threading.Event()
        self.posted = 0
        self.counting = threading.Lock()
        self.errors: list[BaseException] = []
        self.threads = [threading.Thread(target=self.work) for _ in range(3)]

    def work(self) -> None:
        where = self.url.render_as_string(hide_password=False)
        try:
            with psycopg.connect(where) as connection:
                while not self.ended.is_set():
                    self.create_and_post(connection)
        except BaseException as error:
            self.errors.append(error)

    def create_and_post(self, connection: psycopg.Connection) -> None:
        wallet, key = uuid.uuid4(), uuid.uuid4()
        connection.execute(CREATE, [wallet])
        connection.commit()
        locked = connection.execute(LOCK, [[wallet, self.shared]]).fetchall()
        assert connection.execute(POSTED, [[key]]).fetchall() == []
        # One of its own, and one that all of them use.
        for row in locked:
            row_id, _, held, _, _, version, _ = row
            connection.execute(UPDATE, [[row_id], [held + 1], [version + 1]])
            facts = {"id": row_id, "seq": version + 1, "held": held}
            connection.execute(INSERT, facts | {"key": uuid.uuid4()})
        connection.commit()
        connection.execute(COUNT)
        connection.commit()
        with self.counting:
            self.posted += len(locked)

    def __enter__(self) -> "OldRelease":
        with psycopg.connect(
            self.url.render_as_string(hide_password=False)
        ) as connection:
            connection.execute(CREATE, [self.shared])
        for thread in self.threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def goes_on(self) -> None:
        """Wait until it has posted some more."""
        before = self.posted
        wait_until(lambda: self.errors or self.posted > before + 20, seconds=60)


@pytest.fixture
def old_release(make_app, empty_database):
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS, revision="0009")
        with OldRelease(empty_database) as release:
            yield release


def test_the_release_before_works_while_tenants_come_and_go(old_release):
    flask_migrate.upgrade(directory=MIGRATIONS, revision="0010")
    old_release.goes_on()
    flask_migrate.downgrade(directory=MIGRATIONS, revision="0009")
    old_release.goes_on()
    flask_migrate.upgrade(directory=MIGRATIONS, revision="0010")
    old_release.goes_on()
    # Both at once: the new one works beside it.
    for _ in range(20):
        wallets.create(currency="USD")
    old_release.ended.set()
    for thread in old_release.threads:
        thread.join()
    assert old_release.errors == []
    flask_migrate.upgrade(directory=MIGRATIONS)
    with db.engine.connect() as connection:
        stored = connection.scalar(text("SELECT count(*) FROM transactions"))
        tenants = connection.scalars(
            text("SELECT tenant_id FROM transactions UNION SELECT tenant_id FROM feed")
        ).all()
        shared = wallets.find(connection, DEFAULT_TENANT_ID, old_release.shared)
    assert stored == old_release.posted
    assert tenants == [DEFAULT_TENANT_ID]
    assert shared.balance == shared.version > 0
    assert rollup.roll_up() == stored


def test_an_upgrade_that_was_interrupted_is_taken_up(old_release):
    flask_migrate.upgrade(directory=MIGRATIONS, revision="0010")
    with db.engine.begin() as connection:
        # As if it had ended before it could write its number down.
        connection.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    flask_migrate.upgrade(directory=MIGRATIONS, revision="0010")
    old_release.goes_on()
    assert old_release.errors == []
