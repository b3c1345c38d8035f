"""Moves the journal's rows into the feed and gives them their positions."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Date,
    Select,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
)

from wallet_app.database import transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed import partitions, readers
from wallet_app.feed.models import FeedRow
from wallet_app.ledger.journal import BEHIND, JOURNAL, JournalRow

ROWS_A_STEP = 500
MAX_RUN_S = 60.0
# A good quarter of the time: the first duty of the machine is to money requests.
PAUSE_RATIO = 2.5
# One row costs nearly as much as a hundred: what comes meanwhile is moved together.
GATHER_S = 0.2
HEAD = bindparam("head", type_=BigInteger)
TODAY = bindparam("today", type_=Date)
COLUMNS = [
    "position",
    "fed_on",
    "count",
    "tenant_id",
    "kind",
    "wallet_ids",
    "seqs",
    "created_at",
]


@dataclass(frozen=True)
class Step:
    """What has been moved at once."""

    rows: int
    events: int

    @property
    def is_full(self) -> bool:
        """Whether there may be more."""
        return self.rows >= ROWS_A_STEP


def moving() -> Select[int, int]:
    """Take rows from the journal, oldest first, and number them behind the head.

    A wallet's row is written under its lock, so whoever sees one sees those before it.
    """
    oldest = (
        select(JOURNAL.id)
        .where(JOURNAL.kind != BEHIND)
        .order_by(JOURNAL.id)
        .limit(ROWS_A_STEP)
        .with_for_update(skip_locked=True)
    )
    taken = (
        delete(JournalRow.__table__)
        .where(JOURNAL.id.in_(oldest))
        .returning(*JOURNAL)
        .cte("taken")
    )
    count = func.cardinality(taken.c.wallet_ids)
    up_to = func.sum(count).over(order_by=taken.c.id)
    moved = (
        insert(FeedRow.__table__)
        .from_select(
            COLUMNS,
            select(
                cast(HEAD + up_to - count + 1, BigInteger),
                TODAY,
                count,
                taken.c.tenant_id,
                taken.c.kind,
                taken.c.wallet_ids,
                taken.c.seqs,
                taken.c.created_at,
            ),
        )
        .returning(FeedRow.count)
        .cte("moved")
    )
    events = cast(func.coalesce(func.sum(moved.c.count), 0), BigInteger)
    return select(func.count(), events).select_from(moved)


MOVE = moving()


def relay() -> int:
    """Move a bounded number of rows; return how many events they are."""
    return move().events


@repeated
def move() -> Step:
    """Move a bounded number of rows.

    Safe at any time and if killed: a position is given under the head's lock, for
    which a second relay waits, and becomes visible in order.
    """
    today = datetime.now(UTC).date()
    with transaction() as connection:
        head = readers.lock(connection, readers.RELAY)
        partitions.ensure(connection, today)
        moved = connection.execute(MOVE, {"head": head, "today": today}).one()
        step = Step(rows=moved[0], events=moved[1])
        if step.events:
            readers.advance(connection, readers.RELAY, head + step.events)
    return step


def relay_for(seconds: float) -> None:
    """Move rows until there are none, or for some time; with pauses."""
    deadline = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        step = move()
        ended = time.monotonic()
        if not step.events or ended >= deadline:
            return
        time.sleep((ended - started) * PAUSE_RATIO if step.is_full else GATHER_S)
