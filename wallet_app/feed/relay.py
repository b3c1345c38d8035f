"""Moves the journal's rows into the feed and gives them their positions."""

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
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


def moving() -> Any:
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
    return (
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
    )


MOVE = moving()


@repeated
def relay() -> int:
    """Move a bounded number of rows; return how many events they are.

    Safe at any time and if killed: a position is given under the head's lock, for
    which a second relay waits, and becomes visible in order.
    """
    today = datetime.now(UTC).date()
    with transaction() as connection:
        head = readers.lock(connection, readers.RELAY)
        partitions.ensure(connection, today)
        moved = connection.scalars(MOVE, {"head": head, "today": today}).all()
        events: int = sum(moved)
        if events:
            readers.advance(connection, readers.RELAY, head + events)
    return events


def relay_for(seconds: float) -> None:
    """Move rows until there are none, or for some time."""
    deadline = time.monotonic() + seconds
    while relay() and time.monotonic() < deadline:
        pass
