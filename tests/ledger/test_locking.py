"""What is read behind the locks, the locks' order, and what waits for COMMIT."""

import threading
import time

import psycopg
import pytest
from ops import deposit, post_elsewhere, transfer, wait_until

from wallet_app.database import pipelines
from wallet_app.ledger import posting
from wallet_app.ledger.group_commit import Bounds, GroupCommit
from wallet_app.ledger.posting import Unit

PATIENTLY_MS = 10_000
# Far longer than a caller takes that was woken too early.
MOMENT_S = 0.3


def post(*operations):
    """The operations in one batch, posted once: nobody repeats what fails."""
    units = [Unit([operation]) for operation in operations]
    try:
        results = posting.post(units, lock_timeout_ms=PATIENTLY_MS)
    except psycopg.errors.SerializationFailure:
        # Only a database that is serializable by default refuses to see the news.
        results = posting.post(units, lock_timeout_ms=PATIENTLY_MS)
    return [outcome for outcomes in results for outcome in outcomes]


def test_reference_that_the_locks_last_holder_wrote_is_seen_behind_the_lock(
    crowd, new_wallet, connect, somebody_waits
):
    """A look-up in the locking statement itself reads what was there before it."""
    operation, other = deposit(new_wallet(), 1), connect()
    post_elsewhere(other, operation)
    waiting = crowd.start(post, operation)
    wait_until(somebody_waits)
    other.commit()
    (outcome,) = waiting.result(10)
    assert outcome.replayed


def test_balance_that_the_locks_last_holder_wrote_is_seen_behind_the_lock(
    crowd, new_wallet, connect, somebody_waits
):
    wallet, other = new_wallet(), connect()
    post_elsewhere(other, deposit(wallet, 1))
    waiting = crowd.start(post, deposit(wallet, 2))
    wait_until(somebody_waits)
    other.commit()
    (outcome,) = waiting.result(10)
    (entry,) = outcome.entries
    assert (entry.seq, entry.balance_before, entry.balance_after) == (2, 1, 3)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_wallets_are_locked_in_one_order_whatever_the_order_of_the_request(
    crowd, new_wallet, held, connect, somebody_waits, direction
):
    first, second = new_wallet(10), new_wallet(10)
    ways = {"up": (first, second), "down": (second, first)}
    holder, other = held(first), connect()
    waiting = crowd.start(post, transfer(*ways[direction], 1))
    wait_until(somebody_waits)
    # Who waits for the first wallet holds no other one: nobody can wait in a circle.
    lock = "SELECT FROM wallets WHERE uuid = %s FOR UPDATE NOWAIT"
    other.execute(lock, [second])
    other.rollback()
    holder.commit()
    assert len(waiting.result(10)) == 1


@pytest.fixture
def commits(monkeypatch):
    """Hold every COMMIT until it is let through; tells how many have come."""
    commit = pipelines.commit
    come, let_through = [], threading.Semaphore(0)

    def held_commit(connection):
        # Send what a pipeline holds back, and wait for the answers.
        with connection.pipeline():
            pass
        come.append(connection)
        assert let_through.acquire(timeout=10)
        commit(connection)

    monkeypatch.setattr(pipelines, "commit", held_commit)
    yield come, let_through
    let_through.release(100)


def test_nobody_is_answered_before_the_commit(app, crowd, new_wallet, request):
    wallet, group = new_wallet(), GroupCommit(Bounds())
    come, let_through = request.getfixturevalue("commits")
    leader = crowd.start(group.submit, deposit(wallet, 1))
    wait_until(lambda: len(come) == 1)
    followers = [crowd.start(group.submit, deposit(wallet, 1)) for _ in range(5)]
    wait_until(lambda: len(group.fast.queue) == 5)
    time.sleep(MOMENT_S)
    assert not leader.done()
    let_through.release()
    wait_until(lambda: len(come) == 2)
    time.sleep(MOMENT_S)
    assert not any(follower.done() for follower in followers)
    let_through.release()
    outcomes = [one.result(10) for one in [leader, *followers]]
    assert [outcome.entries[0].seq for outcome in outcomes] == [1, 2, 3, 4, 5, 6]
