"""Locked rows, lost connections, failing statements: nobody loses, nothing doubles."""

import time
import uuid
from collections import Counter
from dataclasses import replace

import psycopg
import pytest
from ops import deposit, post_elsewhere, transfer, wait_until, withdraw
from sqlalchemy import text

from wallet_app.database import connections, db, pipelines, reading
from wallet_app.ledger import group_commit, settling
from wallet_app.ledger.group_commit import (
    MAX_SLOW_LANES_AT_WORK,
    Bounds,
    GroupCommit,
)
from wallet_app.ledger.posting import Unit
from wallet_app.ledger.rules import Refusal

LOCKED_BOUNDS = Bounds(deadline_ms=8000, slow_waiters=4)


@pytest.fixture(params=[True, False], ids=["gathered", "one by one"])
def ledger(request, app):
    return GroupCommit(Bounds(), enabled=request.param)


@pytest.fixture
def group(app):
    return GroupCommit(LOCKED_BOUNDS)


def codes(outcomes):
    return [
        outcome.code
        if isinstance(outcome, Refusal)
        else "replayed"
        if outcome.replayed
        else "posted"
        for outcome in outcomes
    ]


def codes_of(futures):
    return codes(future.result(10) for future in futures)


def stored():
    """How often each reference is in the history."""
    with reading() as session:
        return Counter(session.scalars(text("SELECT reference_id FROM transactions")))


def in_one_batch(group, gate, crowd, first, *operations):
    """Hold a leader with `first`, queue the operations behind it, and let go."""
    gate.close()
    futures = [crowd.start(group.submit, first)]
    wait_until(lambda: gate.batches)
    for operation in operations:
        queued = len(group.fast.queue)
        futures.append(crowd.start(group.submit, operation))
        wait_until(lambda: len(group.fast.queue) > queued)  # noqa: B023
    gate.open()
    return futures


# Rows that somebody else holds locked


def test_locked_wallet_delays_other_wallets_by_a_moment_only(
    group, crowd, new_wallet, held, somebody_waits
):
    locked, others = new_wallet(), [new_wallet() for _ in range(5)]
    holder = held(locked)
    waiting = crowd.start(group.submit, deposit(locked, 1))
    wait_until(somebody_waits)
    start = time.monotonic()
    outcomes = crowd.together(group.submit, [deposit(other, 1) for other in others])
    # A second, and room for a busy machine; the lock outlasts both.
    assert time.monotonic() - start < 2
    assert codes(outcomes) == ["posted"] * 5
    assert not waiting.done()
    holder.commit()
    assert codes_of([waiting]) == ["posted"]


def test_other_wallets_do_not_try_a_lock_that_is_known_to_be_held(
    group, gate, crowd, new_wallet, held
):
    locked, other = new_wallet(), new_wallet()
    holder = held(locked)
    waiting = crowd.start(group.submit, deposit(locked, 1))
    wait_until(lambda: group.slow)
    others = [deposit(other, 1) for _ in range(5)]
    late = crowd.start(group.submit, deposit(locked, 1))
    assert codes(group.submit(operation) for operation in others) == ["posted"] * 5
    for operation in others:
        batches = [batch for batch in gate.batches if Unit((operation,)) in batch]
        assert batches == [[Unit((operation,))]]
    holder.commit()
    assert codes_of([waiting, late]) == ["posted"] * 2


def test_transfer_that_waits_for_a_locked_wallet_does_not_lock_its_other_wallet(
    group, crowd, new_wallet, held
):
    free, locked = new_wallet(10), new_wallet()
    holder = held(locked)
    waiting = crowd.start(group.submit, transfer(free, locked, 1))
    wait_until(lambda: group.slow)
    # Beyond the grace, in which everybody waits.
    time.sleep(LOCKED_BOUNDS.grace_ms / 1000 + 0.1)
    start = time.monotonic()
    outcome = group.submit(withdraw(free, 1))
    delay = time.monotonic() - start
    holder.commit()
    assert codes_of([waiting]) == ["posted"]
    assert codes([outcome]) == ["posted"]
    assert delay < 2


