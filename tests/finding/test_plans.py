"""What a page costs is bounded; `make proof-finding` shows it with a million."""

from pathlib import Path

import flask_migrate
import pytest

from proofs import finding
from wallet_app.database import db

MIGRATIONS = str(Path(__file__).parents[2] / "migrations")


@pytest.mark.slow
def test_each_search_uses_an_index_and_meets_few_rows(make_app, empty_database):
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS)
        with db.engine.begin() as connection:
            finding.build(connection, wallets=60_000)
            assert finding.indexes_in_the_way(connection) == []
        for name, plans in finding.searches():
            assert plans, name
            assert finding.sequential_scans(plans) == [], name
            assert finding.rows_met(plans) <= finding.MOST_ROWS, name
