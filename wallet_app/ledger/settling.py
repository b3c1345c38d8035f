"""Posts tickets' units and settles the tickets, whatever the database does."""

import logging
import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg.errors import (
    DeadlockDetected,
    SerializationFailure,
    UniqueViolation,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.database import ConnectionLostError, is_outage
from wallet_app.database.conflicts import jittered_s
from wallet_app.database.connections import is_late
from wallet_app.ledger import locking, posting
from wallet_app.ledger.posting import Note, Outcome, Unit
from wallet_app.ledger.rules import Key, Refusal
from wallet_app.ledger.tickets import Ticket

logger = logging.getLogger(__name__)

# Where transactions are serializable, each round of a crowd lets one through.
MAX_ATTEMPTS = 50
MAX_LOSSES = 5
RETRY_PAUSE_S = 0.01
MAX_DOUBLINGS = 5
SINGLE_LOCK_TIMEOUT_MS = 20
DATABASE_ERRORS = (psycopg.Error, ConnectionLostError, DBAPIError, PoolTimeout)

# A unique violation: another process has posted a reference since we looked it up. The
# next look-up finds it.
REPEATABLE = (SerializationFailure, DeadlockDetected, UniqueViolation)

UnitTicket = Ticket[Unit]


class LockedError(Exception):
    """A wallet's row lock was not to be had in time; nothing was applied."""


class NoAnswerError(Exception):
    """The database did not answer; `applied` is "no" or "unknown"."""

    def __init__(self, *, applied: str) -> None:
        super().__init__()
        self.applied = applied


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


def unsettled(tickets: list[UnitTicket]) -> list[UnitTicket]:
    """Those without an answer: what a caller has been told is never decided again."""
    return [ticket for ticket in tickets if not ticket.is_settled]


def locked_wallets(tickets: Sequence[UnitTicket]) -> set[Key]:
    """Which of their wallets somebody else holds locked; none if unknown."""
    keys = {key for one in tickets for key in one.request.wallet_keys}
    try:
        return locking.locked_wallets(keys)
    except DATABASE_ERRORS:
        return set()


def is_free(wallet: Key, *, timeout_ms: int) -> bool:
    """Wait for a wallet's lock to go; False if it did not, or nobody can tell."""
    try:
        locking.wait_for(wallet, timeout_ms=timeout_ms)
    except DATABASE_ERRORS:
        return False
    return True


def settle_locked(ticket: UnitTicket) -> None:
    """Refuse, because somebody else holds the wallet locked: nothing was applied."""
    detail = "Somebody else holds the wallet locked."
    ticket.settle(refuse(ticket.request, detail, applied="no"))


def serve_patiently(
    tickets: list[UnitTicket],
    lock_timeout_ms: int | None,
    otherwise: Callable[[UnitTicket], object] = settle_locked,
) -> None:
    """Post; hand those on, one by one, for whom a lock is still not to be had."""
    try:
        post_and_settle(tickets, lock_timeout_ms)
    except LockedError:
        for ticket in unsettled(tickets):
            try:
                post_and_settle([ticket], SINGLE_LOCK_TIMEOUT_MS)
            except LockedError:
                otherwise(ticket)


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
            detail = "The database did not answer; send it again, with its reference."
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
        locked: LockedError | None = None
        for ticket in tickets:
            try:
                post_and_settle([ticket], lock_timeout_ms)
            except LockedError as error_of_one:
                locked = error_of_one
        if locked is not None:
            raise locked
        return
    unit = tickets[0].request
    if unit.atomic or len(unit.operations) == 1:
        tickets[0].fail(error)
        return
    outcomes: list[Outcome] = []
    for operation in unit.operations:
        single = Ticket(
            Unit((operation,)), tenant_id=operation.tenant_id, deadline_ms=0
        )
        serve_patiently([single], lock_timeout_ms)
        if single.error is not None:
            tickets[0].fail(single.error)
            return
        outcomes.extend(single.result)
    tickets[0].settle(outcomes)


def post_with_retries(
    units: Sequence[Unit],
    lock_timeout_ms: int | None,
    pause: Callable[[float], None] = time.sleep,
    note: Note | None = None,
) -> list[list[Outcome]]:
    """Post as one transaction; repeat it after a conflict or a lost link.

    Repeating is safe even if the link was lost during COMMIT: see posting.post.
    Raises LockedError, NoAnswerError, or what else the database says.
    """
    applied, losses = "no", 0
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return posting.post(units, lock_timeout_ms=lock_timeout_ms, note=note)
        except psycopg.errors.LockNotAvailable as error:
            if applied == "no":
                raise LockedError from error
            last_error: Exception
            losses, last_error = losses + 1, error
        except ConnectionLostError as error:
            losses, last_error = losses + 1, error
            if error.in_doubt:
                applied = "unknown"
        except REPEATABLE as error:
            last_error = error
        except Exception as error:
            if not is_outage(error):
                raise
            raise NoAnswerError(applied=applied) from error
        if losses == MAX_LOSSES or is_late():
            break
        pause(jittered_s(RETRY_PAUSE_S, min(attempt, MAX_DOUBLINGS)))
    raise NoAnswerError(applied=applied) from last_error