def test_wallet_that_is_free_again_does_not_wait_for_a_transfers_other_wallet(
    group, crowd, new_wallet, held
):
    """Both were locked when the transfer came; then one of the locks went away."""
    freed, locked = new_wallet(10), new_wallet(10)
    holders = [held(freed), held(locked)]
    waiting = [
        crowd.start(group.submit, transfer(freed, locked, 1)),
        crowd.start(group.submit, transfer(locked, freed, 1)),
    ]
    wait_until(lambda: group.slow)
    time.sleep(LOCKED_BOUNDS.grace_ms / 1000 + 0.1)
    holders[0].commit()
    start = time.monotonic()
    outcome = group.submit(withdraw(freed, 1))
    delay = time.monotonic() - start
    holders[1].commit()
    assert codes_of(waiting) == ["posted"] * 2
    assert codes([outcome]) == ["posted"]
    assert delay < 2


def test_callers_beyond_the_bound_of_a_locked_wallet_are_refused_at_once(
    group, gate, crowd, new_wallet, held
):
    locked, other = new_wallet(), new_wallet()
    holder = held(locked)
    operations = [deposit(locked, 1) for _ in range(20)]
    _, *futures = in_one_batch(group, gate, crowd, deposit(other, 1), *operations)
    # Some are being served, others are the next in line: a few each.
    few = 2 * LOCKED_BOUNDS.slow_waiters
    wait_until(lambda: sum(future.done() for future in futures) >= 20 - few)
    refusals = [future.result() for future in futures if future.done()]
    assert {(one.code, one.facts["applied"]) for one in refusals} == {
        ("try_again", "no")
    }
    holder.commit()
    counts = Counter(codes_of(futures))
    assert 1 <= counts["posted"] <= few
    assert counts.total() == counts["posted"] + counts["try_again"]
    posted = sum(stored()[operation.reference_id] for operation in operations)
    assert posted == counts["posted"]


def test_late_callers_of_a_locked_wallet_are_bounded_as_well(
    group, crowd, new_wallet, held, somebody_waits
):
    locked = new_wallet()
    holder = held(locked)
    futures = [crowd.start(group.submit, deposit(locked, 1))]
    wait_until(somebody_waits)
    futures += [crowd.start(group.submit, deposit(locked, 1)) for _ in range(20)]
    few = 2 * LOCKED_BOUNDS.slow_waiters
    wait_until(lambda: sum(not future.done() for future in futures) <= few)
    holder.commit()
    assert set(codes_of(futures)) == {"posted", "try_again"}


def test_wallet_that_only_seems_to_be_free_costs_its_callers_time_and_no_refusal(
    group, crowd, new_wallet, held, monkeypatch
):
    """Other processes take turns with its lock: none holds it when one looks."""
    monkeypatch.setattr(group_commit, "locked_wallets", lambda _units: set())
    busy = new_wallet()
    holder = held(busy)
    waiting = [crowd.start(group.submit, deposit(busy, 1)) for _ in range(3)]
    # Longer than lock_timeout and grace together.
    time.sleep(1.2)
    assert not any(future.done() for future in waiting)
    holder.commit()
    assert codes_of(waiting) == ["posted"] * 3


def test_wallets_locked_in_great_number_do_not_hold_up_the_others(
    group, crowd, new_wallet, held
):
    """Each lane at work holds a connection: few of them may work at a time."""
    wallets = [new_wallet() for _ in range(MAX_SLOW_LANES_AT_WORK + 2)]
    holders = [held(wallet) for wallet in wallets]
    waiting = []
    for number, wallet in enumerate(wallets, start=1):
        waiting.append(crowd.start(group.submit, deposit(wallet, 1)))
        wait_until(lambda number=number: len(group.slow) == number)
    start = time.monotonic()
    assert codes([group.submit(deposit(new_wallet(), 1))]) == ["posted"]
    assert time.monotonic() - start < 2
    for holder in holders:
        holder.commit()
    assert set(codes_of(waiting)) == {"posted"}


