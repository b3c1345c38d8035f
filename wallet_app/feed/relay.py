"""Moves the journal's rows into the feed and gives them their positions."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Date,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
)

from wallet_app.database import transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed import readers
from wallet_app.feed.models import FeedRow
from wallet_app.ledger.journal import BEHIND, JOURNAL, JournalRow

ROWS_A_STEP = 500
HEAD = bindparam("head", type_=BigInteger)
TODAY = bindparam("today", type_=Date)
COLUMNS = [
    "position",
    "fed_on",
    "count",
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
        ensure_partition(connection, today)
        moved = connection.scalars(MOVE, {"head": head, "today": today}).all()
        events: int = sum(moved)
        if events:
            readers.advance(connection, readers.RELAY, head + events)
    return events


def partition_of(day: date) -> str:
    return f"feed_{day:%Y%m%d}"


def ensure_partition(connection: Connection, day: date) -> None:
    """Make the day's partition, if it is the day's first row."""
    name = partition_of(day)
    if connection.scalar(select(func.to_regclass(literal(name)))) is None:
        end = day + timedelta(days=1)
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF feed"
                f" FOR VALUES FROM ('{day}') TO ('{end}')"
            )
        )
