"""The feed's days: made when their first event comes, dropped when they are old."""

import re
from datetime import UTC, date, datetime, timedelta

from flask import current_app
from sqlalchemy import (
    Connection,
    Date,
    bindparam,
    func,
    literal,
    select,
    text,
    update,
)

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed.readers import FEED, READERS, RELAY
from wallet_app.ledger.tenants import Tenant

NAME = re.compile(r"feed_(\d{8})")
LOCK_TIMEOUT_MS = 2000
DAYS = text(
    "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid"
    " WHERE inhparent = 'feed'::regclass ORDER BY relname"
)


LAST_OF_TENANTS = (
    select(FEED.tenant_id, func.max(FEED.position + FEED["count"] - 1).label("last"))
    .where(FEED.fed_on == bindparam("day", type_=Date))
    .group_by(FEED.tenant_id)
    .subquery("dropping")
)
# Positions have gaps for each tenant: only this tells whether one of its own is gone.
NOTE_DROPPED = (
    update(Tenant)
    .where(Tenant.id == LAST_OF_TENANTS.c.tenant_id)
    .values(events_dropped_to=LAST_OF_TENANTS.c.last)
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
    """Drop the days that are older than is set and read by all; return them."""
    keep: timedelta = current_app.extensions["events_keep"]
    first_kept = datetime.now(UTC).date() - keep
    with reading() as connection:
        names = list(connection.scalars(DAYS))
    days = [
        date.fromisoformat(found[1]) for found in map(NAME.fullmatch, names) if found
    ]
    return [day for day in days if day < first_kept and drop(day)]


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
        connection.execute(NOTE_DROPPED, {"day": day})
        connection.execute(text(f"DROP TABLE IF EXISTS {name_of(day)}"))
    return True