def test_wallet_takes_the_fast_lane_again_after_its_lock_is_gone(
    group, gate, crowd, new_wallet, held
):
    locked = new_wallet()
    holder = held(locked)
    waiting = crowd.start(group.submit, deposit(locked, 1))
    wait_until(lambda: group.slow)
    holder.commit()
    assert codes_of([waiting]) == ["posted"]
    wait_until(lambda: not group.slow)
    before = len(gate.batches)
    assert codes([group.submit(deposit(locked, 1))]) == ["posted"]
    assert len(gate.batches) == before + 1


def test_caller_of_a_locked_wallet_is_answered_by_its_deadline(
    app, crowd, new_wallet, held
):
    group = GroupCommit(Bounds(deadline_ms=1200))
    locked = new_wallet()
    held(locked)
    operation = deposit(locked, 1)
    start = time.monotonic()
    outcome = group.submit(operation)
    assert time.monotonic() - start < 1.2 + 1
    assert (outcome.code, outcome.facts["applied"]) == ("try_again", "no")
    assert stored() == {}


def test_locked_wallet_is_refused_without_gathering_too(app, new_wallet, held):
    direct = GroupCommit(Bounds(deadline_ms=1000), enabled=False)
    locked = new_wallet()
    holder = held(locked)
    operation = deposit(locked, 1)
    outcome = direct.submit(operation)
    assert (outcome.code, outcome.facts["applied"]) == ("try_again", "no")
    holder.commit()
    assert codes([direct.submit(operation)]) == ["posted"]


# A reference that another process is writing


@pytest.fixture
def clash(group, gate, crowd, new_wallet, connect, somebody_waits):
    """A batch that waits for another process, which writes one of its references.

    Returns that process's connection and the futures of the operation that clashes
    and of two neighbours.
    """
    theirs, ours, other = new_wallet(), new_wallet(), new_wallet()
    operation = deposit(ours, 1)
    connection = connect()
    post_elsewhere(connection, replace(operation, wallet_uuid=theirs))
    first, *futures = in_one_batch(
        group,
        gate,
        crowd,
        deposit(other, 1),
        deposit(other, 1),
        operation,
        deposit(other, 1),
    )
    wait_until(somebody_waits)
    assert codes_of([first]) == ["posted"]
    return connection, futures


def test_reference_that_another_process_commits_first_fails_alone(clash):
    connection, futures = clash
    connection.commit()
    assert codes_of(futures) == ["posted", "idempotency_key_reused", "posted"]


def test_reference_that_another_process_gives_up_is_free(clash):
    connection, futures = clash
    connection.rollback()
    assert codes_of(futures) == ["posted"] * 3


def test_neighbours_of_a_reference_that_another_process_holds_go_through(clash):
    connection, (one, contested, other) = clash
    outcomes = codes_of([one, other])
    connection.commit()
    contested.result(10)
    assert outcomes == ["posted", "posted"]


# Failures of the database's own, made by a trigger


@pytest.fixture
def on_insert(context):
    """Run plpgsql before each INSERT into transactions; `attempt` counts them."""

    def install(body):
        with db.engine.begin() as connection:
            connection.execute(text("CREATE SEQUENCE attempts"))
            connection.exec_driver_sql(
                "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$"
                # A sequence counts on when its transaction is rolled back.
                " DECLARE attempt bigint := nextval('attempts');"
                f" BEGIN {body} RETURN NULL; END $$"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER trouble AFTER INSERT ON transactions"
                " REFERENCING NEW TABLE AS added"
                " FOR EACH STATEMENT EXECUTE FUNCTION trouble()"
            )

    yield install
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS trouble ON transactions")
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS trouble")
        connection.exec_driver_sql("DROP SEQUENCE IF EXISTS attempts")


def attempts():
    with reading() as session:
        return session.scalar(text("SELECT last_value FROM attempts"))


