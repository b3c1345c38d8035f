"""Forgets deliveries: those that are old, of what is deleted, and too long backlogs."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, literal, or_, select

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.webhooks import registry
from wallet_app.webhooks.deliveries import DELIVERIES, TABLE
from wallet_app.webhooks.registry import WEBHOOKS
from wallet_app.webhooks.settling import disable_in

# Longer than all attempts of a delivery take together.
KEEP = timedelta(days=7)
MOST_PENDING = 100_000
ROWS_A_STATEMENT = 5000
MOST_STATEMENTS = 200


def clean_up() -> int:
    """Delete a bounded number of deliveries of each webhook; return how many."""
    with reading() as connection:
        webhooks = connection.execute(select(WEBHOOKS.id, WEBHOOKS.deleted)).all()
    deleted = 0
    for webhook in webhooks:
        for _ in range(MOST_STATEMENTS):
            count = delete_some(webhook.id)
            deleted += count
            if count < ROWS_A_STATEMENT:
                break
        if webhook.deleted:
            forget(webhook.id)
        else:
            limit_backlog(webhook.id)
    return deleted


@repeated
def delete_some(webhook_id: UUID) -> int:
    """Of its oldest deliveries, those that are over; of a deleted one's, all."""
    oldest = (
        select(DELIVERIES.id, DELIVERIES.created_at, WEBHOOKS.deleted)
        .join_from(TABLE, registry.TABLE, WEBHOOKS.id == DELIVERIES.webhook_id)
        .where(DELIVERIES.webhook_id == webhook_id)
        .order_by(DELIVERIES.position, DELIVERIES.id)
        .limit(ROWS_A_STATEMENT)
        .subquery()
    )
    over = or_(oldest.c.deleted, oldest.c.created_at < func.now() - literal(KEEP))
    deleting = delete(TABLE).where(DELIVERIES.id.in_(select(oldest.c.id).where(over)))
    with transaction() as connection:
        return connection.execute(deleting).rowcount


@repeated
def forget(webhook_id: UUID) -> None:
    """Delete a webhook of which nothing is left."""
    left = select(DELIVERIES.id).where(DELIVERIES.webhook_id == webhook_id)
    with transaction() as connection:
        connection.execute(
            delete(registry.TABLE).where(
                WEBHOOKS.id == webhook_id, WEBHOOKS.deleted, ~left.exists()
            )
        )


@repeated
def limit_backlog(webhook_id: UUID) -> None:
    """Disable a webhook that is too far behind; it keeps what is pending for KEEP."""
    pending = select(DELIVERIES.next_attempt_at).where(
        DELIVERIES.webhook_id == webhook_id, DELIVERIES.state == "pending"
    )
    last = pending.order_by(DELIVERIES.next_attempt_at).offset(MOST_PENDING).limit(1)
    with transaction() as connection:
        if connection.scalar(last) is not None:
            reason = f"More than {MOST_PENDING:,} deliveries were waiting."
            disable_in(connection, webhook_id, reason)
