"""Concurrent operations of one process share a database transaction.

All callers gather in the fast lane. A wallet whose row somebody else holds locked
gets a lane of its own, so that the others do not wait for it.

Correctness never depends on the gathering: the row locks decide.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.ledger import posting
from wallet_app.ledger.gathering import (
    DeadlineError,
    Gather,
    Gathering,
    InterruptedServiceError,
    QueueFullError,
    Ticket,
)
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import Operation, Refusal

logger = logging.getLogger(__name__)

LOCK_NOT_AVAILABLE = "55P03"
SERIALIZATION_FAILURES = ("40001", "40P01")
MAX_ATTEMPTS = 5
RETRY_PAUSE_S = 0.01

UnitTicket = Ticket[Unit]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of a process's group commit.

    `grace_ms`: how much longer everybody waits for a wallet that was found locked.
    `slow_waiters`: how many callers wait on, up to their deadline; more would take
    the threads that serve other wallets.
    """

    queue_length: int = 50_000
    batch_size: int = 1000
    pause_ms: float = 5.0
    enough: int = 16
    deadline_ms: int = 10_000
    grace_ms: int = 300
    slow_waiters: int = 8


class LockedError(Exception):
    """A wallet's row lock was not to be had in time; nothing was applied."""


class NoAnswerError(Exception):
    """The database did not answer; `applied` is "no" or "unknown"."""

    def __init__(self, *, applied: str) -> None:
        super().__init__()
        self.applied = applied


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
            self.serve_patiently([ticket], None)
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
            elif lane.is_open(self.slow):
                lane.add(ticket)
            else:
                ticket.settle(refuse_locked(ticket.request))

    def slow_lane_of(self, unit: Unit) -> "SlowLane | None":
        for operation in unit.operations:
            for uuid in operation.wallet_uuids:
                if uuid in self.slow:
                    return self.slow[uuid]
        return None

    def serve_fast(self, batch: list[UnitTicket]) -> None:
        """Post a batch; move those who wait for a locked wallet out of the way."""
        try:
            post_and_settle(batch)
        except LockedError:
            locked = posting.locked_wallets([ticket.request for ticket in batch])
            others = [ticket for ticket in batch if not self.move(ticket, locked)]
            self.serve_patiently(others, self.bounds.grace_ms)

    def move(self, ticket: UnitTicket, locked: set[UUID]) -> bool:
        """Move a ticket that needs a locked wallet to that wallet's lane."""
        uuids = [u for op in ticket.request.operations for u in op.wallet_uuids]
        uuid = next((uuid for uuid in uuids if uuid in locked), None)
        if uuid is None:
            return False
        with self.mutex:
            if uuid not in self.slow:
                self.slow[uuid] = SlowLane(self, uuid)
            try:
                self.slow[uuid].add(ticket)
            except QueueFullError:
                ticket.settle(refuse_locked(ticket.request))
        return True

    def serve_patiently(
        self, batch: list[UnitTicket], lock_timeout_ms: int | None
    ) -> None:
        """Post, and refuse the whole batch if a lock is still not to be had."""
        try:
            post_and_settle(batch, lock_timeout_ms)
        except LockedError:
            for ticket in batch:
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

    def is_open(self, lanes: dict[UUID, "SlowLane"]) -> bool:
        waiting = sum(len(lane.queue) for lane in lanes.values())
        return self.in_grace or waiting < self.group.bounds.slow_waiters

    def serve_slowly(self, batch: list[UnitTicket]) -> None:
        bounds = self.group.bounds
        try:
            post_and_settle(batch, bounds.grace_ms)
        except LockedError:
            self.in_grace = False
            for ticket in batch[bounds.slow_waiters :]:
                ticket.settle(refuse_locked(ticket.request))
                ticket.release()
            patient = batch[: bounds.slow_waiters]
            remaining_ms = int((patient[0].deadline - time.monotonic()) * 1000)
            self.group.serve_patiently(patient, max(1, remaining_ms))


def refuse(unit: Unit, detail: str, *, applied: str) -> list[Outcome]:
    """Every operation as `try_again`; `applied` is "no" or "unknown"."""
    return [
        Refusal(
            "try_again",
            detail,
            {"reference_id": str(operation.reference_id), "applied": applied},
        )
        for operation in unit.operations
    ]


def refuse_locked(unit: Unit) -> list[Outcome]:
    return refuse(unit, "Somebody else holds the wallet locked.", applied="no")


def post_and_settle(
    tickets: list[UnitTicket], lock_timeout_ms: int | None = None
) -> None:
    """Post the tickets' units together or, if that fails, one by one.

    Raises LockedError, with nothing applied, when a lock is not to be had.
    """
    if not tickets:
        return
    units = [ticket.request for ticket in tickets]
    try:
        results = post_with_retries(units, lock_timeout_ms)
    except LockedError:
        raise
    except NoAnswerError as error:
        logger.warning("%d units got no answer: %s", len(units), error.__cause__)
        for ticket in tickets:
            detail = "The database did not answer."
            ticket.settle(refuse(ticket.request, detail, applied=error.applied))
    except Exception as error:
        logger.info("%d units failed together: %s", len(units), error)
        post_singly(tickets, error, lock_timeout_ms)
    else:
        for ticket, outcomes in zip(tickets, results, strict=True):
            ticket.settle(outcomes)


def post_singly(
    tickets: list[UnitTicket], error: Exception, lock_timeout_ms: int | None
) -> None:
    """After a failure of the whole: no operation fails for a neighbour's sake."""
    if len(tickets) > 1:
        for ticket in tickets:
            post_and_settle([ticket], lock_timeout_ms)
        return
    unit = tickets[0].request
    if unit.atomic or len(unit.operations) == 1:
        tickets[0].fail(error)
        return
    outcomes: list[Outcome] = []
    for operation in unit.operations:
        single = Ticket(Unit((operation,)), deadline_ms=0)
        post_and_settle([single], lock_timeout_ms)
        if single.error is not None:
            tickets[0].fail(single.error)
            return
        outcomes.extend(single.result)
    tickets[0].settle(outcomes)


def post_with_retries(
    units: Sequence[Unit],
    lock_timeout_ms: int | None,
    pause: Callable[[float], None] = time.sleep,
) -> list[list[Outcome]]:
    """Post as one transaction; repeat it after a serialization failure or a lost link.

    Repeating is safe even if the link was lost during COMMIT: see posting.post.
    Raises LockedError, NoAnswerError, or what else the database says.
    """
    applied = "no"
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return posting.post(units, lock_timeout_ms=lock_timeout_ms)
        except PoolTimeout as error:
            raise NoAnswerError(applied=applied) from error
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state == LOCK_NOT_AVAILABLE and applied == "no":
                raise LockedError from error
            if error.connection_invalidated:
                applied = "unknown"
            elif state not in SERIALIZATION_FAILURES:
                if isinstance(error, OperationalError):
                    raise NoAnswerError(applied=applied) from error
                raise
            last_error = error
        pause(random.uniform(0, RETRY_PAUSE_S * 2**attempt))  # noqa: S311
    raise NoAnswerError(applied=applied) from last_error
