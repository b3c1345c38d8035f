"""Concurrent operations of one process share a database transaction.

All callers gather in the fast lane. A wallet whose row somebody else holds locked
gets a lane of its own, so that the others do not wait for it.

Correctness never depends on the gathering: the row locks decide.
"""

import math
import threading
import time
from dataclasses import dataclass
from uuid import UUID

from wallet_app.ledger.gathering import (
    DeadlineError,
    Gather,
    Gathering,
    InterruptedServiceError,
    QueueFullError,
    Ticket,
)
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import Operation
from wallet_app.ledger.settling import (
    LockedError,
    UnitTicket,
    is_free,
    locked_wallets,
    post_and_settle,
    refuse,
    refuse_locked,
    serve_patiently,
    unsettled,
)

MIXED_MEMORY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of a process's group commit.

    `grace_ms`: how much longer everybody waits for a wallet that was found locked.
    `slow_waiters`: how many callers wait on, up to their deadline, while other
    wallets are in use; more would take the threads that serve those.
    """

    queue_length: int = 50_000
    batch_size: int = 1000
    pause_ms: float = 10.0
    enough: int = 16
    deadline_ms: int = 10_000
    grace_ms: int = 250
    slow_waiters: int = 8


class GroupCommit:
    """The process's way to the ledger: submit an operation, get its outcome."""

    def __init__(self, bounds: Bounds, *, enabled: bool = True) -> None:
        self.bounds = bounds
        self.enabled = enabled
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
        self.slow: dict[UUID, SlowLane] = {}
        self.last_wallet: UUID | None = None
        self.mixed_at = -math.inf

    def submit(self, operation: Operation) -> Outcome:
        """Post one operation, together with whoever else is waiting."""
        return self.submit_unit(Unit((operation,)))[0]

    def submit_unit(self, unit: Unit) -> list[Outcome]:
        """Post a unit; a refused atomic unit's last outcome is its refusal.

        Nothing is raised for want of time, room or database: such operations end as
        `try_again`, with `applied` "no", or "unknown" if only a look-up can tell.
        """
        ticket = Ticket(
            unit, deadline_ms=self.bounds.deadline_ms, size=len(unit.operations)
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
            self.note_wallet(ticket.request)
            lane = self.slow_lane_of(ticket.request) if self.slow else None
            if lane is None:
                self.fast.add(ticket)
            else:
                self.queue_slowly(lane, ticket)

    def note_wallet(self, unit: Unit) -> None:
        """Note whether more than one wallet is in use; the caller holds the mutex."""
        wallet = unit.operations[0].wallet_uuid
        if wallet != self.last_wallet:
            self.last_wallet, self.mixed_at = wallet, time.monotonic()

    def is_mixed(self) -> bool:
        """Whether callers of other wallets may need the threads that wait here."""
        return time.monotonic() - self.mixed_at < MIXED_MEMORY_S

    def slow_lane_of(self, unit: Unit) -> "SlowLane | None":
        for operation in unit.operations:
            for uuid in operation.wallet_uuids:
                if uuid in self.slow:
                    return self.slow[uuid]
        return None

    def serve_fast(self, batch: list[UnitTicket]) -> None:
        """Post a batch; move those who wait for a locked wallet out of the way."""
        if self.slow:
            # They queued here before their wallet was found locked.
            with self.mutex:
                known = set(self.slow)
            batch = [ticket for ticket in batch if not self.move(ticket, known)]
        try:
            post_and_settle(batch)
        except LockedError:
            open_tickets = unsettled(batch)
            locked = locked_wallets([ticket.request for ticket in open_tickets])
            rest = [ticket for ticket in open_tickets if not self.move(ticket, locked)]
            serve_patiently(rest, self.bounds.grace_ms)

    def move(self, ticket: UnitTicket, locked: set[UUID]) -> bool:
        """Move a ticket that needs a locked wallet to that wallet's lane."""
        uuids = [u for op in ticket.request.operations for u in op.wallet_uuids]
        uuid = next((uuid for uuid in uuids if uuid in locked), None)
        if uuid is None:
            return False
        with self.mutex:
            # Its caller may have given up meanwhile: nobody would lead for it.
            if not ticket.is_settled:
                lane = self.slow.get(uuid) or SlowLane(self, uuid)
                self.slow[uuid] = lane
                self.queue_slowly(lane, ticket)
        return True

    def queue_slowly(self, lane: "SlowLane", ticket: UnitTicket) -> None:
        """Queue or refuse a caller of a locked wallet; the mutex is held."""
        if lane.is_open():
            lane.add(ticket)
        else:
            ticket.settle(refuse_locked(ticket.request))


class SlowLane(Gathering[Unit]):
    """The callers of one locked wallet: all wait for a grace, then a few wait on."""

    def __init__(self, group: GroupCommit, wallet: UUID) -> None:
        bounds = group.bounds
        super().__init__(
            Gather(queue_length=bounds.queue_length, batch_size=bounds.batch_size),
            self.serve_slowly,
            mutex=group.mutex,
            on_empty=self.close,
        )
        self.group = group
        self.wallet = wallet
        self.in_grace = True

    def close(self) -> None:
        """Nobody waits any more: the wallet's next caller tries the fast lane."""
        self.group.slow.pop(self.wallet, None)

    def is_open(self) -> bool:
        group = self.group
        if len(self.queue) >= group.bounds.queue_length:
            return False
        if self.in_grace or not group.is_mixed():
            return True
        waiting = sum(len(lane.queue) for lane in group.slow.values())
        return waiting < group.bounds.slow_waiters

    def serve_slowly(self, batch: list[UnitTicket]) -> None:
        bounds = self.group.bounds
        try:
            post_and_settle(batch, bounds.grace_ms)
        except LockedError:
            self.in_grace = False
            waiting = unsettled(batch)
            few = bounds.slow_waiters if self.group.is_mixed() else len(waiting)
            for ticket in waiting[few:]:
                ticket.settle(refuse_locked(ticket.request))
                ticket.release()
            if self.group.is_mixed():
                self.trim()
            self.wait_and_serve(waiting[:few])

    def trim(self) -> None:
        """Refuse those who came in the grace and are too many to wait on."""
        with self.mutex:
            while len(self.queue) > self.group.bounds.slow_waiters:
                ticket = self.queue.pop()
                self.size -= ticket.size
                ticket.settle(refuse_locked(ticket.request))
                ticket.release()

    def wait_and_serve(self, tickets: list[UnitTicket]) -> None:
        """Wait for the wallet until the first ticket's deadline, then post.

        Waits for this one wallet only: a transaction that waited for it while it held
        another one locked would pass the delay on.
        """
        deadline = tickets[0].deadline if tickets else 0.0
        while tickets and (remaining_s := deadline - time.monotonic()) > 0:
            if not is_free(self.wallet, timeout_ms=int(remaining_s * 1000) + 1):
                break
            try:
                post_and_settle(tickets, self.group.bounds.grace_ms)
            except LockedError:
                waiting = unsettled(tickets)
                # This wallet is free: it is another one that they wait for.
                others = locked_wallets([ticket.request for ticket in waiting])
                others.discard(self.wallet)
                tickets = [one for one in waiting if not self.group.move(one, others)]
            else:
                return
        for ticket in tickets:
            ticket.settle(refuse_locked(ticket.request))
