import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from wallet_app.database import reading
from wallet_app.ledger import wallets
from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.wallets import ImportedWallet


def seed(runner, *arguments):
    result = runner.invoke(args=["wallet", "seed", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def count(column):
    with reading() as connection:
        return connection.scalar(select(func.count(column)))


def test_seed_makes_as_many_wallets_and_operations_as_asked(runner, context):
    seed(runner, "--wallets", 20, "--operations", 2500, "--seed", 1)
    assert count(Wallet.id) == 20
    # A transfer is one operation and two transactions; one of them has the reference.
    assert count(Transaction.reference_id) == 2500
    assert count(Transaction.id) > 2500


def test_seeded_wallets_are_older_than_their_operations(runner, context):
    seed(runner, "--wallets", 5, "--operations", 500, "--seed", 2)
    with reading() as connection:
        rows = connection.execute(
            select(Wallet.created_at, Transaction.created_at.label("moved_at")).join(
                Transaction, Transaction.wallet_id == Wallet.id
            )
        ).all()
    assert len(rows) > 500
    assert all(row.created_at < row.moved_at < datetime.now(UTC) for row in rows)


def test_seeding_twice_with_the_same_seed_adds_nothing(runner, context):
    arguments = ["--wallets", 10, "--operations", 300, "--seed", 3]
    seed(runner, *arguments)
    before = count(Transaction.id)
    assert "300 operations were there already" in seed(runner, *arguments)
    assert (count(Wallet.id), count(Transaction.id)) == (10, before)


def test_seeding_twice_without_a_seed_adds_other_wallets(runner, context):
    seed(runner, "--wallets", 2, "--operations", 0)
    seed(runner, "--wallets", 2, "--operations", 0)
    assert count(Wallet.id) == 4


def test_same_seed_with_other_counts_is_other_data(runner, context):
    seed(runner, "--wallets", 2, "--operations", 10, "--seed", 4)
    seed(runner, "--wallets", 2, "--operations", 11, "--seed", 4)
    assert (count(Wallet.id), count(Transaction.reference_id)) == (4, 21)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--wallets", "0"],
        ["--wallets", "100001"],
        ["--operations", "-1"],
        ["--operations", "10000001"],
        ["--days", "0"],
        ["--seed", "x"],
    ],
)
def test_seed_refuses_what_is_out_of_bounds(runner, arguments):
    result = runner.invoke(args=["wallet", "seed", *arguments])
    assert result.exit_code == 2
    assert arguments[0] in result.stderr


def test_wallets_created_again_are_left_alone(context):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    old = ImportedWallet(uuid=uuid4(), currency="EUR", created_at=moment)
    assert wallets.create_many([old]) == 1
    clash = ImportedWallet(uuid=old.uuid, currency="USD", created_at=datetime.now(UTC))
    new = ImportedWallet(uuid=uuid4(), currency="JPY", created_at=moment)
    assert wallets.create_many([clash, new]) == 1
    with reading() as connection:
        stored = connection.execute(
            select(Wallet.currency, Wallet.created_at).where(Wallet.uuid == old.uuid)
        ).one()
    assert stored == ("EUR", moment)
    assert wallets.create_many([]) == 0


def test_rollup_counts_what_is_new(runner, context):
    seed(runner, "--wallets", 5, "--operations", 200, "--seed", 5)
    rows = count(Transaction.id)
    first = runner.invoke(args=["wallet", "rollup", "--json"])
    assert json.loads(first.stdout) == {"transactions": rows}
    second = runner.invoke(args=["wallet", "rollup"])
    assert second.stdout == "0 new transactions counted.\n"
