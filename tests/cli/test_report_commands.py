"""flask wallet rollup, statement and stats."""

import csv
import hashlib
import json
from datetime import timedelta

import bulk_history
import pytest
import recount
from sqlalchemy import text

from wallet_app.database import reading, transaction

PERIOD = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-02-01T00:00:00Z"]


@pytest.fixture
def wallet(context):
    (uuid,) = bulk_history.make_wallets(1)
    bulk_history.add_transactions([uuid], 100, step=timedelta(hours=5))
    return uuid


def run(runner, *arguments, exit_code=0):
    result = runner.invoke(args=["wallet", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_rollup_counts_what_is_new(runner, wallet):
    assert "100 new transactions counted." in run(runner, "rollup")
    assert json.loads(run(runner, "rollup", "--json")) == {"transactions": 0}


def test_rebuild_proves_that_the_rollups_equal_the_ledger(runner, wallet):
    output = run(runner, "rollup", "--rebuild")
    assert "100 transactions counted afresh." in output
    assert "The rollups equal the ledger." in output


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE wallet_totals SET count = count + 1",
        "UPDATE wallet_days SET highest = highest + 1",
        "DELETE FROM wallet_days WHERE day = '2026-01-03'",
        "UPDATE service_days SET total = total * 2",
        "DELETE FROM service_days",
        "INSERT INTO service_days VALUES ('XOF', '2020-01-01', 'DEPOSIT', 1, 1)",
    ],
)
def test_rebuild_repairs_and_reports_what_differs(runner, wallet, damage):
    run(runner, "rollup")
    with transaction() as connection:
        connection.execute(text(damage))
    output = run(runner, "rollup", "--rebuild", exit_code=1)
    assert "differed from the ledger" in output
    with reading() as connection:
        assert recount.differences(connection) == {}
    run(runner, "rollup", "--rebuild")


def test_statement_is_written_to_a_file(runner, wallet, tmp_path):
    out = tmp_path / "january.csv"
    output = run(runner, "statement", wallet, *PERIOD, "--out", out)
    assert "100 entries" in output
    assert hashlib.sha256(out.read_bytes()).hexdigest() in output
    with out.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 100
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM statements")) == 0


@pytest.mark.parametrize("file_format", ["json", "pdf"])
def test_statement_takes_a_format(runner, wallet, tmp_path, file_format):
    out = tmp_path / "january"
    options = ["--format", file_format, "--out", out]
    run(runner, "statement", wallet, *PERIOD, *options)
    assert out.read_bytes()[:4] in (b"%PDF", b'{"wa')


def test_stats_shows_the_whole_service(runner, wallet):
    output = run(runner, "stats")
    assert "DEPOSIT" in output
    assert "1 wallets" in output
    body = json.loads(run(runner, "stats", "--json"))
    assert body["currencies"][0]["count"] == 100
