"""Posts an import, part after part; safe to be killed, and to be run twice.

What is told of a part is written in the transaction that posts it, and only by whoever
has the import's lease: a part is posted once, and what is told of it is so.
"""

import contextvars
import gc
import logging
import sys
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from flask import current_app
from sqlalchemy import Row

from wallet_app.background import ending
from wallet_app.background.jobs import LeaseLostError
from wallet_app.database import ConnectionLostError, is_outage, pipeline
from wallet_app.database.conflicts import jittered_s
from wallet_app.imports import lifecycle, rows, steps
from wallet_app.imports.outcomes import Told
from wallet_app.imports.pace import Pace
from wallet_app.imports.steps import Part
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import Operation, Refusal
from wallet_app.ledger.settling import LockedError, NoAnswerError, post_with_retries
from wallet_app.operations.requests import operations_from

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_MS = 200
LOCKED_PAUSE_S = 0.05
MAX_DOUBLINGS = 5
# Of the two threads, the one that has heard of the database goes on soon.
SWITCH_INTERVAL_S = 0.0005
# A part makes many objects, and few cycles.
GC_THRESHOLD = 20_000
LOCKED = "Somebody else holds a wallet locked; it waits."
NOT_POSTED = Refusal(
    "internal_error", "The service has failed to post it; the log says why."
)
Item = TypeVar("Item")


def keep() -> timedelta:
    """How long what is told of an import's lines is kept."""
    age: timedelta = current_app.extensions["imports_keep"]
    return age


def run(import_id: UUID, *, seconds: float) -> bool:
    """Post a free import for some time; return whether it is finished.

    A failure gives it back for another try.
    """
    claimed = lifecycle.claim(import_id)
    if claimed is None:
        return False
    try:
        if post_for(claimed, seconds):
            lifecycle.finish(claimed, keep())
            return True
        lifecycle.release(claimed)
    except LeaseLostError:
        logger.info("import %s was cancelled, or went to another worker", import_id)
    except BaseException as error:
        lifecycle.release(claimed, error=f"Interrupted: {type(error).__name__}.")
        raise
    return False


def post_for(claimed: Row[Any], seconds: float) -> bool:
    """Post until the time is over; return whether all is posted."""
    deadline = time.monotonic() + seconds
    pace = Pace()
    with quick(), closing(one_ahead(parts(claimed, pace))) as coming:
        for part in coming:
            began = time.monotonic()
            while not post(claimed, part):
                lifecycle.keep_lease(claimed, LOCKED)
                if time.monotonic() > deadline or ending.is_near():
                    return False
            if part.is_last:
                steps.drop_chunks(claimed.id, part.end_line)
            pace.rest(time.monotonic() - began)
            if time.monotonic() > deadline or ending.is_near():
                return bool(part.end_line == claimed.end_line)
    return True


def parts(claimed: Row[Any], pace: Pace) -> Iterator[Part]:
    """What is left of the import, read and checked, in the file's order."""
    line: int = claimed.next_line
    while line < claimed.end_line:
        chunk = steps.read_chunk(claimed.id, line)
        lines = chunk.data.split(b"\n")[line - chunk.first_line :]
        while lines:
            some, lines = lines[: pace.rows], lines[pace.rows :]
            part = Part(
                line,
                line + len(some),
                sum(map(len, some)) + len(some),
                list(rows.read(claimed.id, line, some, claimed.columns)),
                is_last=not lines,
            )
            # A hold, or what is refunded, may be what the part before has still to do.
            named = (row.member for row in part.rows if row.member)
            if not any("hold" in one or "refund_of" in one for one in named):
                part.operations = operations_of(claimed, part)
            yield part
            line += len(some)


@contextmanager
def quick() -> Iterator[None]:
    """The interpreter set for this work, and as it was behind it."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)


def one_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items; the next is made while the last is at work with the database."""
    context = contextvars.copy_context()

    def make() -> Item | None:
        return context.run(lambda: next(items, None))

    with ThreadPoolExecutor(1, "import") as maker:
        coming = maker.submit(make)
        while (item := coming.result()) is not None:
            coming = maker.submit(make)
            yield item


def post(claimed: Row[Any], part: Part) -> bool:
    """Post a part, or nothing of it: False if a wallet's lock was not to be had.

    Of a part that fails as a whole, the halves are posted by themselves, down to the
    row that is to blame, which is refused.
    """
    try:
        post_whole(claimed, part)
    except LockedError:
        time.sleep(jittered_s(LOCKED_PAUSE_S, MAX_DOUBLINGS))
        return False
    except NoAnswerError as error:
        raise ConnectionLostError(str(error.__cause__), in_doubt=True) from error
    except LeaseLostError:
        # A link that broke during COMMIT: it may have got through.
        if not steps.is_behind(claimed, part.end_line):
            raise
    except Exception as error:
        if is_outage(error):
            raise
        logger.exception("import %s, line %d", claimed.id, part.first_line)
        if len(part.rows) > 1:
            return all(post_patiently(claimed, half) for half in part.halves())
        part.rows[0].refusal, part.operations = NOT_POSTED, None
        post_whole(claimed, part)
    return True


def post_patiently(claimed: Row[Any], part: Part) -> bool:
    """Post a half, however often it takes: what is before it is posted already."""
    while not post(claimed, part):
        lifecycle.keep_lease(claimed, LOCKED)
    return True


def post_whole(claimed: Row[Any], part: Part) -> None:
    """Post a part's rows, and what is told of them, in one transaction."""
    operations = part.operations
    if operations is None:
        operations = operations_of(claimed, part)

    def note(connection: psycopg.Connection, outcomes: list[list[Outcome]]) -> None:
        told = Told(part.rows, outcomes[0] if outcomes else [])
        steps.step(connection, claimed, part, told)

    if not operations:
        with pipeline() as connection:
            note(connection, [])
        return
    post_with_retries([Unit(operations)], LOCK_TIMEOUT_MS, note=note)


def operations_of(claimed: Row[Any], part: Part) -> list[Operation]:
    """The operations of a part's rows that are not refused."""
    good = [row for row in part.rows if row.refusal is None]
    return operations_from(
        claimed.tenant_id,
        [row.member or {} for row in good],
        [row.reference_id for row in good if row.reference_id],
    )
