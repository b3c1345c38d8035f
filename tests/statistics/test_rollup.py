"""The rollup counts every transaction once, whoever runs it, however it ends."""

import time
from datetime import timedelta

import bulk_history
import ops
import pytest
import recount
from ops import Crowd
from sqlalchemy import text

from wallet_app.database import db, reading, transaction
from wallet_app.feed import readers
from wallet_app.ledger import posting
from wallet_app.ledger.posting import Unit
from wallet_app.statistics import rollup, rollup_sql


def counted_transactions():
    with reading() as connection:
        return connection.scalar(text("SELECT sum(last_seq) FROM wallet_rollups")) or 0


def assert_exact():
    with reading() as connection:
        assert recount.differences(connection) == {}


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(rollup, "ROWS_A_BATCH", 50)


def test_everything_is_counted_once(context):
    wallets = bulk_history.make_wallets(30)
    bulk_history.make_wallets(2)
    bulk_history.add_transactions(wallets, 40, step=timedelta(hours=5))
    assert rollup.roll_up() == 30 * 40
    assert rollup.roll_up() == 0
    bulk_history.add_transactions(wallets[:7], 3, step=timedelta(hours=5))
    assert rollup.roll_up() == 7 * 3
    assert counted_transactions() == 30 * 40 + 7 * 3
    assert_exact()


def test_a_long_history_takes_several_batches(context, small_batches):
    wallets = bulk_history.make_wallets(3)
    bulk_history.add_transactions(wallets[:1], 777)
    bulk_history.add_transactions(wallets[1:], 5)
    steps = [progress.transactions for progress in rollup.batches(pause_ratio=0)]
    assert sum(steps) == 787
    assert max(steps) <= 60
    assert_exact()


def test_batches_of_many_currencies_keep_them_apart(context):
    for currency in ("USD", "EUR", "JPY"):
        wallets = bulk_history.make_wallets(4, currency)
        bulk_history.add_transactions(wallets, 10, step=timedelta(hours=9))
    assert rollup.roll_up() == 120
    assert_exact()


def test_many_rollups_at_once_count_nothing_twice(app, context, small_batches):
    wallets = bulk_history.make_wallets(40)
    bulk_history.add_transactions(wallets, 30, step=timedelta(hours=1))
    crowd = Crowd(app, 6)
    counts = crowd.together(lambda _: rollup.roll_up(), range(6))
    assert sum(counts) + rollup.roll_up() == 1200
    assert counted_transactions() == 1200
    assert_exact()


def test_entries_that_commit_late_are_counted_although_their_ids_are_lower(context):
    """An id is given when an entry is written, but it is seen after the COMMIT."""
    late, early = bulk_history.make_wallets(2)
    with transaction() as other:
        bulk_history.add_transactions_in(other, [late], 10)
        bulk_history.add_transactions([early], 10)
        assert rollup.roll_up() == 10
    assert rollup.roll_up() == 10
    assert_exact()


def test_a_rollup_that_dies_before_its_commit_counts_nothing(context, monkeypatch):
    wallets = bulk_history.make_wallets(2)
    bulk_history.add_transactions(wallets, 10)

    with monkeypatch.context() as patch:
        patch.setattr(rollup, "MARK", rollup_sql.MARK.where(text("1 / 0 = 1")))
        with pytest.raises(Exception, match="division by zero"):
            rollup.roll_up()
    assert counted_transactions() == 0
    assert rollup.roll_up() == 20
    assert_exact()


def test_a_second_rollup_goes_on_where_the_first_ends(app, context):
    wallets = bulk_history.make_wallets(2)
    bulk_history.add_transactions(wallets, 10)
    with db.engine.connect() as other:
        readers.lock(other, rollup.READER)
        waiting = Crowd(app, 1).start(rollup.roll_up)
        time.sleep(0.2)
        assert not waiting.done()
    assert waiting.result(10) == 20
    assert_exact()


def test_a_rollup_never_waits_for_a_wallet_that_moves_money(context):
    (wallet,) = bulk_history.make_wallets(1)
    bulk_history.add_transactions([wallet], 10)
    with transaction() as other:
        other.execute(text("SELECT 1 FROM wallets FOR UPDATE"))
        assert rollup.roll_up() == 10


def test_a_rollup_that_runs_out_of_time_says_so(context, small_batches):
    wallets = bulk_history.make_wallets(20)
    bulk_history.add_transactions(wallets, 30)
    assert not rollup.roll_up_for(0)
    assert counted_transactions() < 600
    assert rollup.roll_up_for(60)
    assert counted_transactions() == 600


def test_a_pass_looks_only_at_what_has_changed(context):
    """Whatever else there is: no statement reads wallets that have not moved."""
    moved = bulk_history.make_wallets(5000)[:2]
    posting.post([Unit([ops.deposit(moved[0], 1)])])
    rollup.roll_up()
    with reading() as connection:
        connection.execute(text("ANALYZE wallets, wallet_rollups, journal, feed"))
    reads = []
    for _ in range(3):
        before = rows_read()
        posting.post([Unit([ops.transfer(*moved, "0.01")])])
        assert rollup.roll_up() == 2
        reads.append(rows_read() - before)
    # Small tables are read whole, and other connections report late; but a look at the
    # wallets would read all 5,000 of them each time.
    assert min(reads) < 2500


def rows_read():
    """Rows of wallets and rollups that any statement has read so far."""
    with reading() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        return connection.scalar(
            text(
                "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))"
                " FROM pg_stat_user_tables"
                " WHERE relname IN ('wallets', 'wallet_rollups', 'transactions')"
            )
        )
