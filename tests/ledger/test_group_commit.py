"""Many callers in one process: gathered, bounded, and each served exactly once."""

import ctypes
import random
import threading
import time
import uuid
from collections import Counter
from decimal import Decimal

import pytest
from ops import deposit, transfer, wait_until, withdraw
from sqlalchemy import text

from wallet_app.database import reading
from wallet_app.ledger.group_commit import Bounds, GroupCommit
from wallet_app.ledger.posting import Receipt, Unit
from wallet_app.ledger.rules import Refusal

DEADLINE_MS = 5000


@pytest.fixture(params=[True, False], ids=["gathered", "one by one"])
def ledger(request, app):
    return GroupCommit(Bounds(deadline_ms=DEADLINE_MS), enabled=request.param)


@pytest.fixture
def gathered(app):
    return GroupCommit(Bounds(deadline_ms=DEADLINE_MS))


def balance_of(wallet):
    with reading() as session:
        return session.scalar(
            text("SELECT balance FROM wallets WHERE uuid = :uuid"), {"uuid": wallet}
        )


def times_applied(*operations):
    """How many transactions carry each operation's reference."""
    with reading() as session:
        stored = Counter(session.scalars(text("SELECT reference_id FROM transactions")))
    return [stored[operation.reference_id] for operation in operations]


def code(outcome):
    if isinstance(outcome, Refusal):
        return outcome.code
    return "replayed" if outcome.replayed else "posted"


def insist(ledger, operation):
    """Submit as a client would: again, with the same reference, while told to."""
    outcome = ledger.submit(operation)
    while code(outcome) == "try_again":
        outcome = ledger.submit(operation)
    return outcome


def queue_up(group, gate, crowd, operations):
    """Submit the operations while a batch before them is held at the gate."""
    before = len(group.fast.queue)
    futures = []
    for number, operation in enumerate(operations, start=1):
        futures.append(crowd.start(group.submit, operation))
        wait_until(lambda: len(group.fast.queue) == before + number)  # noqa: B023
    return futures


def hold_a_leader(group, gate, crowd, operation):
    """Submit an operation and hold its leader at the gate."""
    gate.close()
    future = crowd.start(group.submit, operation)
    wait_until(lambda: gate.batches)
    return future


def test_threads_on_one_wallet_lose_and_invent_nothing(ledger, crowd, new_wallet):
    wallet = new_wallet(100)

    def work(seed):
        chance = random.Random(seed)
        made = []
        for _ in range(20):
            make = chance.choice([deposit, withdraw])
            operation = make(wallet, Decimal(chance.randrange(1, 5000)) / 100)
            made.append((operation, insist(ledger, operation)))
        return made

    made = [pair for pairs in crowd.together(work, range(16)) for pair in pairs]
    moved = Decimal(100)
    for operation, outcome in made:
        if isinstance(outcome, Receipt):
            entry = outcome.entries[0]
            assert entry.reference_id == operation.reference_id
            moved += entry.balance_after - entry.balance_before
        else:
            assert outcome.code == "insufficient_funds"
    assert balance_of(wallet) == moved
    assert times_applied(*(operation for operation, _ in made)) == [
        int(isinstance(outcome, Receipt)) for _, outcome in made
    ]


def test_a_wallet_is_never_overdrawn_by_concurrent_withdrawals(
    ledger, crowd, new_wallet
):
    wallet = new_wallet(10)
    operations = [withdraw(wallet, 1) for _ in range(40)]
    outcomes = Counter(code(one) for one in crowd.together(ledger.submit, operations))
    assert outcomes == {"posted": 10, "insufficient_funds": 30}
    assert balance_of(wallet) == 0


def test_opposite_transfers_neither_deadlock_nor_lose_money(ledger, crowd, new_wallet):
    ring = [new_wallet(1000) for _ in range(6)]

    def work(seed):
        chance = random.Random(seed)
        operations = [
            transfer(*chance.sample(ring, 2), chance.randrange(1, 50))
            for _ in range(15)
        ]
        return [code(insist(ledger, operation)) for operation in operations]

    outcomes = Counter(
        one for results in crowd.together(work, range(16)) for one in results
    )
    assert outcomes == {"posted": 16 * 15}
    assert sum(balance_of(wallet) for wallet in ring) == 6000


