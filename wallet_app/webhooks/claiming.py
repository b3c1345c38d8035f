"""Workers claim deliveries in lanes: what one connection sends, one after the other.

In an ordered webhook a lane holds the beginnings of wallets' pending deliveries. While
one is claimed, or its first waits for its next attempt, the wallet is in no other lane.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    DateTime,
    Select,
    Uuid,
    bindparam,
    exists,
    func,
    literal,
    select,
    text,
    update,
)
from uuid_utils.compat import uuid4

from wallet_app.database import AnyRow, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed import events
from wallet_app.http.fields import moment_text
from wallet_app.ledger.sql import unnested
from wallet_app.webhooks import registry
from wallet_app.webhooks.deliveries import DELIVERIES, EVENT_TYPE_OF, TABLE, TEST
from wallet_app.webhooks.recording import NO_WAIT
from wallet_app.webhooks.registry import WEBHOOKS

# How many lanes a worker process has at a time, for one webhook.
LANES = 8
MAX_IN_A_LANE = 100
# An endpoint that has failed for so long gets one lane only: it may hang.
PATIENCE = timedelta(seconds=30)
# Longer than a lane may take: see delivering.LANE_S.
LEASE = timedelta(seconds=60)
# Of what is due, so many are looked at for other wallets' lanes.
LOOKED_AT = 200

THIS = bindparam("webhook_id", type_=Uuid)
LIMIT = bindparam("limit", type_=BigInteger)
PENDING = (DELIVERIES.webhook_id == THIS) & (DELIVERIES.state == "pending")
DUE: Select[Any] = (
    select(*DELIVERIES)
    .where(PENDING, DELIVERIES.next_attempt_at <= func.now())
    .where(DELIVERIES.wallet_id != func.all(bindparam("busy", type_=ARRAY(BigInteger))))
    .order_by(DELIVERIES.next_attempt_at)
    .limit(LIMIT)
)
WALLET = unnested("wallet", {"id": BigInteger})
FIRST = (
    select(*DELIVERIES)
    .where(PENDING, DELIVERIES.wallet_id == WALLET.c.id)
    .order_by(DELIVERIES.position)
    .limit(LIMIT)
    .lateral("first")
)
FIRST_OF_WALLETS = select(*FIRST.c).join_from(WALLET, FIRST, text("true"))
LATER = unnested("later", {"id": Uuid, "at": DateTime(timezone=True)})
PUT_OFF = (
    update(TABLE).where(DELIVERIES.id == LATER.c.id).values(next_attempt_at=LATER.c.at)
)
CLAIM = (
    update(TABLE)
    .where(DELIVERIES.id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    .values(
        next_attempt_at=func.now() + literal(LEASE),
        lease_id=bindparam("lease", type_=Uuid),
    )
)
WEBHOOKS_WITH_DUE = select(WEBHOOKS.id).where(
    ~WEBHOOKS.disabled,
    exists().where(
        DELIVERIES.webhook_id == WEBHOOKS.id,
        DELIVERIES.state == "pending",
        DELIVERIES.next_attempt_at <= func.now(),
    ),
)


@dataclass(frozen=True)
class Lane:
    """Claimed deliveries of one webhook, in order, each with its body."""

    webhook: AnyRow
    keys: list[str]
    wallet_ids: frozenset[int]
    lease_id: UUID
    deliveries: Sequence[AnyRow]
    bodies: Sequence[str]


@repeated
def claim(webhook_id: UUID, *, busy: Collection[Lane]) -> list[Lane]:
    """New lanes for a webhook, beside those that are at work in this process."""
    with transaction() as connection:
        connection.execute(NO_WAIT)
        # Whoever claims does so alone, so that no wallet gets a second lane.
        webhook = connection.execute(
            select(*WEBHOOKS, func.now().label("now"))
            .where(WEBHOOKS.id == webhook_id, ~WEBHOOKS.disabled)
            .with_for_update(skip_locked=True, key_share=True)
        ).one_or_none()
        if webhook is None:
            return []
        free = lanes_of(webhook) - len(busy)
        if free <= 0:
            return []
        choose = choose_by_wallet if webhook.ordered else choose_any
        wallets = [one for lane in busy for one in lane.wallet_ids]
        chosen = choose(connection, webhook, free, wallets)
        return [lease(connection, webhook, rows) for rows in chosen if rows]


def lanes_of(webhook: AnyRow) -> int:
    since = webhook.failing_since
    return 1 if since is not None and since < webhook.now - PATIENCE else LANES


def choose_any(
    connection: Connection, webhook: AnyRow, free: int, _busy: list[int]
) -> list[Sequence[AnyRow]]:
    """What is due, dealt out to the lanes."""
    limit = free * MAX_IN_A_LANE
    parameters = {"webhook_id": webhook.id, "limit": limit, "busy": []}
    due = connection.execute(DUE, parameters).all()
    return [due[lane::free] for lane in range(free)]


def choose_by_wallet(
    connection: Connection, webhook: AnyRow, free: int, busy: list[int]
) -> list[Sequence[AnyRow]]:
    """The wallets whose turn it is, dealt out to the lanes."""
    this = {"webhook_id": webhook.id}
    due = connection.execute(DUE, {**this, "limit": LOOKED_AT, "busy": busy}).all()
    wallets = list(dict.fromkeys(row.wallet_id for row in due))
    heads = first_of(connection, webhook, wallets, 1)
    waiting = {
        wallet_id: head.next_attempt_at
        for wallet_id, (head, *_) in heads.items()
        if head.next_attempt_at > webhook.now
    }
    at_rest = {one for one in waiting if heads[one][0].lease_id is None}
    put_off = [row for row in due if row.wallet_id in at_rest]
    if put_off:
        # Or they would be looked at, in vain, before what can be delivered.
        later = [waiting[row.wallet_id] for row in put_off]
        ids = [row.id for row in put_off]
        connection.execute(PUT_OFF, {"later_id": ids, "later_at": later})
    ready = [one for one in wallets if one not in waiting]
    most = max(1, free * MAX_IN_A_LANE // max(1, len(ready)))
    runs = [
        list(takewhile(lambda row: row.next_attempt_at <= webhook.now, rows))
        for rows in first_of(connection, webhook, ready, most).values()
    ]
    return [[row for run in runs[lane::free] for row in run] for lane in range(free)]


def first_of(
    connection: Connection, webhook: AnyRow, wallets: list[int], limit: int
) -> dict[int, list[AnyRow]]:
    """The first pending deliveries of wallets, due or not."""
    if not wallets:
        return {}
    parameters = {"webhook_id": webhook.id, "wallet_id": wallets, "limit": limit}
    found: dict[int, list[AnyRow]] = {}
    for row in connection.execute(FIRST_OF_WALLETS, parameters):
        found.setdefault(row.wallet_id, []).append(row)
    return found


def lease(connection: Connection, webhook: AnyRow, rows: Sequence[AnyRow]) -> Lane:
    lease_id = uuid4()
    wallets = {row.wallet_id for row in rows} if webhook.ordered else ()
    connection.execute(CLAIM, {"ids": [row.id for row in rows], "lease": lease_id})
    return Lane(
        webhook=webhook,
        keys=registry.keys_of(webhook),
        wallet_ids=frozenset(wallets),
        lease_id=lease_id,
        deliveries=rows,
        bodies=bodies_of(connection, rows),
    )


def bodies_of(connection: Connection, rows: Sequence[AnyRow]) -> list[str]:
    """What is sent: the event as GET /api/v1/events would show it, or a test."""
    told = [row for row in rows if row.kind != TEST]
    found = events.read_events(connection, told)
    by_position = {event.position: event for event in found}
    return [
        current_app.json.dumps(
            test_body(row)
            if row.kind == TEST
            else event_body(by_position[row.position])
        )
        for row in rows
    ]


def event_body(event: events.Event) -> dict[str, Any]:
    return {
        "type": event.type,
        "timestamp": moment_text(event.time),
        "position": event.position,
        "wallet_uuid": event.wallet_uuid,
        "data": event.data,
    }


def test_body(row: AnyRow) -> dict[str, Any]:
    return {
        "type": EVENT_TYPE_OF[TEST],
        "timestamp": moment_text(row.created_at),
        "position": None,
        "wallet_uuid": None,
        "data": {"webhook_id": row.webhook_id},
    }
