"""Readers of the feed: a name, a position, and the work of whoever holds its lock.

A reader locks its position, reads behind it, does its work and advances, all in one
transaction: nothing is read twice, nothing is left out, whatever is killed.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from wallet_app.database import AnyRow
from wallet_app.feed.models import FeedReader, FeedRow
from wallet_app.ledger.tenants import Tenant

# The relay's position is the last one that has been given.
RELAY = "relay"
FEED = FeedRow.__table__.c
MOST_ROWS = 1000
READERS = FeedReader.__table__.c
ADD = insert(FeedReader.__table__).on_conflict_do_nothing()


def position_of(name: str) -> ColumnElement[Any]:
    """A reader's position, within a statement."""
    found = select(READERS.position).where(READERS.name == name).scalar_subquery()
    return func.coalesce(found, 0)


def position(connection: Connection, name: str) -> int:
    """Where a reader is; 0 if it has never read."""
    return int(connection.scalars(select(position_of(name))).one())


def last_of(connection: Connection, tenant_id: int) -> int:
    """The position of a tenant's last event; 0 if none is kept."""
    last = (
        select(FEED.position + FEED["count"] - 1)
        .where(FEED.tenant_id == tenant_id)
        .order_by(FEED.position.desc())
        .limit(1)
    )
    return connection.scalar(last) or 0


def oldest(connection: Connection, tenant_id: int) -> int | None:
    """The position of a tenant's oldest event that is kept."""
    kept = select(func.min(FEED.position)).where(FEED.tenant_id == tenant_id)
    return connection.scalar(kept)


def dropped(connection: Connection, tenant_id: int) -> int:
    """Up to which position a tenant's events are kept no more."""
    return int(
        connection.scalars(
            select(Tenant.events_dropped_to).where(Tenant.id == tenant_id)
        ).one_or_none()
        or 0
    )


def lock(connection: Connection, name: str) -> int:
    """Wait for a reader's position and hold it."""
    found = select(READERS.position).where(READERS.name == name).with_for_update()
    position: int | None = connection.scalar(found)
    if position is None:
        connection.execute(ADD, {"name": name})
        position = connection.scalars(found).one()
    return position


def advance(connection: Connection, name: str, position: int) -> None:
    """Move a reader whose position the caller holds."""
    moving = update(FeedReader.__table__).where(READERS.name == name)
    connection.execute(moving.values(position=position))


def read(connection: Connection, *, after: int, events: int) -> Sequence[AnyRow]:
    """Rows behind a position with up to that many events, but one row at least."""
    rows = connection.execute(
        select(
            FEED.position,
            FEED["count"],
            FEED.tenant_id,
            FEED.kind,
            FEED.wallet_ids,
            FEED.seqs,
        )
        .where(FEED.position > after)
        .order_by(FEED.position)
        .limit(min(events, MOST_ROWS))
    ).all()
    taken = 0
    for place, row in enumerate(rows):
        taken += row._mapping["count"]
        if taken > events:
            return rows[: max(1, place)]
    return rows