def test_same_key_from_fifty_threads_is_applied_once(ledger, crowd, new_wallet):
    wallet = new_wallet(10)
    operation = withdraw(wallet, 10)
    outcomes = crowd.together(ledger.submit, [operation] * 50)
    assert Counter(map(code, outcomes)) == {"posted": 1, "replayed": 49}
    assert len({outcome.entries[0].id for outcome in outcomes}) == 1
    assert balance_of(wallet) == 0


def test_same_keys_from_four_processes_are_applied_once(app, crowd, new_wallet):
    """Four gatherings stand for four processes: only the database joins them."""
    processes = [GroupCommit(Bounds()) for _ in range(4)]
    wallet = new_wallet()
    operations = [deposit(wallet, 1) for _ in range(40)]

    def work(place):
        group = processes[place % 4]
        return [
            code(group.submit(operation)) for operation in operations[place // 4 :: 4]
        ]

    outcomes = Counter(
        one for results in crowd.together(work, range(16)) for one in results
    )
    assert outcomes == {"posted": 40, "replayed": 120}
    assert balance_of(wallet) == 40


def test_callers_that_wait_share_one_transaction(gathered, gate, crowd, new_wallet):
    wallet = new_wallet()
    leader = hold_a_leader(gathered, gate, crowd, deposit(wallet, 1))
    followers = queue_up(gathered, gate, crowd, [deposit(wallet, 1) for _ in range(20)])
    gate.open()
    assert [code(future.result(5)) for future in [leader, *followers]] == [
        "posted"
    ] * 21
    assert [len(batch) for batch in gate.batches] == [1, 20]
    assert balance_of(wallet) == 21


def test_a_batch_takes_no_more_operations_than_its_bound(app, gate, crowd, new_wallet):
    group = GroupCommit(Bounds(batch_size=8))
    wallet = new_wallet()
    leader = hold_a_leader(group, gate, crowd, deposit(wallet, 1))
    followers = queue_up(group, gate, crowd, [deposit(wallet, 1) for _ in range(20)])
    large = crowd.start(
        group.submit_unit, Unit([deposit(wallet, 1) for _ in range(30)])
    )
    wait_until(lambda: len(group.fast.queue) == 21)
    gate.open()
    assert {code(future.result(5)) for future in [leader, *followers]} == {"posted"}
    assert [code(outcome) for outcome in large.result(5)] == ["posted"] * 30
    sizes = [sum(len(unit.operations) for unit in batch) for batch in gate.batches]
    # A unit over the bound is served on its own.
    assert sizes == [1, 8, 8, 4, 30]


def test_full_queue_refuses_at_once_and_applies_nothing(app, gate, crowd, new_wallet):
    group = GroupCommit(Bounds(queue_length=3))
    wallet = new_wallet()
    leader = hold_a_leader(group, gate, crowd, deposit(wallet, 1))
    followers = queue_up(group, gate, crowd, [deposit(wallet, 1) for _ in range(3)])
    late = deposit(wallet, 1)
    refusal = group.submit(late)
    assert refusal.code == "try_again"
    assert refusal.facts == {"reference_id": str(late.reference_id), "applied": "no"}
    gate.open()
    assert [code(future.result(5)) for future in [leader, *followers]] == ["posted"] * 4
    assert times_applied(late) == [0]
    assert code(group.submit(late)) == "posted"


def test_unserved_caller_gives_up_at_its_deadline_and_is_never_applied(
    app, gate, crowd, new_wallet
):
    group = GroupCommit(Bounds(deadline_ms=200))
    wallet = new_wallet()
    leader = hold_a_leader(group, gate, crowd, deposit(wallet, 1))
    waiting = deposit(wallet, 1)
    refusal = group.submit(waiting)
    assert (refusal.code, refusal.facts["applied"]) == ("try_again", "no")
    gate.open()
    assert code(leader.result(5)) == "posted"
    assert code(group.submit(deposit(wallet, 1))) == "posted"
    assert times_applied(waiting) == [0]


def test_caller_in_a_slow_batch_learns_that_its_outcome_is_unknown(
    app, gate, crowd, new_wallet
):
    group = GroupCommit(Bounds(deadline_ms=300))
    wallet = new_wallet()
    first = hold_a_leader(group, gate, crowd, deposit(wallet, 1))
    operations = [deposit(wallet, 1) for _ in range(3)]
    followers = queue_up(group, gate, crowd, operations)
    # The first batch goes; the second, which has all the others, is held.
    served = threading.Event()
    gate.troubles = [None, lambda: served.wait(5)]
    gate.open()
    assert code(first.result(5)) == "posted"
    outcomes = [future.result(5) for future in followers[1:]]
    served.set()
    assert [(one.code, one.facts["applied"]) for one in outcomes] == [
        ("try_again", "unknown")
    ] * 2
    followers[0].result(5)
    assert times_applied(*operations) == [1, 1, 1]
    assert [code(group.submit(operation)) for operation in operations] == [
        "replayed"
    ] * 3


class Killed(BaseException):
    """What ends a thread from outside; no `except Exception` catches it."""


def test_leader_that_dies_leaves_its_followers_served(
    gathered, gate, crowd, new_wallet
):
    wallet = new_wallet()
    gate.troubles = [Killed()]
    leader = hold_a_leader(gathered, gate, crowd, deposit(wallet, 1))
    followers = queue_up(gathered, gate, crowd, [deposit(wallet, 1) for _ in range(5)])
    gate.open()
    with pytest.raises(Killed):
        leader.result(5)
    assert [code(future.result(5)) for future in followers] == ["posted"] * 5
    assert balance_of(wallet) == 5


def test_members_of_a_dead_leaders_batch_learn_that_their_outcome_is_unknown(
    gathered, gate, crowd, new_wallet
):
    wallet = new_wallet()
    gate.troubles = [None, Killed()]
    first = hold_a_leader(gathered, gate, crowd, deposit(wallet, 1))
    operations = [deposit(wallet, 1) for _ in range(5)]
    leader, *members = queue_up(gathered, gate, crowd, operations)
    gate.open()
    assert code(first.result(5)) == "posted"
    with pytest.raises(Killed):
        leader.result(5)
    refusals = [future.result(5) for future in members]
    assert [(one.code, one.facts["applied"]) for one in refusals] == [
        ("try_again", "unknown")
    ] * 4
    assert [code(gathered.submit(operation)) for operation in operations] == [
        "posted"
    ] * 5


def throw_into(thread_id, error):
    """Raise an error in another thread, as soon as that runs Python code."""
    hit = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(error)
    )
    assert hit == 1


