"""A queue that tenants share fairly."""

import math
import time
from collections import deque
from typing import Generic

from wallet_app.ledger.tickets import QueueFullError, Request, Ticket

# So long a tenant counts as one of those who share.
LATELY_S = 0.1


class Line(Generic[Request]):
    """One tenant's tickets in the order in which they came."""

    __slots__ = ("size", "tickets")

    def __init__(self) -> None:
        self.tickets: deque[Ticket[Request]] = deque()
        self.size = 0


class FairQueue(Generic[Request]):
    """Tickets in a line for each tenant; whoever calls it holds the mutex.

    A tenant alone has all of a batch. While others wait, each has `share` of it at
    most, so none waits for a crowd of another's. When others came just now, and will
    again, it has twice its `share`: they will not find a long batch under way.
    If the queue is full, the last of the longest line makes room for a shorter one.
    """

    def __init__(self, *, queue_length: int, share: int) -> None:
        self.queue_length = queue_length
        self.share = share
        self.last_tenant_id: int | None = None
        self.shared_at = -math.inf
        # In the order of their turns.
        self.lines: dict[int, Line[Request]] = {}
        self.length = 0
        self.size = 0

    def __len__(self) -> int:
        return self.length

    def __contains__(self, ticket: Ticket[Request]) -> bool:
        line = self.lines.get(ticket.tenant_id)
        return line is not None and ticket in line.tickets

    def append(self, ticket: Ticket[Request]) -> None:
        """Raises QueueFullError, here or for others who have to make room."""
        while self.size + ticket.size > self.queue_length:
            self.make_room(ticket)
        line = self.lines.get(ticket.tenant_id)
        if line is None:
            line = self.lines[ticket.tenant_id] = Line()
        if ticket.tenant_id != self.last_tenant_id:
            if self.last_tenant_id is not None:
                self.shared_at = time.monotonic()
            self.last_tenant_id = ticket.tenant_id
        line.tickets.append(ticket)
        line.size += ticket.size
        self.length += 1
        self.size += ticket.size

    def make_room(self, ticket: Ticket[Request]) -> None:
        """Refuse the last of the longest line, unless that is the ticket's own."""
        own = self.lines.get(ticket.tenant_id)
        longest = max(self.lines.values(), key=lambda line: line.size, default=None)
        wanted = ticket.size + (own.size if own else 0)
        if longest is None or longest is own or longest.size < wanted:
            raise QueueFullError
        last = longest.tickets[-1]
        if last.leads:
            raise QueueFullError
        self.remove(last)
        last.fail(QueueFullError())
        last.release()

    def first(self) -> Ticket[Request] | None:
        """The one whose turn it is."""
        for line in self.lines.values():
            return line.tickets[0]
        return None

    def remove(self, ticket: Ticket[Request]) -> None:
        line = self.lines[ticket.tenant_id]
        line.tickets.remove(ticket)
        self.forget(line, ticket)

    def forget(self, line: Line[Request], ticket: Ticket[Request]) -> None:
        """Count a ticket out that has left its line."""
        line.size -= ticket.size
        self.length -= 1
        self.size -= ticket.size
        if not line.tickets:
            del self.lines[ticket.tenant_id]

    def take(self, most: int) -> list[Ticket[Request]]:
        """The next batch: at least one ticket, if there is any.

        A ticket that is larger than a share comes when its tenant's turn is the first.
        """
        batch: list[Ticket[Request]] = []
        if len(self.lines) > 1:
            share = self.share
        elif time.monotonic() < self.shared_at + LATELY_S:
            share = 2 * self.share
        else:
            share = most
        size = 0
        for line in list(self.lines.values()):
            end = min(most, size + share)
            while line.tickets:
                ticket = line.tickets[0]
                if batch and size + ticket.size > end:
                    break
                size += ticket.size
                batch.append(line.tickets.popleft())
                self.forget(line, ticket)
            if size >= most:
                break
        self.turn(batch)
        return batch

    def turn(self, batch: list[Ticket[Request]]) -> None:
        """Whose turn was the first comes last, if it has more tickets."""
        tenant_id = batch[0].tenant_id if batch else None
        if tenant_id in self.lines and len(self.lines) > 1:
            self.lines[tenant_id] = self.lines.pop(tenant_id)

    def clear(self) -> list[Ticket[Request]]:
        """Take all, whoever may still wait for them."""
        tickets = [one for line in self.lines.values() for one in line.tickets]
        self.lines.clear()
        self.length = self.size = 0
        return tickets
