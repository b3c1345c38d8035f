"""The migrations: they make what the models say, and can be taken back."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import flask_migrate
import pytest
import recount
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from wallet_app.database import db
from wallet_app.feed import events, relay
from wallet_app.ledger import wallets
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statistics import rollup, service_statistics

MIGRATIONS = str(Path(__file__).parent.parent / "migrations")


@pytest.fixture
def migrated_database(make_app, empty_database):
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS)
    return empty_database


def schema():
    """Every relation, column, index and constraint, as PostgreSQL describes it."""
    queries = [
        "SELECT relkind, relname, reloptions::text FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace",
        "SELECT table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace",
    ]
    with db.engine.connect() as connection:
        return [sorted(map(str, connection.execute(text(query)))) for query in queries]


def check(app):
    """The exit code of `flask db check`."""
    runner = app.test_cli_runner()
    return runner.invoke(args=["db", "check", "--directory", MIGRATIONS]).exit_code


def test_models_and_migrations_agree(app):
    assert check(app) == 0


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE wallets ADD COLUMN colour text",
        "ALTER TABLE transactions DROP COLUMN description",
        "ALTER TABLE wallets DROP CONSTRAINT ck_wallets_available_not_negative",
        "ALTER TABLE transactions DROP CONSTRAINT uq_transactions_wallet_id_seq",
        "ALTER TABLE transactions ALTER amount TYPE double precision",
        "DROP INDEX ix_transactions_transfer_id",
    ],
)
def test_a_difference_between_models_and_migrations_is_noticed(
    make_app, migrated_database, change
):
    app = make_app(database_url=migrated_database)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(change))
    assert check(app) == 1


def test_migrations_have_one_head():
    assert len(ScriptDirectory(MIGRATIONS).get_heads()) == 1


def test_a_migration_leaves_no_connection_without_its_time_limit(make_app):
    with make_app().app_context():
        flask_migrate.upgrade(directory=MIGRATIONS)
        with db.engine.connect() as connection:
            assert connection.scalar(text("SHOW statement_timeout")) == "10s"


def test_migrations_go_down_to_nothing_and_up_again(make_app, empty_database):
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS)
        first = schema()
        assert {"wallets", "transactions"} <= set(inspect(db.engine).get_table_names())
        flask_migrate.downgrade(directory=MIGRATIONS, revision="base")
        assert inspect(db.engine).get_table_names() == ["alembic_version"]
        with db.engine.connect() as connection:
            left = connection.scalars(
                text(
                    "SELECT relname FROM pg_class WHERE relkind IN ('S', 'v', 'm')"
                    " AND relnamespace = 'public'::regnamespace"
                )
            ).all()
        assert left == []
        flask_migrate.upgrade(directory=MIGRATIONS)
        assert schema() == first


def test_each_migration_can_be_taken_back_and_repeated(make_app, empty_database):
    with make_app(database_url=empty_database).app_context():
        versions = sorted(Path(MIGRATIONS, "versions").glob("*.py"))
        for _ in versions:
            flask_migrate.upgrade(directory=MIGRATIONS, revision="+1")
            flask_migrate.downgrade(directory=MIGRATIONS, revision="-1")
            flask_migrate.upgrade(directory=MIGRATIONS, revision="+1")
        at_the_end = schema()
        flask_migrate.upgrade(directory=MIGRATIONS)
        assert schema() == at_the_end


def test_upgrade_that_fails_goes_on_from_the_migration_that_failed(
    make_app, empty_database
):
    with make_app(database_url=empty_database).app_context():
        with db.engine.begin() as connection:
            # In the way of a later migration.
            connection.execute(text("CREATE TABLE wallet_rollups (x int)"))
        with pytest.raises(Exception, match="wallet_rollups"):
            flask_migrate.upgrade(directory=MIGRATIONS)
        tables = {"alembic_version", "transactions", "wallet_rollups", "wallets"}
        assert set(inspect(db.engine).get_table_names()) == tables
        with db.engine.begin() as connection:
            connection.execute(text("DROP TABLE wallet_rollups"))
        flask_migrate.upgrade(directory=MIGRATIONS)
        assert "webhooks" in inspect(db.engine).get_table_names()


def test_migration_that_meets_a_lock_gives_up_before_requests_queue_behind_it(
    make_app, empty_database
):
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS, revision="0004")
        before = schema()
        with db.engine.begin() as connection:
            connection.execute(text("SELECT FROM transactions"))
            with pytest.raises(OperationalError, match="lock timeout"):
                flask_migrate.upgrade(directory=MIGRATIONS)
        assert schema() == before
        flask_migrate.upgrade(directory=MIGRATIONS)
        assert schema() != before


def test_upgrade_of_an_upgraded_database_changes_nothing(context):
    before = schema()
    flask_migrate.upgrade(directory=MIGRATIONS)
    assert schema() == before


def test_a_transfers_other_wallet_survives_the_way_up_and_down(
    make_app, empty_database
):
    """Stored as an id up to 0004, as a uuid from then on."""
    source, target = uuid.uuid4(), uuid.uuid4()
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS, revision="0004")
        with db.engine.begin() as connection:
            add = text("INSERT INTO wallets (uuid) VALUES (:uuid) RETURNING id")
            ids = [connection.scalar(add, {"uuid": one}) for one in (source, target)]
            connection.execute(
                text(
                    "INSERT INTO transactions (wallet_id, seq, operation_type, amount,"
                    " balance_before, balance_after, reference_id, transfer_id,"
                    " counterparty_id, created_at) VALUES"
                    " (:a, 1, 'DEPOSIT', 1, 0, 1, NULL, NULL, NULL, now()),"
                    " (:a, 2, 'TRANSFER_OUT', 1, 1, 0, :uuid, :uuid, :b, now()),"
                    " (:b, 1, 'TRANSFER_IN', 1, 0, 1, NULL, :uuid, :a, now())"
                ),
                {"a": ids[0], "b": ids[1], "uuid": source},
            )
        flask_migrate.upgrade(directory=MIGRATIONS)
        assert others("counterparty_uuid") == [None, target, source]
        flask_migrate.downgrade(directory=MIGRATIONS, revision="0004")
        assert others("counterparty_id") == [None, ids[1], ids[0]]


def others(column):
    with db.engine.connect() as connection:
        statement = text(f"SELECT {column} FROM transactions ORDER BY id")
        return list(connection.scalars(statement))


def test_what_was_not_counted_before_there_was_a_journal_is_counted_once(
    make_app, empty_database
):
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS, revision="0005")
        with db.engine.begin() as connection:
            connection.execute(
                text(
                    "WITH one AS (INSERT INTO wallets (uuid, balance, version)"
                    " SELECT gen_random_uuid(), 3, 2 FROM generate_series(1, 1200)"
                    " RETURNING id) INSERT INTO transactions (wallet_id, seq,"
                    " operation_type, amount, balance_before, balance_after,"
                    " created_at)"
                    " SELECT id, 1, 'DEPOSIT', 5, 0, 5, now() FROM one UNION ALL"
                    " SELECT id, 2, 'WITHDRAW', 2, 5, 3, now() FROM one"
                )
            )
            # Of one wallet, one of two transactions has been counted.
            for table, values in {
                "wallet_rollups (wallet_id, last_seq)": "(1, 1)",
                "wallet_totals": "(1, 'DEPOSIT', 1, 5, 5, 5, now(), now())",
                "wallet_days": "(1, current_date, 'DEPOSIT', 1, 5, 5, 5, 1, 1)",
                "service_days": "('USD', current_date, 'DEPOSIT', 1, 5)",
            }.items():
                connection.execute(text(f"INSERT INTO {table} VALUES {values}"))
        flask_migrate.upgrade(directory=MIGRATIONS)
        before = currency_figures()
        assert rollup.roll_up() == 2 * 1200 - 1
        assert rollup.roll_up() == 0
        assert currency_figures() == before
        assert before["wallets"] == 1200
        assert (before["total_balance"], before["balanced"]) == (3600, True)
        with db.engine.connect() as connection:
            assert recount.differences(connection) == {}


def test_changes_are_told_once_the_release_before_is_gone(make_app, empty_database):
    """What it wrote is told; on the way back, nothing is left that it does not know."""
    app = make_app(database_url=empty_database)
    this = {"tenant_id": DEFAULT_TENANT_ID, "uuid": uuid.uuid4()}
    with app.app_context():
        flask_migrate.upgrade(directory=MIGRATIONS, revision="0020")
        with db.engine.begin() as connection:
            add = text("INSERT INTO wallets (uuid) VALUES (:uuid) RETURNING id")
            ids = {"ids": [connection.scalar(add, {"uuid": this["uuid"]})]}
            for kind in ("created", "behind"):
                note = f"INSERT INTO journal (kind, wallet_ids) VALUES ('{kind}', :ids)"
                connection.execute(text(note), ids)
        flask_migrate.upgrade(directory=MIGRATIONS, revision="0021")
        wallets.create(currency="USD", owner="ann")
        wallets.change(**this, changes={"owner": "not told"})
        assert told_owners() == [None, "ann"]
        flask_migrate.upgrade(directory=MIGRATIONS)
        wallets.change(**this, changes={"owner": "bob"})
        assert told_owners() == [None, "ann", "bob"]
        wallets.change(**this, changes={"owner": "in the journal"})
        flask_migrate.downgrade(directory=MIGRATIONS, revision="0020")
        with db.engine.connect() as connection:
            fed = connection.execute(text("SELECT kind, seqs FROM feed"))
            assert fed.all() == [("created", []), ("created", [])]
            left = connection.scalars(text("SELECT kind FROM journal"))
            assert left.all() == ["behind"]
        flask_migrate.upgrade(directory=MIGRATIONS)
        wallets.change(**this, changes={"owner": "carol"})
        assert told_owners() == [None, None, "carol"]


def told_owners():
    relay.relay()
    with db.engine.connect() as connection:
        page = events.read_page(connection, DEFAULT_TENANT_ID, after=0, limit=9)
    return [event.data.get("owner") for event in page.events]


def currency_figures():
    today = datetime.now(UTC).date()
    days = {"first_day": today - timedelta(1), "last_day": today}
    with service_statistics.snapshot() as connection:
        found = service_statistics.read_service_statistics(
            connection, DEFAULT_TENANT_ID, **days
        )
    (dollars,) = found["currencies"]
    return dollars
