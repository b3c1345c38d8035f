"""Writes down which webhook is to be told of which event: a reader of the feed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import BigInteger, Connection, String, Uuid, select, text
from sqlalchemy.dialects.postgresql import insert

from wallet_app.database import AnyRow, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed import readers
from wallet_app.feed.events import TYPES
from wallet_app.ledger.sql import unnested
from wallet_app.webhooks.models import WebhookDelivery
from wallet_app.webhooks.registry import WEBHOOKS

READER = "webhooks"
# So many deliveries at a time, but one row of the feed at least.
MOST_ROWS = 5000
# What is lost with a server that fails is recorded again, under the same ids.
NO_WAIT = text("SET LOCAL synchronous_commit = off")

COLUMNS = {
    "id": Uuid,
    "webhook_id": Uuid,
    "position": BigInteger,
    "kind": String,
    "wallet_id": BigInteger,
    "seq": BigInteger,
}
NEW = unnested("new", COLUMNS)
INSERT = (
    insert(WebhookDelivery.__table__)
    .from_select(list(COLUMNS), select(*NEW.c))
    .on_conflict_do_nothing(index_elements=["id"])
)
LISTENING = select(
    WEBHOOKS.id, WEBHOOKS.tenant_id, WEBHOOKS.event_types, WEBHOOKS.after_position
).where(~WEBHOOKS.disabled)

Delivery = tuple[UUID, UUID, int, str, int, int | None]


@repeated
def record() -> int:
    """Turn some of what is new in the feed into deliveries; return how many events.

    The position moves with the deliveries, in one transaction.
    """
    with transaction() as connection:
        connection.execute(NO_WAIT)
        start = readers.lock(connection, READER)
        webhooks = connection.execute(LISTENING).all()
        if not webhooks:
            return 0
        # Nobody wants what lies before.
        start = max(start, min(webhook.after_position for webhook in webhooks))
        of_tenants = by_tenant(webhooks)
        most = max(1, MOST_ROWS // max(map(len, of_tenants.values())))
        rows = readers.read(connection, after=start, events=most)
        if not rows:
            return 0
        insert_in(connection, list(deliveries_of(rows, of_tenants)))
        end = rows[-1].position + rows[-1]._mapping["count"] - 1
        readers.advance(connection, READER, end)
    return int(end - start)


def insert_in(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Insert deliveries in the caller's transaction."""
    if deliveries:
        columns = map(list, zip(*deliveries, strict=True))
        names = [f"new_{name}" for name in COLUMNS]
        connection.execute(INSERT, dict(zip(names, columns, strict=True)))


def by_tenant(webhooks: Sequence[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for one in webhooks:
        found.setdefault(one.tenant_id, []).append(one)
    return found


def deliveries_of(
    rows: Sequence[AnyRow], webhooks: Mapping[int, Sequence[Any]]
) -> Iterator[Delivery]:
    """What the tenants' webhooks want of the feed's rows."""
    for row in rows:
        own, kind = webhooks.get(row.tenant_id, ()), TYPES[row.kind]
        wanted_by = [one for one in own if kind in one.event_types]
        if not wanted_by:
            continue
        for place, wallet_id in enumerate(row.wallet_ids):
            position = row.position + place
            seq = row.seqs[place] if row.seqs else None
            for one in wanted_by:
                if position > one.after_position:
                    delivery_id = uuid5(one.id, str(position))
                    yield delivery_id, one.id, position, row.kind, wallet_id, seq
