"""A replica that may answer reads, if it is as far as the reader has to see.

It decides nothing: what money needs is read on the primary, under locks. Whatever is
wrong with the replica, the primary answers instead.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from flask import current_app
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.database import connections
from wallet_app.database.engine import REPLICA, db
from wallet_app.database.outages import CONFLICTS, is_outage
from wallet_app.database.transactions import reader, reading

logger = logging.getLogger(__name__)
Found = TypeVar("Found")

# A read gives the replica no more of its request's time than this, and then it is left
# alone for a while.
PATIENCE_S = 2.0
PAUSE_S = 5.0


class StaleError(Exception):
    """The replica does not have yet what the reader has to see."""


class Replica:
    """The replica as one process sees it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ask_again_at = -math.inf
        self.is_away = False

    def read(
        self,
        is_fresh: Callable[[Connection], bool],
        read: Callable[[Connection], Found],
    ) -> Found:
        """What `read` finds on the replica; raises StaleError if that will not do."""
        if time.monotonic() < self.ask_again_at:
            raise StaleError
        ends = min(connections.deadline.get(), time.monotonic() + PATIENCE_S)
        before = connections.deadline.set(ends)
        try:
            with reader(db.engines[REPLICA]).connect() as connection:
                if not is_fresh(connection):
                    raise StaleError
                found = read(connection)
        except (DBAPIError, PoolTimeout) as error:
            # It may have had to cancel the statement, to go on replaying.
            if is_outage(error) and not is_conflict(error):
                self.note_away(error)
            raise StaleError from error
        finally:
            connections.deadline.reset(before)
        self.note_back()
        return found

    def note_away(self, error: Exception) -> None:
        """Leave it alone for a while; say so once."""
        with self.lock:
            self.ask_again_at = time.monotonic() + PAUSE_S
            was_away, self.is_away = self.is_away, True
        if not was_away:
            logger.warning("the replica does not answer, the primary does: %s", error)

    def note_back(self) -> None:
        if self.is_away:
            self.is_away = False
            logger.warning("the replica answers again")


def is_conflict(error: DBAPIError | PoolTimeout) -> bool:
    code = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return code.startswith(CONFLICTS)


def read_copy(
    is_fresh: Callable[[Connection], bool], read: Callable[[Connection], Found]
) -> Found:
    """What `read` finds: on the replica if `is_fresh` there, or on the primary."""
    if REPLICA in db.engines:
        replica: Replica = current_app.extensions.setdefault("replica", Replica())
        try:
            return replica.read(is_fresh, read)
        except StaleError:
            pass
    with reading() as connection:
        return read(connection)