FAIL = "RAISE EXCEPTION 'trouble' USING ERRCODE = '{}';"
POISON = (
    "IF EXISTS (SELECT FROM added WHERE description = 'poison') THEN "
    "RAISE EXCEPTION 'poisoned' USING ERRCODE = '{}'; END IF;"
)
TERMINATE = "PERFORM pg_terminate_backend(pg_backend_pid());"


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_serialization_failure_is_repeated_until_it_is_through(
    ledger, new_wallet, on_insert, state
):
    wallet = new_wallet()
    on_insert(f"IF attempt <= 3 THEN {FAIL.format(state)} END IF;")
    operation = deposit(wallet, 1)
    assert codes([ledger.submit(operation)]) == ["posted"]
    assert attempts() == 4
    assert stored() == {operation.reference_id: 1}


def test_endless_serialization_failures_end_as_try_again(
    ledger, new_wallet, on_insert, monkeypatch
):
    monkeypatch.setattr(settling, "RETRY_PAUSE_S", 0)
    wallet = new_wallet()
    on_insert(FAIL.format("40001"))
    outcome = ledger.submit(deposit(wallet, 1))
    assert outcome.code == "try_again"
    assert attempts() == settling.MAX_ATTEMPTS
    assert stored() == {}


def test_serialization_failures_are_not_repeated_beyond_the_deadline(
    ledger, new_wallet, on_insert, monkeypatch
):
    monkeypatch.setattr(settling, "RETRY_PAUSE_S", 0.1)
    wallet = new_wallet()
    on_insert(FAIL.format("40001"))
    over = connections.deadline.set(time.monotonic() + 0.3)
    outcome = ledger.submit(deposit(wallet, 1))
    connections.deadline.reset(over)
    assert outcome.code == "try_again"
    assert attempts() < settling.MAX_ATTEMPTS / 2
    assert stored() == {}


@pytest.mark.parametrize("state", ["23514", "XX000"])
def test_operation_that_the_database_refuses_fails_alone(
    group, gate, crowd, new_wallet, on_insert, state
):
    wallet = new_wallet()
    on_insert(POISON.format(state))
    futures = in_one_batch(
        group,
        gate,
        crowd,
        deposit(wallet, 1),
        deposit(wallet, 1),
        deposit(wallet, 1, description="poison"),
        deposit(wallet, 1),
    )
    with pytest.raises(psycopg.Error, match="poisoned"):
        futures.pop(2).result(10)
    assert codes_of(futures) == ["posted"] * 3


def test_refused_operation_stays_refused_when_its_batch_is_repeated(
    group, gate, crowd, new_wallet, on_insert, held
):
    """A refusal that a caller was told must not come true afterwards."""
    poor, locked, other = new_wallet(), new_wallet(), new_wallet()
    on_insert(POISON.format("23514"))
    refused = withdraw(poor, 5)
    elsewhere = GroupCommit(Bounds())
    holders = []

    def lock_and_enrich(units):
        """Before the last is posted singly: after the refused one has been."""
        if not holders and [unit.operations[0].wallet_uuid for unit in units] == [
            locked
        ]:
            holders.append(held(locked))
            elsewhere.submit(deposit(poor, 100))

    gate.before = lock_and_enrich
    _, _, told, waiting = in_one_batch(
        group,
        gate,
        crowd,
        deposit(other, 1),
        deposit(other, 1, description="poison"),
        refused,
        deposit(locked, 1),
    )
    outcome = told.result(10)
    holders[0].commit()
    assert codes_of([waiting]) == ["posted"]
    assert outcome.code == "insufficient_funds"
    assert stored()[refused.reference_id] == 0


# Lost connections


def test_connection_lost_before_the_insert_is_through_applies_once(
    ledger, new_wallet, on_insert
):
    wallet = new_wallet()
    on_insert(f"IF attempt = 1 THEN {TERMINATE} END IF;")
    operation = deposit(wallet, 1)
    assert codes([ledger.submit(operation)]) == ["posted"]
    assert stored() == {operation.reference_id: 1}


def test_connection_that_is_always_lost_ends_as_unknown(ledger, new_wallet, on_insert):
    wallet = new_wallet()
    on_insert(TERMINATE)
    outcome = ledger.submit(deposit(wallet, 1))
    assert (outcome.code, outcome.facts["applied"]) == ("try_again", "unknown")
    assert attempts() == 5
    assert stored() == {}