def submit_in_a_thread_to_be_killed(app, group, operation):
    """Submit in a bare thread, which ends without a traceback when it is killed."""

    def run():
        try:
            with app.app_context():
                group.submit(operation)
        except Killed:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_leader_killed_while_it_posts_leaves_nobody_waiting(
    app, gathered, gate, crowd, new_wallet
):
    wallet = new_wallet()
    gate.close()
    leader = submit_in_a_thread_to_be_killed(app, gathered, deposit(wallet, 1))
    wait_until(lambda: gate.batches)
    followers = queue_up(gathered, gate, crowd, [deposit(wallet, 1) for _ in range(5)])
    throw_into(leader.ident, Killed)
    leader.join(5)
    assert not leader.is_alive()
    gate.open()
    assert [code(future.result(5)) for future in followers] == ["posted"] * 5
    assert code(gathered.submit(deposit(wallet, 1))) == "posted"


def test_waiter_killed_as_it_is_to_lead_does_not_block_the_queue(
    app, gate, crowd, new_wallet
):
    group = GroupCommit(Bounds(deadline_ms=1000))
    wallet = new_wallet()
    leader = hold_a_leader(group, gate, crowd, deposit(wallet, 1))
    heir = submit_in_a_thread_to_be_killed(app, group, deposit(wallet, 1))
    wait_until(lambda: len(group.fast.queue) == 1)
    followers = queue_up(group, gate, crowd, [deposit(wallet, 1) for _ in range(3)])
    throw_into(heir.ident, Killed)
    gate.open()
    assert code(leader.result(5)) == "posted"
    heir.join(5)
    for future in followers:
        assert code(future.result(5)) in {"posted", "try_again"}
    assert code(group.submit(deposit(wallet, 1))) == "posted"


