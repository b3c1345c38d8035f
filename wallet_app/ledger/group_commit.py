"""Concurrent operations of one process share a database transaction.

All callers gather in the fast lane. A wallet whose row somebody else holds locked
gets a lane of its own, so that the others do not wait for it.

Correctness never depends on the gathering: the row locks decide.
"""

import threading
import time
from dataclasses import dataclass

from wallet_app.ledger.gathering import Gather, Gathering
from wallet_app.ledger.observer import Observer, observing
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import Key, Operation
from wallet_app.ledger.settling import (
    LockedError,
    UnitTicket,
    is_free,
    locked_wallets,
    post_and_settle,
    refuse,
    serve_patiently,
    settle_locked,
    unsettled,
)
from wallet_app.ledger.tickets import (
    DeadlineError,
    InterruptedServiceError,
    QueueFullError,
    Ticket,
)

MAX_SLOW_LANES_AT_WORK = 4
ANSWER_MARGIN_S = 0.05
LOCK_TIMEOUT_SLACK_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of a process's group commit.

    `grace_ms`: how long a lane waits for a lock while it holds others.
    `slow_waiters`: how many callers wait for locked wallets, up to their deadlines.
    """

    queue_length: int = 50_000
    batch_size: int = 1000
    pause_ms: float = 10.0
    enough: int = 16
    deadline_ms: int = 10_000
    grace_ms: int = 250
    slow_waiters: int = 500


class GroupCommit:
    """The process's way to the ledger: submit an operation, get its outcome."""

    def __init__(
        self,
        bounds: Bounds,
        *,
        enabled: bool = True,
        observer: Observer | None = None,
    ) -> None:
        self.bounds = bounds
        self.enabled = enabled
        self.observer = observer or Observer()
        self.mutex = threading.Lock()
        self.fast = Gathering(
            Gather(
                queue_length=bounds.queue_length,
                batch_size=bounds.batch_size,
                pause_ms=bounds.pause_ms,
                enough=bounds.enough,
            ),
            self.serve_fast,
            mutex=self.mutex,
        )
        self.slow: dict[Key, SlowLane] = {}
        # Each one at work holds a connection; the fast lane needs one as well.
        self.slow_work = threading.BoundedSemaphore(MAX_SLOW_LANES_AT_WORK)

    def submit(self, operation: Operation) -> Outcome:
        """Post one operation, together with whoever else is waiting."""
        return self.submit_unit(Unit((operation,)))[0]

    def submit_unit(self, unit: Unit) -> list[Outcome]:
        """Post a unit; a refused atomic unit's last outcome is its refusal.

        Nothing is raised for want of time, room or database: such operations end as
        `try_again`, with `applied` "no", or "unknown" if only a look-up can tell.
        """
        observing.set(self.observer)
        self.observer.submitted(unit)
        outcomes: list[Outcome] | None = None
        try:
            outcomes = self.outcomes_of(unit)
        finally:
            self.observer.answered(unit, outcomes)
        return outcomes

    def outcomes_of(self, unit: Unit) -> list[Outcome]:
        """Have a unit posted, by this caller or another."""
        ticket = Ticket(
            unit,
            tenant_id=unit.tenant_id,
            deadline_ms=self.bounds.deadline_ms,
            size=len(unit.operations),
        )
        if not self.enabled:
            serve_patiently([ticket], None)
        try:
            if self.enabled:
                self.enqueue(ticket)
            outcomes: list[Outcome] = ticket.wait()
        except QueueFullError:
            return refuse(unit, "Too many operations are waiting.", applied="no")
        except DeadlineError as error:
            return refuse(
                unit,
                "The database takes too long. Look the operation up by its reference, "
                "or send it again with the same reference.",
                applied="unknown" if error.taken else "no",
            )
        except InterruptedServiceError:
            return refuse(unit, "The service was interrupted.", applied="unknown")
        return outcomes

    def enqueue(self, ticket: UnitTicket) -> None:
        with self.mutex:
            lane = self.slow_lane_of(ticket.request) if self.slow else None
            if lane is None:
                self.fast.add(ticket)
            else:
                self.queue_slowly(lane, ticket)

    def slow_lane_of(self, unit: Unit) -> "SlowLane | None":
        wallet = next((key for key in unit.wallet_keys if key in self.slow), None)
        return None if wallet is None else self.slow[wallet]

    def note_taken(self, batch: list[UnitTicket]) -> None:
        if batch:
            left_s = batch[0].deadline - time.monotonic()
            waited_s = self.bounds.deadline_ms / 1000 - left_s
            self.observer.taken(sum(ticket.size for ticket in batch), waited_s)

    def waiting(self) -> int:
        """How many operations wait in the queues."""
        with self.mutex:
            lanes = [self.fast, *self.slow.values()]
            return sum(lane.queue.size for lane in lanes)

    def serve_fast(self, batch: list[UnitTicket]) -> None:
        """Post a batch; move those who wait for a locked wallet out of the way."""
        self.note_taken(batch)
        if self.slow:
            # They queued here before their wallet was found locked.
            with self.mutex:
                known = set(self.slow)
            batch = [ticket for ticket in batch if not self.move(ticket, known)]
        try:
            post_and_settle(batch)
        except LockedError:
            open_tickets = unsettled(batch)
            locked = locked_wallets(open_tickets)
            rest = [ticket for ticket in open_tickets if not self.move(ticket, locked)]
            serve_patiently(rest, self.bounds.grace_ms, self.move_to_own_lane)

    def move_to_own_lane(self, ticket: UnitTicket) -> None:
        """Let a ticket wait, though nobody seems to hold its wallets locked."""
        self.move(ticket, ticket.request.wallet_keys)

    def move(self, ticket: UnitTicket, locked: set[Key]) -> bool:
        """Move a ticket that needs a locked wallet to that wallet's lane."""
        keys = ticket.request.wallet_keys
        wallet = next((key for key in keys if key in locked), None)
        if wallet is None:
            return False
        with self.mutex:
            # Its caller may have given up meanwhile: nobody would lead for it.
            if not ticket.is_settled:
                lane = self.slow.get(wallet) or SlowLane(self, wallet)
                self.slow[wallet] = lane
                self.queue_slowly(lane, ticket)
        return True

    def queue_slowly(self, lane: "SlowLane", ticket: UnitTicket) -> None:
        """Queue or refuse a caller of a locked wallet; the mutex is held."""
        waiting = sum(len(lane.queue) for lane in self.slow.values())
        if waiting < self.bounds.slow_waiters:
            lane.add(ticket)
        else:
            settle_locked(ticket)


