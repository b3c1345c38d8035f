"""The webhooks that there are: added, changed, given new secrets, deleted."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Flask, current_app
from sqlalchemy import Connection, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from wallet_app.access import audit
from wallet_app.config import Settings
from wallet_app.database import AnyRow, reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import InvalidRequest, TooManyWebhooks, WebhookNotFound
from wallet_app.feed import readers
from wallet_app.feed.events import TYPES
from wallet_app.webhooks import addresses, signing
from wallet_app.webhooks.models import Webhook, WebhookDelivery

MAX_WEBHOOKS = 100
EVENT_TYPES = tuple(TYPES.values())
# How long the old secret signs as well, after there is a new one.
GRACE = timedelta(hours=24)
SHOWN = ("event_types", "description", "ordered", "disabled", "old_secret_until")

TABLE = Webhook.__table__
WEBHOOKS = TABLE.c
DELIVERIES = WebhookDelivery.__table__.c
NOT_DELETED = ~WEBHOOKS.deleted
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('webhooks'), :tenant_id)")


def init_app(app: Flask, settings: Settings) -> None:
    """Tell the application where webhooks may lead."""
    app.extensions["webhooks_private"] = settings.webhooks_private


def private_allowed() -> bool:
    allowed: bool = current_app.extensions["webhooks_private"]
    return allowed


def refuse_url(url: str) -> None:
    try:
        addresses.parse(url, private=private_allowed())
    except addresses.RefusedAddressError as error:
        message = str(error)
        raise InvalidRequest(message, errors={"url": [message]}) from None


@repeated
def create(tenant_id: int, *, url: str, **fields: Any) -> AnyRow:
    """A new webhook, told of what happens from now on.

    Raises InvalidRequest for a URL that it may not have, or TooManyWebhooks.
    """
    refuse_url(url)
    new = {
        "id": uuid7(),
        "tenant_id": tenant_id,
        "url": url,
        "secret": signing.new_secret(),
        **fields,
    }
    if new["disabled"]:
        new["disabled_reason"] = "Disabled by request."
    with transaction() as connection:
        connection.execute(ONE_AT_A_TIME, {"tenant_id": tenant_id})
        count = connection.scalar(
            select(func.count()).where(WEBHOOKS.tenant_id == tenant_id, NOT_DELETED)
        )
        if count is not None and count >= MAX_WEBHOOKS:
            raise TooManyWebhooks(f"There are {count} webhooks; delete one first.")
        adding = insert(TABLE).values(
            **new, after_position=readers.position_of(readers.RELAY)
        )
        row = connection.execute(adding.returning(*WEBHOOKS)).one()
        audit.record(connection, "webhook.created", row.id, after=shown(row))
    return row


def find(connection: Connection, tenant_id: int, webhook_id: UUID) -> AnyRow:
    """A webhook's row; raises WebhookNotFound."""
    row = connection.execute(
        select(*WEBHOOKS).where(
            WEBHOOKS.tenant_id == tenant_id, WEBHOOKS.id == webhook_id, NOT_DELETED
        )
    ).one_or_none()
    if row is None:
        raise WebhookNotFound(f"There is no webhook {webhook_id}.")
    return row


def list_all(tenant_id: int) -> Sequence[AnyRow]:
    """A tenant's, oldest first; there are MAX_WEBHOOKS at most."""
    statement = select(*WEBHOOKS).where(WEBHOOKS.tenant_id == tenant_id, NOT_DELETED)
    with reading() as connection:
        return connection.execute(
            statement.order_by(WEBHOOKS.created_at, WEBHOOKS.id)
        ).all()


def change_in(connection: Connection, webhook_id: UUID, **values: Any) -> AnyRow:
    """Change a webhook in the caller's transaction."""
    changing = update(TABLE).where(WEBHOOKS.id == webhook_id)
    return connection.execute(
        changing.values(updated_at=func.now(), **values).returning(*WEBHOOKS)
    ).one()


@repeated
def change(tenant_id: int, webhook_id: UUID, **fields: Any) -> AnyRow:
    """Change what is given; raises WebhookNotFound, or InvalidRequest for its URL."""
    if "url" in fields:
        refuse_url(fields["url"])
    with transaction() as connection:
        before = find(connection, tenant_id, webhook_id)
        if fields.get("disabled"):
            fields["disabled_reason"] = "Disabled by request."
        elif before.disabled and "disabled" in fields:
            # It goes on with what was left; what happened meanwhile is for the feed.
            fields |= {"disabled_reason": None, "failing_since": None}
            fields["after_position"] = readers.position_of(readers.RELAY)
            connection.execute(
                update(WebhookDelivery.__table__)
                .where(
                    DELIVERIES.webhook_id == webhook_id, DELIVERIES.state == "pending"
                )
                .values(next_attempt_at=func.now(), lease_id=None)
            )
        row = change_in(connection, webhook_id, **fields)
        log(connection, "webhook.changed", before, row)
    return row


@repeated
def rotate_secret(tenant_id: int, webhook_id: UUID) -> AnyRow:
    """Give it a new secret; for a while, the one before it signs too."""
    with transaction() as connection:
        before = find(connection, tenant_id, webhook_id)
        row = change_in(
            connection,
            webhook_id,
            secret=signing.new_secret(),
            old_secret=before.secret,
            old_secret_until=func.now() + literal(GRACE),
        )
        log(connection, "webhook.secret_rotated", before, row)
    return row


@repeated
def delete(tenant_id: int, webhook_id: UUID) -> None:
    """Tell it nothing more; its deliveries are deleted later, part by part."""
    with transaction() as connection:
        before = find(connection, tenant_id, webhook_id)
        change_in(connection, webhook_id, deleted=True, disabled=True)
        log(connection, "webhook.deleted", before, None)


def log(
    connection: Connection, action: str, before: AnyRow, after: AnyRow | None
) -> None:
    audit.record(
        connection,
        action,
        before.id,
        before=shown(before),
        after=None if after is None else shown(after),
    )


def shown(webhook: AnyRow) -> dict[str, Any]:
    """What the audit log keeps of a webhook.

    Its URL may hold a secret: only where it leads is told, and whether it changed.
    """
    parts = urlsplit(webhook.url)
    digest = hashlib.sha256(webhook.url.encode()).hexdigest()
    url = f"{parts.scheme}://{parts.hostname}/... (SHA-256 {digest[:8]})"
    return {"url": url} | {name: webhook._mapping[name] for name in SHOWN}


def keys_of(webhook: AnyRow) -> list[str]:
    """The secrets that sign now."""
    until = webhook.old_secret_until
    if until is None or until < datetime.now(UTC):
        return [webhook.secret]
    return [webhook.secret, webhook.old_secret]
