"""Releases what holds of idle wallets still hold after their time.

Nobody waits for it: whoever comes to such a wallet releases them himself.
"""

import logging
import time

from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure

from wallet_app.database import reading
from wallet_app.holds import queries
from wallet_app.ledger import posting
from wallet_app.ledger.rules import Key

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_MS = 100
# The first duty of the machine is to money requests.
PAUSE_S = 0.02
# Somebody else is at the wallet, and so releases them.
BUSY = (LockNotAvailable, DeadlockDetected, SerializationFailure)


def tidy_for(seconds: float) -> int:
    """Release overdue holds for some time; return how many were.

    Safe at any time and from any number of processes: the wallets' locks decide.
    """
    deadline = time.monotonic() + seconds
    released = 0
    while True:
        with reading() as connection:
            overdue = queries.overdue_wallets(connection)
        step = 0
        for wallet in overdue:
            if time.monotonic() > deadline:
                return released + step
            step += release(wallet)
            time.sleep(PAUSE_S)
        released += step
        if not step:
            return released


def release(wallet: Key) -> int:
    try:
        return posting.expire([wallet], lock_timeout_ms=LOCK_TIMEOUT_MS)
    except BUSY as error:
        logger.info("holds: wallet %s is busy: %s", wallet[1], error)
        return 0
