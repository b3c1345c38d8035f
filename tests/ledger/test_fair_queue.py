"""Tenants share a batch: a crowd of one is not in the way of another."""

import pytest

from wallet_app.ledger import fair_queue
from wallet_app.ledger.fair_queue import FairQueue
from wallet_app.ledger.tickets import QueueFullError, Ticket

BATCH = 100


def ticket(tenant_id, size=1):
    return Ticket(None, tenant_id=tenant_id, deadline_ms=1000, size=size)


def queue_of(*tickets, queue_length=1000, share=4):
    queue = FairQueue(queue_length=queue_length, share=share)
    for one in tickets:
        queue.append(one)
    return queue


def taken(queue, most=BATCH):
    return [one.tenant_id for one in queue.take(most)]


def test_a_tenant_alone_has_the_whole_batch():
    tickets = [ticket(1) for _ in range(150)]
    queue = queue_of(*tickets)
    assert queue.take(BATCH) == tickets[:BATCH]
    assert queue.take(BATCH) == tickets[BATCH:]
    assert (len(queue), queue.size, queue.lines) == (0, 0, {})


def test_whoever_comes_behind_a_crowd_is_in_the_next_batch():
    queue = queue_of(*(ticket(1) for _ in range(50)), ticket(2), ticket(3))
    assert taken(queue) == [1, 1, 1, 1, 2, 3]
    assert taken(queue) == [1] * 8


def test_shares_are_equal_while_all_wait():
    queue = queue_of(*(ticket(n) for n in (1, 2, 3) for _ in range(10)))
    assert taken(queue) == [1] * 4 + [2] * 4 + [3] * 4
    assert taken(queue) == [2] * 4 + [3] * 4 + [1] * 4
    assert taken(queue, most=5) == [3, 3, 1, 1, 2]


def test_turns_go_round_when_a_batch_has_no_room_for_all():
    queue = queue_of(*(ticket(n) for n in (1, 2, 3) for _ in range(4)))
    assert [taken(queue, most=4) for _ in range(3)] == [[1] * 4, [2] * 4, [3] * 4]


def test_a_large_unit_waits_for_its_tenants_turn_and_holds_nobody_up():
    large = ticket(2, size=50)
    queue = queue_of(*(ticket(1) for _ in range(20)), large)
    assert taken(queue) == [1] * 4
    assert taken(queue) == [2, 1, 1, 1, 1]
    assert len(queue) == 12


def test_a_full_queue_has_room_for_whoever_has_less_than_the_longest_line():
    crowd = [ticket(1) for _ in range(10)]
    queue = queue_of(*crowd, queue_length=10)
    with pytest.raises(QueueFullError):
        queue.append(ticket(1))
    for _ in range(5):
        queue.append(ticket(2))
    with pytest.raises(QueueFullError):
        queue.append(ticket(2))
    refused = [one for one in crowd if one.is_settled]
    assert refused == crowd[5:]
    assert all(isinstance(one.error, QueueFullError) for one in refused)
    assert (len(queue), queue.size) == (10, 10)


def test_a_leader_is_not_put_out_of_a_full_queue():
    leader = ticket(1, size=10)
    queue = queue_of(leader, queue_length=10)
    leader.leads = True
    with pytest.raises(QueueFullError):
        queue.append(ticket(2))
    assert leader in queue


def test_what_is_removed_counts_no_more():
    first, second = ticket(1, size=3), ticket(2, size=2)
    queue = queue_of(first, second)
    assert queue.first() is first
    queue.remove(first)
    assert first not in queue
    assert (queue.first(), len(queue), queue.size) == (second, 1, 2)
    assert queue.clear() == [second]
    assert (queue.first(), len(queue), queue.size) == (None, 0, 0)


def test_a_tenant_alone_for_a_moment_leaves_no_long_batch_to_the_others(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(fair_queue.time, "monotonic", lambda: clock[0])
    queue = queue_of(ticket(2), *(ticket(1) for _ in range(50)))
    assert taken(queue) == [2, 1, 1, 1, 1]
    assert taken(queue) == [1] * 8
    clock[0] += fair_queue.LATELY_S
    assert taken(queue) == [1] * 38
