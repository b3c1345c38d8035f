"""Gathers concurrent callers into batches, so that they share one database transaction.

A caller puts its ticket into a lane's queue. If nobody leads the lane, it leads: it
takes what is queued, posts it, hands the lead to the first of those who came
meanwhile, and wakes the callers it has served. A lone caller therefore waits for
nobody. All callers of a process use the fast lane. A wallet whose row somebody else
holds locked gets a lane of its own, so that the others do not wait for it.

Correctness never depends on the gathering: the row locks decide.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.ledger import posting
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import Operation, Refusal

logger = logging.getLogger(__name__)

LOCK_NOT_AVAILABLE = "55P03"
SERIALIZATION_FAILURES = ("40001", "40P01")
MAX_ATTEMPTS = 5
RETRY_PAUSE_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of a process's group commit.

    `slow_waiters` callers may wait for wallets that stay locked; more would take the
    threads that serve other wallets.
    """

    queue_length: int = 50_000
    batch_size: int = 1000
    deadline_ms: int = 10_000
    grace_ms: int = 300
    slow_waiters: int = 8


class Ticket:
    """One caller's unit on its way through a lane."""

    __slots__ = (
        "deadline",
        "error",
        "lane",
        "leads",
        "outcomes",
        "owner",
        "taken",
        "unit",
        "wake",
    )

    def __init__(self, unit: Unit, deadline: float) -> None:
        self.unit = unit
        self.deadline = deadline
        self.owner = threading.current_thread()
        self.lane: Lane
        self.leads = False
        self.taken = False
        self.outcomes: list[Outcome] | None = None
        self.error: BaseException | None = None
        # A bare lock wakes its one waiter at a fraction of an Event's cost.
        self.wake = threading.Lock()
        self.wake.acquire()

    @property
    def is_settled(self) -> bool:
        return self.outcomes is not None or self.error is not None

    def settle(self, outcomes: list[Outcome]) -> None:
        if not self.is_settled:
            self.outcomes = outcomes

    def refuse(self, detail: str, *, applied: str) -> None:
        """Settle every operation as `try_again`; `applied` is "no" or "unknown"."""
        self.settle(
            [
                Refusal(
                    "try_again",
                    detail,
                    {"reference_id": str(op.reference_id), "applied": applied},
                )
                for op in self.unit.operations
            ]
        )


class Lane:
    """A queue with at most one leader; `wallet` is None in the fast lane."""

    def __init__(self, wallet: UUID | None = None) -> None:
        self.wallet = wallet
        self.queue: deque[Ticket] = deque()
        self.leader: threading.Thread | None = None
        self.in_grace = True