@pytest.fixture
def at_commit(monkeypatch):
    """Call a function instead of the next COMMIT, with the connection and COMMIT.

    The statements before it have been executed by then. Returns the calls.
    """
    commit = pipelines.commit
    calls = []

    def install(function):
        def commit_once(connection):
            if calls:
                commit(connection)
                return
            calls.append(connection)
            flush(connection)
            function(connection, commit)

        monkeypatch.setattr(pipelines, "commit", commit_once)
        return calls

    return install


def flush(connection):
    """Send what a pipeline holds back, and wait for the answers."""
    with connection.pipeline():
        pass


def test_connection_lost_between_insert_and_commit_applies_once(
    ledger, new_wallet, connect, at_commit
):
    wallet = new_wallet()
    killer = connect()
    killer.autocommit = True

    def is_alive(pid):
        query = "SELECT FROM pg_stat_activity WHERE pid = %s"
        return killer.execute(query, [pid]).fetchall()

    def terminate_and_commit(connection, commit):
        pid = connection.info.backend_pid
        killer.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not is_alive(pid))
        commit(connection)

    calls = at_commit(terminate_and_commit)
    operation = deposit(wallet, 1)
    assert codes([ledger.submit(operation)]) == ["posted"]
    assert len(calls) == 1
    assert stored() == {operation.reference_id: 1}


def test_connection_lost_after_the_commit_applies_once(ledger, new_wallet, at_commit):
    """The server has committed, and its answer is lost on the way."""
    wallet = new_wallet()

    def commit_and_lose(connection, commit):
        commit(connection)
        flush(connection)
        connection.close()

    calls = at_commit(commit_and_lose)
    operation = deposit(wallet, 1)
    (outcome,) = codes([ledger.submit(operation)])
    assert len(calls) == 1
    assert outcome in {"posted", "replayed"}
    assert stored() == {operation.reference_id: 1}


@pytest.mark.parametrize("has_committed", [True, False])
@pytest.mark.parametrize("state", ["57P01", "40003", "XX000"])
def test_farewell_in_place_of_the_commits_answer_applies_once(
    ledger, new_wallet, at_commit, state, has_committed
):
    """The server shuts down; whether it has committed before that, it does not say."""
    wallet = new_wallet()

    def say_farewell(connection, commit):
        if has_committed:
            commit(connection)
            flush(connection)
        raise psycopg.errors.lookup(state)("terminating connection")

    at_commit(say_farewell)
    operation = deposit(wallet, 1)
    expected = "replayed" if has_committed else "posted"
    assert codes([ledger.submit(operation)]) == [expected]
    assert stored() == {operation.reference_id: 1}


def test_batch_survives_the_loss_of_its_connection(
    group, gate, crowd, new_wallet, on_insert
):
    source, target = new_wallet(100), new_wallet()
    on_insert(f"IF attempt = 2 THEN {TERMINATE} END IF;")
    operations = [transfer(source, target, 1) for _ in range(10)]
    futures = in_one_batch(group, gate, crowd, deposit(source, 1), *operations)
    assert codes_of(futures) == ["posted"] * 11
    assert attempts() == 3
    with reading() as session:
        balance = session.scalar(
            text("SELECT balance FROM wallets WHERE uuid = :uuid"), {"uuid": target}
        )
    assert balance == 10


def test_atomic_unit_survives_the_loss_of_its_connection(ledger, new_wallet, on_insert):
    wallet = new_wallet()
    on_insert(f"IF attempt = 1 THEN {TERMINATE} END IF;")
    unit = Unit([deposit(wallet, 1), withdraw(wallet, 1)], atomic=True)
    assert codes(ledger.submit_unit(unit)) == ["posted"] * 2


def test_wallet_of_nobody_is_refused_by_a_database_in_trouble(ledger, on_insert):
    on_insert(TERMINATE)
    assert codes([ledger.submit(deposit(uuid.uuid4(), 1))]) == ["wallet_not_found"]
