"""Transactions that the database gives up for another one's sake are made again."""

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from psycopg.errors import DeadlockDetected, SerializationFailure
from sqlalchemy.exc import DBAPIError

from wallet_app.database.connections import is_late

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

MAX_ATTEMPTS = 20
PAUSE_S = 0.01
MAX_DOUBLINGS = 4


def jittered_s(pause_s: float, doublings: int) -> float:
    """A random pause, so that those who met do not meet again."""
    return random.uniform(0, pause_s * 2**doublings)  # noqa: S311


def repeated(work: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Call again after a serialization failure or a deadlock.

    For work that is one transaction, or several that are each safe to repeat. The
    money path has a repetition of its own, which looks references up.
    """

    @functools.wraps(work)
    def repeat(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                return work(*args, **options)
            except DBAPIError as error:
                conflict = isinstance(
                    error.orig, SerializationFailure | DeadlockDetected
                )
                if not conflict or is_late():
                    raise
            time.sleep(jittered_s(PAUSE_S, min(attempt, MAX_DOUBLINGS)))
        return work(*args, **options)

    return repeat
