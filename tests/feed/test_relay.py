"""The feed: every committed transaction once, without a gap, in each wallet's order."""

from concurrent.futures import wait
from datetime import UTC, datetime, timedelta

import books
import ops
import pytest
from ops import Crowd, deposit, transfer
from sqlalchemy import text

from wallet_app.database import db, reading
from wallet_app.feed import readers, relay
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit

EVENTS = text(
    "SELECT position + place - 1 AS position, kind, wallet_id, seqs[place] AS seq"
    " FROM feed, unnest(wallet_ids) WITH ORDINALITY AS event (wallet_id, place)"
    " ORDER BY 1"
)


def events():
    with reading() as connection:
        return connection.execute(EVENTS).all()


def journal():
    with reading() as connection:
        return connection.execute(text("SELECT * FROM journal ORDER BY id")).all()


def relay_all():
    while relay.relay():
        pass


def assert_each_transaction_is_fed_once_in_order():
    """Against the tables themselves."""
    assert journal() == []
    with reading() as connection:
        for query in (books.ENTRIES_NOT_TOLD_OF_ONCE, books.EVENTS_OUT_OF_PLACE):
            assert connection.execute(text(query)).all() == []


@pytest.fixture
def new_wallet(context):
    def make():
        return wallets.create(currency="USD")[0]

    return make


def test_a_batch_is_one_row_of_the_journal_in_its_own_transaction(new_wallet):
    source, target = new_wallet(), new_wallet()
    relay_all()
    batch = [deposit(source, 10), transfer(source, target, 4), deposit(target, 1)]
    posting.post([Unit(batch)])
    (row,) = journal()
    assert row.kind == "posted"
    assert row.seqs == [1, 2, 1, 2]
    assert row.wallet_ids[1:3] == sorted(set(row.wallet_ids))


def test_both_entries_of_a_transfer_stand_together(new_wallet):
    source, target = new_wallet(), new_wallet()
    posting.post([Unit([deposit(source, 10), transfer(source, target, 4)])])
    relay_all()
    kinds = [(one.kind, one.seq) for one in events()]
    assert kinds == [
        ("created", None),
        ("created", None),
        ("posted", 1),
        ("posted", 2),
        ("posted", 1),
    ]
    assert_each_transaction_is_fed_once_in_order()


def test_what_is_not_committed_leaves_no_row(new_wallet, monkeypatch):
    wallet = new_wallet()
    relay_all()

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(posting.Batch, "number", fail)
    with monkeypatch.context() as patch:
        # After the statements, before the COMMIT.
        patch.setattr("wallet_app.database.pipelines.commit", fail)
        with pytest.raises(ZeroDivisionError):
            posting.post([Unit([deposit(wallet, 1)])])
    with db.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM transactions")) == 0
    assert journal() == []


def test_a_retry_and_a_refusal_leave_no_row(new_wallet):
    wallet = new_wallet()
    operation = deposit(wallet, 1)
    posting.post([Unit([operation])])
    relay_all()
    posting.post([Unit([operation, ops.withdraw(wallet, 100)])])
    wallets.create(currency="USD", uuid=wallet)
    assert journal() == []


def test_a_relay_that_dies_before_its_commit_has_moved_nothing(new_wallet, monkeypatch):
    new_wallet()

    def die(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(readers, "advance", die)
        with pytest.raises(ZeroDivisionError):
            relay.relay()
    assert (len(events()), len(journal())) == (0, 1)
    assert relay.relay() == 1
    assert_each_transaction_is_fed_once_in_order()


def test_a_second_relay_waits_for_the_first(app, new_wallet):
    relay.relay()
    new_wallet()
    with db.engine.connect() as other:
        readers.lock(other, readers.RELAY)
        second = Crowd(app, 1).start(relay.relay)
        assert not wait([second], 0.2).done
    assert second.result(10) == 1


def test_no_position_is_given_twice_while_many_post_and_relay(app, new_wallet):
    known = [new_wallet() for _ in range(3)]
    ledger = app.extensions["ledger"]
    crowd = Crowd(app, 12)

    def work(number):
        for turn in range(25):
            ledger.submit(deposit(known[turn % 3], 2))
            ledger.submit(transfer(known[number % 3], known[(number + 1) % 3], 1))
            # Three of them: each waits for the others, and no longer than a lock may.
            if turn % 5 == 0 and number < 3:
                relay.relay()

    crowd.together(work, range(12))
    relay_all()
    assert_each_transaction_is_fed_once_in_order()
    assert len(journal()) == 0


def test_the_feed_is_cut_by_day_and_read_across_days(new_wallet, monkeypatch):
    new_wallet()
    relay.relay()
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, zone=None):
            return tomorrow

    monkeypatch.setattr(relay, "datetime", Tomorrow)
    new_wallet()
    relay.relay()
    with reading() as connection:
        days = connection.scalars(text("SELECT fed_on FROM feed ORDER BY position"))
        assert days.all() == [(tomorrow - timedelta(days=1)).date(), tomorrow.date()]
        rows = readers.read(connection, after=0, events=10)
        assert [row.position for row in rows] == [1, 2]


def test_a_reader_gets_whole_rows_up_to_its_bound(new_wallet):
    wallet = new_wallet()
    for _ in range(3):
        posting.post([Unit([deposit(wallet, 1) for _ in range(4)])])
    relay_all()
    with reading() as connection:
        read = readers.read(connection, after=1, events=8)
        assert [(row.position, row[1]) for row in read] == [(2, 4), (6, 4)]
        assert [
            row.position for row in readers.read(connection, after=1, events=1)
        ] == [2]
        assert readers.read(connection, after=13, events=8) == []