class GroupCommit:
    """The process's way to the ledger: submit an operation, get its outcome."""

    def __init__(self, bounds: Bounds, *, enabled: bool = True) -> None:
        self.bounds = bounds
        self.enabled = enabled
        self.mutex = threading.Lock()
        self.fast = Lane()
        self.slow: dict[UUID, Lane] = {}
        self.queued = 0

    def submit(self, operation: Operation) -> Outcome:
        """Post one operation, together with whoever else is waiting."""
        return self.submit_unit(Unit((operation,)))[0]

    def submit_unit(self, unit: Unit) -> list[Outcome]:
        """Post a unit; an atomic unit that is refused ends with its refusal.

        Nothing is raised for want of time, room or database: such operations end as
        `try_again`, with `applied` "no", or "unknown" if only a look-up can tell.
        """
        ticket = Ticket(unit, time.monotonic() + self.bounds.deadline_ms / 1000)
        if not self.enabled:
            self.post_and_settle([ticket])
        else:
            self.enqueue(ticket)
        while not ticket.is_settled:
            if ticket.leads:
                self.lead(ticket)
            else:
                self.wait(ticket)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.outcomes is not None
        return ticket.outcomes

    def enqueue(self, ticket: Ticket) -> None:
        size = len(ticket.unit.operations)
        with self.mutex:
            lane = self.lane_of(ticket.unit) if self.slow else self.fast
            if self.queued + size > self.bounds.queue_length:
                ticket.refuse("Too many operations are waiting.", applied="no")
            elif lane is not self.fast and self.is_full(lane):
                ticket.refuse(
                    f"Somebody else holds the wallet {lane.wallet} locked.",
                    applied="no",
                )
            else:
                self.queued += size
                self.append(lane, ticket)

    def lane_of(self, unit: Unit) -> Lane:
        for operation in unit.operations:
            for uuid in operation.wallet_uuids:
                if uuid in self.slow:
                    return self.slow[uuid]
        return self.fast

    def is_full(self, lane: Lane) -> bool:
        waiting = sum(len(slow.queue) for slow in self.slow.values())
        return not lane.in_grace and waiting >= self.bounds.slow_waiters

    def append(self, lane: Lane, ticket: Ticket) -> None:
        """Queue a ticket; the caller holds the mutex."""
        ticket.lane = lane
        ticket.taken = False
        lane.queue.append(ticket)
        if lane.leader is None:
            self.promote(lane)
        elif not lane.leader.is_alive():
            logger.error("the leader of a lane died without handing over")
            self.promote(lane)

    def promote(self, lane: Lane) -> None:
        """Let the owner of the first ticket lead; the caller holds the mutex."""
        ticket = lane.queue[0]
        ticket.leads = True
        lane.leader = ticket.owner
        release(ticket)

    def wait(self, ticket: Ticket) -> None:
        """Wait to be served or to lead; give up at the deadline."""
        if ticket.wake.acquire(timeout=max(0.0, ticket.deadline - time.monotonic())):
            return
        with self.mutex:
            if ticket.leads or ticket.is_settled:
                return
            if ticket.taken:
                ticket.refuse(
                    "The database takes too long; look the operation up by its "
                    "reference before you repeat it with the same reference.",
                    applied="unknown",
                )
                return
            self.leave(ticket)
            ticket.refuse("The queue takes too long.", applied="no")

    def leave(self, ticket: Ticket) -> None:
        """Take an unserved ticket out of its queue; the caller holds the mutex."""
        ticket.lane.queue.remove(ticket)
        self.queued -= len(ticket.unit.operations)

    def lead(self, ticket: Ticket) -> None:
        """Serve one batch of the ticket's lane, then hand the lead over."""
        lane = ticket.lane
        ticket.leads = False
        batch: list[Ticket] = []
        try:
            batch = self.take(lane)
            if lane is self.fast:
                self.post_fast(batch)
            else:
                self.post_slow(lane, batch)
        except BaseException as error:
            for member in batch:
                member.refuse("The service was interrupted.", applied="unknown")
            ticket.error = ticket.error or error
            raise
        finally:
            self.hand_over(lane)
            for member in batch:
                if member is not ticket and member.is_settled:
                    release(member)

    def take(self, lane: Lane) -> list[Ticket]:
        """The tickets of the next batch, oldest first: at least one, if there is any."""
        batch: list[Ticket] = []
        size = 0
        with self.mutex:
            while lane.queue:
                size += len(lane.queue[0].unit.operations)
                if batch and size > self.bounds.batch_size:
                    break
                ticket = lane.queue.popleft()
                ticket.taken = True
                self.queued -= len(ticket.unit.operations)
                batch.append(ticket)
        return batch

    def hand_over(self, lane: Lane) -> None:
        with self.mutex:
            if lane.queue:
                self.promote(lane)
                return
            lane.leader = None
            if lane.wallet is not None:
                self.slow.pop(lane.wallet, None)

    def post_fast(self, batch: list[Ticket]) -> None:
        """Post a batch; move those who wait for a locked wallet out of the way."""
        try:
            self.post_and_settle(batch)
        except LockedError:
            locked = posting.locked_wallets([ticket.unit for ticket in batch])
            others = [ticket for ticket in batch if not self.move(ticket, locked)]
            if others:
                self.post_patiently(others, self.bounds.grace_ms)

    def move(self, ticket: Ticket, locked: set[UUID]) -> bool:
        """Move a ticket that needs a locked wallet to that wallet's lane."""
        for operation in ticket.unit.operations:
            for uuid in operation.wallet_uuids:
                if uuid in locked:
                    with self.mutex:
                        self.queued += len(ticket.unit.operations)
                        lane = self.slow.setdefault(uuid, Lane(uuid))
                        self.append(lane, ticket)
                    return True
        return False

    def post_slow(self, lane: Lane, batch: list[Ticket]) -> None:
        """Wait for a locked wallet: everybody for the grace, then a few to the deadline."""
        try:
            self.post_and_settle(batch, lock_timeout_ms=self.bounds.grace_ms)
        except LockedError:
            lane.in_grace = False
            for ticket in batch[self.bounds.slow_waiters :]:
                ticket.refuse(
                    f"Somebody else holds the wallet {lane.wallet} locked.",
                    applied="no",
                )
                release(ticket)
            patient = batch[: self.bounds.slow_waiters]
            remaining_ms = int((patient[0].deadline - time.monotonic()) * 1000)
            self.post_patiently(patient, max(1, remaining_ms))

    def post_patiently(self, batch: list[Ticket], lock_timeout_ms: int) -> None:
        """Post, and refuse the whole batch if a lock is still not to be had."""
        try:
            self.post_and_settle(batch, lock_timeout_ms=lock_timeout_ms)
        except LockedError:
            for ticket in batch:
                ticket.refuse("Somebody else holds a wallet locked.", applied="no")

    def post_and_settle(
        self, tickets: list[Ticket], *, lock_timeout_ms: int | None = None
    ) -> None:
        """Post the tickets' units together or, if that fails, one by one.

        Raises LockedError, with nothing applied, when a lock is not to be had.
        """
        units = [ticket.unit for ticket in tickets]
        try:
            results = post_with_retries(units, lock_timeout_ms)
        except LockedError:
            raise
        except (OperationalError, PoolTimeout) as error:
            logger.warning("a batch of %d units got no answer: %s", len(units), error)
            for ticket in tickets:
                ticket.refuse("The database did not answer.", applied="unknown")
        except Exception as error:
            if len(tickets) == 1 and len(units[0].operations) == 1:
                tickets[0].error = error
                return
            logger.info("a batch of %d units is posted singly: %s", len(units), error)
            self.post_singly(tickets, error, lock_timeout_ms)
        else:
            for ticket, outcomes in zip(tickets, results, strict=True):
                ticket.settle(outcomes)

    def post_singly(
        self, tickets: list[Ticket], error: Exception, lock_timeout_ms: int | None
    ) -> None:
        """After a failure of the whole: no operation fails for a neighbour's sake."""
        if len(tickets) > 1:
            for ticket in tickets:
                self.post_and_settle([ticket], lock_timeout_ms=lock_timeout_ms)
            return
        unit = tickets[0].unit
        if unit.atomic:
            tickets[0].error = error
            return
        singles = [
            Ticket(Unit((operation,)), tickets[0].deadline)
            for operation in unit.operations
        ]
        outcomes: list[Outcome] = []
        for single in singles:
            self.post_and_settle([single], lock_timeout_ms=lock_timeout_ms)
            if single.error is not None:
                tickets[0].error = single.error
                return
            outcomes.extend(single.outcomes or [])
        tickets[0].settle(outcomes)


class LockedError(Exception):
    """A wallet's row lock was not to be had in time; nothing was applied."""


def release(ticket: Ticket) -> None:
    """Wake the ticket's owner; harmless when it is awake."""
    with suppress(RuntimeError):
        ticket.wake.release()


def post_with_retries(
    units: Sequence[Unit],
    lock_timeout_ms: int | None,
    pause: Callable[[float], None] = time.sleep,
) -> list[list[Outcome]]:
    """Post as one transaction; repeat it after a serialization failure or a lost link.

    Repeating is safe even if the link was lost during COMMIT: see posting.post.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return posting.post(units, lock_timeout_ms=lock_timeout_ms)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state == LOCK_NOT_AVAILABLE:
                raise LockedError from error
            repeatable = state in SERIALIZATION_FAILURES or error.connection_invalidated
            if not repeatable or attempt == MAX_ATTEMPTS:
                raise
            pause(random.uniform(0, RETRY_PAUSE_S * 2**attempt))  # noqa: S311
    raise AssertionError("the last attempt returns or raises")
