"""Lets requests go first: how long an import rests, and how much it posts at once."""

import time

from sqlalchemy import text

from wallet_app.database import reading

LOOK_INTERVAL_S = 0.5
# Postings a second, each of one request or many, from which on others are at work.
BUSY_FROM = 10.0
# While they are, it rests so many times as long as it has worked.
REST_RATIO = 4.0
MAX_REST_S = 1.0
ROWS_ALONE = 2000
# Its wallets are locked while it posts: for a shorter time where others want them.
ROWS_BESIDE = 250
# Each posting writes a row of the journal, and takes its number from here.
POSTED = text("SELECT last_value FROM journal_id_seq")


class Pace:
    """Watches the journal's numbers: those that are not ours are of others."""

    def __init__(self) -> None:
        self.is_busy = False
        self.ours = 0
        self.looked_at = time.monotonic()
        self.last_value = read_posted()

    @property
    def rows(self) -> int:
        """How many to post at once."""
        return ROWS_BESIDE if self.is_busy else ROWS_ALONE

    def rest(self, worked_s: float) -> None:
        """After a posting that took so long."""
        self.ours += 1
        self.look()
        if self.is_busy:
            time.sleep(min(worked_s * REST_RATIO, MAX_REST_S))

    def look(self) -> None:
        now = time.monotonic()
        passed_s = now - self.looked_at
        if passed_s < LOOK_INTERVAL_S:
            return
        posted = read_posted()
        others = posted - self.last_value - self.ours
        self.is_busy = others / passed_s >= BUSY_FROM
        self.ours, self.looked_at, self.last_value = 0, now, posted


def read_posted() -> int:
    with reading() as connection:
        return int(connection.execute(POSTED).scalar_one())
