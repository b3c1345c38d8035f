"""Tells Celery that there is work; the work itself is in the tables.

A hint may be lost: beat looks for work that waits. So a broker that is down costs a
request a short, bounded try, and for a while after that nothing.
"""

import logging
import threading
import time

from flask import current_app

logger = logging.getLogger(__name__)

WRITE_STATEMENT = "wallet_app.statements.tasks.write_statement"
POST_IMPORT = "wallet_app.imports.tasks.post_import"
ROLL_UP = "wallet_app.statistics.tasks.roll_up"
EXPIRES_S = 60
SILENCE_AFTER_FAILURE_S = 10.0
# One request at a time finds out that the broker hangs; the others do not wait for it.
sending = threading.Lock()
silent_until = 0.0


def send(task: str, *args: str | int) -> bool:
    """Send a task by name; return whether the broker has taken it. Never raises."""
    global silent_until  # noqa: PLW0603
    if time.monotonic() < silent_until or not sending.acquire(timeout=0.5):
        return False
    try:
        current_app.extensions["celery"].send_task(
            task, args, retry=False, expires=EXPIRES_S, ignore_result=True
        )
    except Exception as error:
        silent_until = time.monotonic() + SILENCE_AFTER_FAILURE_S
        logger.warning("no hint for %s: %s: %s", task, type(error).__name__, error)
        return False
    finally:
        sending.release()
    return True
