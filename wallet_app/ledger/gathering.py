"""Gathers concurrent callers into batches that one of them serves for all.

A caller puts its ticket into the queue. If nobody leads, it leads: it takes what is
queued, serves it, hands the lead to the first of those who came meanwhile, and wakes
the callers it has served. A lone caller therefore waits for nobody.

Tenants share a batch: see FairQueue.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from wallet_app.ledger.fair_queue import FairQueue
from wallet_app.ledger.tickets import (
    DeadlineError,
    InterruptedServiceError,
    Request,
    Ticket,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Gather:
    """The bounds of a gathering.

    When callers come together, a leader waits up to `pause_ms` for as many as came
    lately, or `enough` of them: larger batches cost less work for each. `share` is a
    tenant's part of a batch while others wait as well.
    """

    queue_length: int
    batch_size: int
    pause_ms: float = 0.0
    enough: int = 1
    share: int = 8


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
        self.queue: FairQueue[Request] = FairQueue(
            queue_length=bounds.queue_length, share=bounds.share
        )
        self.leader: Ticket[Request] | None = None
        self.expected = 1

    def submit(self, ticket: Ticket[Request]) -> None:
        """Queue a ticket; raises QueueFullError."""
        with self.mutex:
            self.add(ticket)

    def add(self, ticket: Ticket[Request]) -> None:
        """Queue a ticket; the caller holds the mutex. Raises QueueFullError."""
        self.queue.append(ticket)
        ticket.gathering = self
        ticket.taken = False
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
        queue = self.queue
        return queue.length >= self.expected or queue.size >= self.bounds.enough

    def promote(self) -> None:
        """Let the owner of the first ticket lead; the caller holds the mutex."""
        while (ticket := self.queue.first()) is not None:
            if ticket.owner.is_alive() and not ticket.is_settled:
                ticket.leads = True
                self.leader = ticket
                ticket.release()
                return
            # Nobody waits for this one any more, so nobody could lead either.
            self.queue.remove(ticket)
        self.leader = None
        self.on_empty()

    def expire(self, ticket: Ticket[Request]) -> None:
        """Give up on a ticket whose deadline has passed."""
        with self.mutex:
            if ticket.leads or ticket.is_settled or ticket.gathering is not self:
                return
            if not ticket.taken:
                self.queue.remove(ticket)
            ticket.fail(DeadlineError(taken=ticket.taken))

    def abandon(self, ticket: Ticket[Request]) -> None:
        """The caller was interrupted and will neither wait nor lead."""
        with self.mutex:
            if ticket in self.queue:
                self.queue.remove(ticket)
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
        """The next batch: at least one ticket, if there is any."""
        with self.mutex:
            batch = self.queue.take(self.bounds.batch_size)
            for ticket in batch:
                ticket.taken = True
            # A crowd is forgotten within a few batches; a lone caller never waits.
            self.expected = max(len(batch), self.expected * 3 // 4)
        return batch

    def hand_over(self) -> None:
        with self.mutex:
            self.promote()
