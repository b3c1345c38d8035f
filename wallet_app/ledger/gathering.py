"""Gathers concurrent callers into batches that one of them serves for all.

A caller puts its ticket into the queue. If nobody leads, it leads: it takes what is
queued, serves it, hands the lead to the first of those who came meanwhile, and wakes
the callers it has served. A lone caller therefore waits for nobody.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

Request = TypeVar("Request")


@dataclass(frozen=True, kw_only=True)
class Gather:
    """The bounds of a gathering.

    When callers come together, a leader waits up to `pause_ms` for as many as came
    lately, or `enough` of them: larger batches cost less work for each.
    """

    queue_length: int
    batch_size: int
    pause_ms: float = 0.0
    enough: int = 1


class QueueFullError(Exception):
    """The queue has no room; nothing was done."""


class DeadlineError(Exception):
    """The caller's deadline has passed; `taken` if somebody is serving it still."""

    def __init__(self, *, taken: bool) -> None:
        super().__init__()
        self.taken = taken


class InterruptedServiceError(Exception):
    """The serving thread was ended; what became of the request is unknown."""


class Ticket(Generic[Request]):
    """One caller's request on its way; `size` is what it counts for in a batch."""

    __slots__ = (
        "deadline",
        "error",
        "gathering",
        "is_settled",
        "leads",
        "owner",
        "request",
        "result",
        "size",
        "taken",
        "wake",
    )

    def __init__(self, request: Request, *, deadline_ms: float, size: int = 1) -> None:
        self.request = request
        self.size = size
        self.deadline = time.monotonic() + deadline_ms / 1000
        self.owner = threading.current_thread()
        self.gathering: Gathering[Request] | None = None
        self.leads = False
        self.taken = False
        self.is_settled = False
        self.result: Any = None
        self.error: BaseException | None = None
        # A bare lock wakes its one waiter at a fraction of an Event's cost.
        self.wake = threading.Lock()
        self.wake.acquire()

    def settle(self, result: Any) -> None:
        if not self.is_settled:
            self.result = result
            self.is_settled = True

    def fail(self, error: BaseException) -> None:
        if not self.is_settled:
            self.error = error
            self.is_settled = True

    def release(self) -> None:
        """Wake the owner; harmless when it is awake."""
        with suppress(RuntimeError):
            self.wake.release()

    def wait(self) -> Any:
        """Wait for the result, leading when it is this caller's turn.

        Raises what the request failed with, or DeadlineError.
        """
        try:
            while not self.is_settled:
                self.wait_a_turn()
        except BaseException:
            if self.gathering is not None:
                self.gathering.abandon(self)
            raise
        if self.error is not None:
            raise self.error
        return self.result

    def wait_a_turn(self) -> None:
        gathering = self.gathering
        assert gathering is not None, "the ticket has been queued"
        if self.leads:
            gathering.lead(self)
        elif not self.wake.acquire(timeout=max(0.0, self.deadline - time.monotonic())):
            gathering.expire(self)


class Gathering(Generic[Request]):
    """A queue with at most one leader at a time.

    `serve` settles the tickets it is given, or queues them elsewhere. `on_empty` is
    called, with the mutex held, when the last leader leaves.
    """

    def __init__(
        self,
        bounds: Gather,
        serve: Callable[[list[Ticket[Request]]], None],
        *,
        mutex: "threading.Lock | None" = None,
        on_empty: Callable[[], None] = lambda: None,
    ) -> None:
        self.bounds = bounds
        self.serve = serve
        self.on_empty = on_empty
        self.mutex = mutex or threading.Lock()
        self.queue: deque[Ticket[Request]] = deque()
        self.size = 0
        self.leader: Ticket[Request] | None = None
        self.expected = 1

    def submit(self, ticket: Ticket[Request]) -> None:
        """Queue a ticket; raises QueueFullError."""
        with self.mutex:
            self.add(ticket)

    def add(self, ticket: Ticket[Request]) -> None:
        """Queue a ticket; the caller holds the mutex. Raises QueueFullError."""
        if self.size + ticket.size > self.bounds.queue_length:
            raise QueueFullError
        ticket.gathering = self
        ticket.taken = False
        self.queue.append(ticket)
        self.size += ticket.size
        leader = self.leader
        if leader is None:
            self.promote()
        elif not leader.owner.is_alive():
            logger.error("a leader died without handing over")
            self.promote()
        elif self.is_enough() and not leader.taken:
            leader.release()

    def is_enough(self) -> bool:
        """Whether waiting for more callers is of no use."""
        return len(self.queue) >= self.expected or self.size >= self.bounds.enough

    def promote(self) -> None:
        """Let the owner of the first ticket lead; the caller holds the mutex."""
        while self.queue:
            ticket = self.queue[0]
            if ticket.owner.is_alive() and not ticket.is_settled:
                ticket.leads = True
                self.leader = ticket
                ticket.release()
                return
            # Nobody waits for this one any more, so nobody could lead either.
            self.queue.popleft()
            self.size -= ticket.size
        self.leader = None
        self.on_empty()

    def expire(self, ticket: Ticket[Request]) -> None:
        """Give up on a ticket whose deadline has passed."""
        with self.mutex:
            if ticket.leads or ticket.is_settled or ticket.gathering is not self:
                return
            if not ticket.taken:
                self.queue.remove(ticket)
                self.size -= ticket.size
            ticket.fail(DeadlineError(taken=ticket.taken))

    def abandon(self, ticket: Ticket[Request]) -> None:
        """The caller was interrupted and will neither wait nor lead."""
        with self.mutex:
            if ticket in self.queue:
                self.queue.remove(ticket)
                self.size -= ticket.size
            ticket.fail(InterruptedServiceError())
            if self.leader is ticket:
                self.promote()

    def lead(self, ticket: Ticket[Request]) -> None:
        """Serve one batch, then hand the lead over."""
        ticket.leads = False
        batch: list[Ticket[Request]] = []
        try:
            ticket.wake.acquire(blocking=False)
            if not self.is_enough():
                ticket.wake.acquire(timeout=self.bounds.pause_ms / 1000)
            batch = self.take()
            self.serve(batch)
        except BaseException as error:
            for member in batch:
                if member.gathering is self:
                    member.fail(InterruptedServiceError())
            ticket.error = error
            raise
        finally:
            self.hand_over()
            for member in batch:
                if member is not ticket and member.is_settled:
                    member.release()

    def take(self) -> list[Ticket[Request]]:
        """The next batch, oldest first: at least one ticket, if there is any."""
        batch: list[Ticket[Request]] = []
        size = 0
        with self.mutex:
            while self.queue:
                size += self.queue[0].size
                if batch and size > self.bounds.batch_size:
                    break
                ticket = self.queue.popleft()
                ticket.taken = True
                self.size -= ticket.size
                batch.append(ticket)
            # A crowd is forgotten within a few batches; a lone caller never waits.
            self.expected = max(len(batch), self.expected * 3 // 4)
        return batch

    def hand_over(self) -> None:
        with self.mutex:
            self.promote()
