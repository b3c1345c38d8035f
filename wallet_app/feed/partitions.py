"""The feed's days: made when their first event comes, dropped when they are old.

What a day's events have told of wallets is kept for a while longer.
"""

import re
from datetime import UTC, date, datetime, timedelta

from flask import current_app
from sqlalchemy import (
    BigInteger,
    Connection,
    Date,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    update,
)

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed.readers import FEED, READERS, RELAY
from wallet_app.ledger import told
from wallet_app.ledger.journal import POSTED
from wallet_app.ledger.tenants import Tenant
from wallet_app.ledger.told import TOLD

NAME = re.compile(r"feed_(\d{8})")
LOCK_TIMEOUT_MS = 2000
# Webhooks' deliveries read it too, and are forgotten after a week: twice that.
KEEP_TOLD = timedelta(days=14)
ROWS_A_STATEMENT = 5000
DAYS = text(
    "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid"
    " WHERE inhparent = 'feed'::regclass ORDER BY relname"
)


THIS_DAY = FEED.fed_on == bindparam("day", type_=Date)
LAST_OF_TENANTS = (
    select(FEED.tenant_id, func.max(FEED.position + FEED["count"] - 1).label("last"))
    .where(THIS_DAY)
    .group_by(FEED.tenant_id)
    .subquery("dropping")
)
# Positions have gaps for each tenant: only this tells whether one of its own is gone.
NOTE_DROPPED = (
    update(Tenant)
    .where(Tenant.id == LAST_OF_TENANTS.c.tenant_id)
    .values(events_dropped_to=LAST_OF_TENANTS.c.last)
)
RETIRE_TOLD = (
    update(told.TABLE)
    .where(
        TOLD.id.in_(
            select(-func.unnest(FEED.seqs)).where(THIS_DAY, FEED.kind != POSTED)
        )
    )
    .values(retired_at=func.now())
)
FORGET_TOLD = delete(told.TABLE).where(
    TOLD.id.in_(
        select(TOLD.id)
        .where(TOLD.retired_at < func.now() - literal(KEEP_TOLD))
        .limit(bindparam("most", type_=BigInteger))
    )
)


def name_of(day: date) -> str:
    return f"feed_{day:%Y%m%d}"


def ensure(connection: Connection, day: date) -> None:
    """Make a day's partition, in the caller's transaction, unless it is there."""
    name = name_of(day)
    if connection.scalar(select(func.to_regclass(literal(name)))) is None:
        end = day + timedelta(days=1)
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF feed"
                f" FOR VALUES FROM ('{day}') TO ('{end}')"
            )
        )


def prune() -> list[date]:
    """Drop the days that are older than is set and read by all; return them.

    Forgets what only days told that are long gone.
    """
    keep: timedelta = current_app.extensions["events_keep"]
    first_kept = datetime.now(UTC).date() - keep
    with reading() as connection:
        names = list(connection.scalars(DAYS))
    days = [
        date.fromisoformat(found[1]) for found in map(NAME.fullmatch, names) if found
    ]
    dropped = [day for day in days if day < first_kept and drop(day)]
    while forget_told() == ROWS_A_STATEMENT:
        pass
    return dropped


@repeated
def drop(day: date) -> bool:
    """Drop a day; False if a reader has still to read it."""
    with transaction() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS:d}"))
        last = connection.scalar(
            select(func.max(FEED.position + FEED["count"] - 1)).where(
                FEED.fed_on == day
            )
        )
        slowest = connection.scalar(
            select(func.min(READERS.position)).where(READERS.name != RELAY)
        )
        if last is not None and slowest is not None and slowest < last:
            return False
        # There is no telling how much has been told in a day.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(RETIRE_TOLD, {"day": day})
        connection.execute(NOTE_DROPPED, {"day": day})
        connection.execute(text(f"DROP TABLE IF EXISTS {name_of(day)}"))
    return True


@repeated
def forget_told() -> int:
    """Forget some of what wallets were; return of how many."""
    with transaction() as connection:
        return connection.execute(FORGET_TOLD, {"most": ROWS_A_STATEMENT}).rowcount