def test_waiter_that_is_interrupted_and_lives_on_does_not_block_the_queue(
    app, gate, crowd, new_wallet
):
    """Its thread goes on with other work, as a server's threads do."""
    group = GroupCommit(Bounds(deadline_ms=1000))
    wallet = new_wallet()
    leader = hold_a_leader(group, gate, crowd, deposit(wallet, 1))
    interrupted, idle = threading.Event(), threading.Event()

    def submit_and_live_on():
        try:
            group.submit(deposit(wallet, 1))
        except Killed:
            interrupted.set()
        idle.wait(5)

    thread = threading.Thread(target=crowd.in_context, args=[submit_and_live_on])
    thread.start()
    wait_until(lambda: len(group.fast.queue) == 1)
    followers = queue_up(group, gate, crowd, [deposit(wallet, 1) for _ in range(3)])
    throw_into(thread.ident, Killed)
    gate.open()
    assert code(leader.result(5)) == "posted"
    assert interrupted.wait(5)
    for future in followers:
        assert code(future.result(5)) in {"posted", "try_again"}
    outcome = group.submit(deposit(wallet, 1))
    idle.set()
    thread.join()
    assert code(outcome) == "posted"


def test_ledger_serves_on_after_an_unexpected_error(ledger, gate, new_wallet):
    wallet = new_wallet()
    gate.troubles = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        ledger.submit(deposit(wallet, 1))
    assert code(ledger.submit(deposit(wallet, 1))) == "posted"


def test_unit_gets_an_outcome_for_each_operation_in_order(ledger, new_wallet):
    wallet = new_wallet()
    operations = [deposit(wallet, 5), withdraw(wallet, 6), withdraw(wallet, 5)]
    outcomes = ledger.submit_unit(Unit([*operations, operations[0]]))
    assert [code(outcome) for outcome in outcomes] == [
        "posted",
        "insufficient_funds",
        "posted",
        "replayed",
    ]


def test_refused_atomic_unit_does_not_touch_its_neighbours(
    gathered, gate, crowd, new_wallet
):
    wallet = new_wallet()
    leader = hold_a_leader(gathered, gate, crowd, deposit(wallet, 5))
    unit = Unit([withdraw(wallet, 5), deposit(uuid.uuid4(), 5)], atomic=True)
    refused = crowd.start(gathered.submit_unit, unit)
    wait_until(lambda: len(gathered.fast.queue) == 1)
    (neighbour,) = queue_up(gathered, gate, crowd, [withdraw(wallet, 5)])
    gate.open()
    assert code(leader.result(5)) == "posted"
    assert code(refused.result(5)[-1]) == "wallet_not_found"
    assert code(neighbour.result(5)) == "posted"
    assert balance_of(wallet) == 0


def test_lone_caller_does_not_wait_for_company(gathered, new_wallet):
    wallet = new_wallet()
    gathered.submit(deposit(wallet, 1))
    start = time.monotonic()
    for _ in range(20):
        gathered.submit(deposit(wallet, 1))
    assert time.monotonic() - start < 20 * 0.1


def test_a_crowd_of_one_tenant_does_not_hold_up_another(
    gathered, gate, crowd, new_wallet
):
    wallet = new_wallet()
    leader = hold_a_leader(gathered, gate, crowd, deposit(wallet, 1))
    many = [deposit(wallet, 1) for _ in range(40)]
    followers = queue_up(gathered, gate, crowd, many)
    # It has no such wallet, which is an answer too.
    (other,) = queue_up(gathered, gate, crowd, [deposit(wallet, 1, tenant_id=2)])
    gate.open()
    assert {code(future.result(5)) for future in [leader, *followers]} == {"posted"}
    assert code(other.result(5)) == "wallet_not_found"
    tenants = [Counter(unit.tenant_id for unit in batch) for batch in gate.batches]
    assert tenants == [{1: 1}, {1: 8, 2: 1}, {1: 16}, {1: 16}]


def test_a_flood_is_refused_for_the_sake_of_another_tenant(
    app, gate, crowd, new_wallet
):
    group = GroupCommit(Bounds(queue_length=3))
    wallet = new_wallet()
    leader = hold_a_leader(group, gate, crowd, deposit(wallet, 1))
    flood = [deposit(wallet, 1) for _ in range(3)]
    followers = queue_up(group, gate, crowd, flood)
    other = crowd.start(group.submit, deposit(wallet, 1, tenant_id=2))
    refusal = followers[-1].result(5)
    assert (refusal.code, refusal.facts["applied"]) == ("try_again", "no")
    gate.open()
    assert {code(future.result(5)) for future in [leader, *followers[:2]]} == {"posted"}
    assert code(other.result(5)) == "wallet_not_found"
    assert times_applied(*flood) == [1, 1, 0]
