"""What would stop the service while a migration runs is refused."""

import pytest

from scripts import lint_migrations

LOCKING = {
    "index": "CREATE INDEX ix ON wallets (created_at)",
    "check": "ALTER TABLE wallets ADD CONSTRAINT c CHECK (balance > 0)",
    "foreign key": (
        "ALTER TABLE transactions ADD CONSTRAINT c FOREIGN KEY (x)"
        " REFERENCES wallets (id)"
    ),
    "unique": "ALTER TABLE wallets ADD CONSTRAINT c UNIQUE (created_at)",
    "type": "ALTER TABLE transactions ALTER COLUMN amount TYPE double precision",
    "not null": "ALTER TABLE transactions ALTER COLUMN description SET NOT NULL",
    "column dropped": "ALTER TABLE transactions DROP COLUMN description",
    "column renamed": "ALTER TABLE transactions RENAME COLUMN description TO memo",
    "table renamed": "ALTER TABLE wallets RENAME TO purses",
    "table dropped": "DROP TABLE journal",
    "index dropped": "DROP INDEX ix_transactions_transfer_id",
}
HARMLESS = {
    "column": "ALTER TABLE wallets ADD COLUMN colour text",
    "default": "ALTER TABLE wallets ADD COLUMN colour text DEFAULT 'red' NOT NULL",
    "check": "ALTER TABLE wallets ADD CONSTRAINT c CHECK (balance > 0) NOT VALID",
    "validation": "ALTER TABLE wallets VALIDATE CONSTRAINT c",
    "index": "COMMIT; CREATE INDEX CONCURRENTLY ix ON wallets (created_at); BEGIN",
    "new table": "CREATE TABLE t (x bigint); CREATE INDEX ix ON t (x)",
    "contraction": (
        "-- squawk-ignore ban-drop-column\n"
        "ALTER TABLE transactions DROP COLUMN description"
    ),
}


def refuses(sql):
    return lint_migrations.lint(f"BEGIN;\n{sql};\nCOMMIT;\n", "test.sql") != 0


@pytest.mark.parametrize("sql", LOCKING.values(), ids=LOCKING)
def test_what_locks_a_table_or_breaks_the_release_before_is_refused(sql):
    assert refuses(sql)


@pytest.mark.parametrize("sql", HARMLESS.values(), ids=HARMLESS)
def test_what_both_releases_can_live_with_passes(sql):
    assert not refuses(sql)


def test_a_migrations_own_statements_are_read():
    assert lint_migrations.lint(lint_migrations.sql_of("0004", "0005"), "0005") != 0
    assert lint_migrations.lint(lint_migrations.sql_of("0006", "0007"), "0007") == 0


def test_migrations_of_this_release_pass():
    assert lint_migrations.main() == 0
