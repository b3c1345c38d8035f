"""Sweeps through all wallets, and writes down what does not agree."""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from flask import current_app
from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    Text,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from wallet_app.books.checking import Mismatch, Place, Step, check
from wallet_app.books.models import BooksMismatch, BooksSweep
from wallet_app.database import transaction
from wallet_app.database.conflicts import repeated
from wallet_app.ledger import wallets
from wallet_app.ledger.sql import unnested

logger = logging.getLogger(__name__)

NAME = "books"
# Keeps every statement, and its snapshot, far below a second.
ENTRIES_A_STEP = 2000
# A tenth of the time: the first duty of the machine is to money requests.
PAUSE_RATIO = 9
MAX_PAUSE_S = 2.0
# What is lost with a server that fails is checked again.
NO_WAIT = text("SET LOCAL synchronous_commit = off")

SWEEPS = BooksSweep.__table__.c
ADD_SWEEP = insert(BooksSweep.__table__).values(name=NAME).on_conflict_do_nothing()
# Whoever holds the row is the one who sweeps; nobody waits for a second turn.
LOCK_SWEEP = (
    select(*SWEEPS, func.now().label("now"))
    .where(SWEEPS.name == NAME)
    .with_for_update(skip_locked=True)
)
MOVE_SWEEP = update(BooksSweep.__table__).where(SWEEPS.name == NAME)

MISMATCHES = BooksMismatch.__table__.c
FOUND_COLUMNS = {"wallet_id": BigInteger, "kind": String, "detail": Text}
FOUND = unnested("found", FOUND_COLUMNS)
ADD_FOUND = insert(BooksMismatch.__table__).from_select(
    list(FOUND_COLUMNS), select(*FOUND.c)
)
NOTE = ADD_FOUND.on_conflict_do_update(
    index_elements=["wallet_id", "kind"],
    set_={
        "detail": ADD_FOUND.excluded.detail,
        "seen_at": func.now(),
        "cleared_at": None,
    },
)
CLEAR = update(BooksMismatch.__table__).values(cleared_at=func.now())


def sweep_for(seconds: float) -> None:
    """Go on with the sweep for some time, or until it is over; rest in between."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        if not sweep_on():
            return
        pause_s = (time.monotonic() - began) * PAUSE_RATIO
        time.sleep(min(pause_s, MAX_PAUSE_S, max(0.0, ends - time.monotonic())))


@repeated
def sweep_on() -> bool:
    """Check what comes next; False if there is nothing to do, or another does it.

    The place moves with what was found, in one transaction: one that is killed leaves
    nothing out.
    """
    interval: timedelta = current_app.extensions["audit_interval"]
    with transaction() as connection:
        connection.execute(NO_WAIT)
        connection.execute(ADD_SWEEP)
        sweep = connection.execute(LOCK_SWEEP).one_or_none()
        if sweep is None:
            return False
        place = Place(
            wallet_id=sweep.wallet_id,
            seq=sweep.seq,
            balance=sweep.balance,
            faulty=sweep.faulty,
        )
        if sweep.finished_at is not None:
            if sweep.now < sweep.started_at + interval:
                return False
            place = Place()
            begin = {"started_at": func.now(), "finished_at": None}
            connection.execute(MOVE_SWEEP.values(begin))
        step = check_and_note(connection, place)
        advance(connection, step)
    return step.place is not None


def advance(connection: Connection, step: Step) -> None:
    place = step.place or Place()
    connection.execute(
        MOVE_SWEEP.values(
            wallet_id=place.wallet_id,
            seq=place.seq,
            balance=place.balance,
            faulty=place.faulty,
            wallets=SWEEPS.wallets + literal(step.wallets),
            entries=SWEEPS.entries + literal(step.entries),
            finished_at=func.now() if step.place is None else None,
        )
    )


def check_all() -> Iterator[Step]:
    """Check all wallets now, without a rest; the sweep stays where it is."""
    place: Place | None = Place()
    while place is not None:
        step = check_in_transaction(place)
        yield step
        place = step.place


@repeated
def check_in_transaction(place: Place) -> Step:
    with transaction() as connection:
        return check_and_note(connection, place)


def check_and_note(connection: Connection, place: Place) -> Step:
    """Check what comes next, in the caller's transaction, and keep what is found."""
    step = check(connection, place, entries=ENTRIES_A_STEP)
    if step.sound:
        sound = MISMATCHES.wallet_id.in_(step.sound) & MISMATCHES.cleared_at.is_(None)
        connection.execute(CLEAR.where(sound))
    if step.mismatches:
        note(connection, step.mismatches)
    return step


def note(connection: Connection, mismatches: Sequence[Mismatch]) -> None:
    for one in mismatches:
        logger.error("books: wallet %s: %s: %s", one.wallet_uuid, one.kind, one.detail)
    connection.execute(
        NOTE,
        {
            "found_wallet_id": [one.wallet_id for one in mismatches],
            "found_kind": [one.kind for one in mismatches],
            "found_detail": [one.detail for one in mismatches],
        },
    )
    if current_app.extensions["freeze_on_mismatch"]:
        ids = {one.wallet_id for one in mismatches}
        logger.error("books: %d wallets are frozen", wallets.freeze(connection, ids))
