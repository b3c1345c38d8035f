"""Deliveries for those who look after a webhook: listed, made again, tried out."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, func, select, tuple_, update
from uuid_utils.compat import uuid7

from wallet_app.access import audit
from wallet_app.database import AnyRow, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import DeliveryNotFound, WebhookDisabled
from wallet_app.feed import readers
from wallet_app.feed.events import TYPES
from wallet_app.webhooks import registry
from wallet_app.webhooks.models import WebhookDelivery
from wallet_app.webhooks.recording import insert_in

TEST = "test"
EVENT_TYPE_OF = {**TYPES, TEST: "webhook.test"}
# A test belongs to no wallet.
NO_WALLET = 0

TABLE = WebhookDelivery.__table__
DELIVERIES = TABLE.c
PLACE = tuple_(DELIVERIES.position, DELIVERIES.id)


def list_page(
    connection: Connection,
    webhook_id: UUID,
    *,
    limit: int,
    before: tuple[int, UUID] | None,
) -> Sequence[AnyRow]:
    """Up to `limit` deliveries, newest first, from before a position and id."""
    statement = (
        select(*DELIVERIES)
        .where(DELIVERIES.webhook_id == webhook_id)
        .order_by(DELIVERIES.position.desc(), DELIVERIES.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(*before) > PLACE)
    return connection.execute(statement).all()


def find_enabled(connection: Connection, tenant_id: int, webhook_id: UUID) -> None:
    """Raise WebhookNotFound or WebhookDisabled."""
    if registry.find(connection, tenant_id, webhook_id).disabled:
        raise WebhookDisabled('Enable it first: change it with {"disabled": false}.')


@repeated
def redeliver(tenant_id: int, webhook_id: UUID, delivery_id: UUID) -> AnyRow:
    """Have a delivery made once more, and soon; raises DeliveryNotFound.

    One that a worker is at is left alone.
    """
    with transaction() as connection:
        find_enabled(connection, tenant_id, webhook_id)
        this = (DELIVERIES.id == delivery_id, DELIVERIES.webhook_id == webhook_id)
        connection.execute(
            update(TABLE)
            .where(*this, DELIVERIES.lease_id.is_(None))
            .values(state="pending", attempts=0, next_attempt_at=func.now())
        )
        row = connection.execute(select(*DELIVERIES).where(*this)).one_or_none()
        if row is None:
            raise DeliveryNotFound(f"The webhook has no delivery {delivery_id}.")
        audit.record(
            connection,
            "webhook.redelivered",
            webhook_id,
            after={"delivery": delivery_id},
        )
    return row


@repeated
def send_test(tenant_id: int, webhook_id: UUID) -> AnyRow:
    """Have a test event delivered; return its delivery."""
    delivery_id = uuid7()
    with transaction() as connection:
        find_enabled(connection, tenant_id, webhook_id)
        position = readers.last_of(connection, tenant_id)
        new = (delivery_id, webhook_id, position, TEST, NO_WALLET, None)
        insert_in(connection, [new])
        audit.record(
            connection, "webhook.tested", webhook_id, after={"delivery": delivery_id}
        )
        return connection.execute(
            select(*DELIVERIES).where(DELIVERIES.id == delivery_id)
        ).one()