class SlowLane(Gathering[Unit]):
    """Where the callers of a locked wallet wait for its lock, up to their deadlines.

    They wait for this one wallet only: a transaction that waited for it while it held
    another one locked would pass the delay on.
    """

    def __init__(self, group: GroupCommit, wallet: Key) -> None:
        bounds = group.bounds
        super().__init__(
            Gather(queue_length=bounds.queue_length, batch_size=bounds.batch_size),
            self.wait_for_wallet,
            mutex=group.mutex,
            on_empty=self.close,
        )
        self.group = group
        self.wallet = wallet

    def close(self) -> None:
        """The wallet's next caller tries the fast lane; the mutex is held."""
        if self.group.slow.get(self.wallet) is self:
            del self.group.slow[self.wallet]

    def wait_for_wallet(self, batch: list[UnitTicket]) -> None:
        if batch and self.group.slow_work.acquire(timeout=time_left_s(batch[0])):
            try:
                self.wait_for_lock(batch)
            finally:
                self.group.slow_work.release()
        for ticket in unsettled(batch):
            if ticket.gathering is self:
                settle_locked(ticket)

    def wait_for_lock(self, tickets: list[UnitTicket]) -> None:
        """Wait until the wallet is free, refusing each ticket at its deadline."""
        while tickets:
            timeout_ms = int(time_left_s(tickets[0]) * 1000)
            if timeout_ms <= 0:
                late = tickets.pop(0)
                settle_locked(late)
                late.release()
            elif is_free(self.wallet, timeout_ms=timeout_ms):
                tickets = self.post_freed(tickets)
            elif time_left_s(tickets[0]) > LOCK_TIMEOUT_SLACK_S:
                return  # Not the lock: the database does not answer.

    def post_freed(self, tickets: list[UnitTicket]) -> list[UnitTicket]:
        """Post what waited for the wallet; return what has to wait for it again."""
        try:
            post_and_settle(tickets, self.group.bounds.grace_ms)
        except LockedError:
            waiting = unsettled(tickets)
            # This wallet is free: it is another one that they wait for.
            others = locked_wallets(waiting)
            others.discard(self.wallet)
            return [one for one in waiting if not self.group.move(one, others)]
        self.empty_into_fast_lane()
        return []

    def empty_into_fast_lane(self) -> None:
        """Those who came meanwhile need no lane any more: together they are faster."""
        with self.group.mutex:
            self.close()
            for ticket in self.queue.clear():
                if ticket.is_settled:
                    continue
                try:
                    self.group.fast.add(ticket)
                except QueueFullError:
                    settle_locked(ticket)
                    ticket.release()


def time_left_s(ticket: UnitTicket) -> float:
    """How long its caller may still be made to wait: a little less than he would."""
    return max(0.0, ticket.deadline - ANSWER_MARGIN_S - time.monotonic())
