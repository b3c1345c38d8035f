"""Who is told of events, and what has been told and what not yet."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class Webhook(db.Model):  # type: ignore[name-defined,misc]
    """An address that is told of a tenant's events behind `after_position`.

    The old secret signs too until `old_secret_until`. `failing_since` is the first
    failure since the last success. A deleted one stays until its deliveries are gone.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        Index(None, "tenant_id"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    url: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(String))
    description: Mapped[str | None] = mapped_column(Text)
    ordered: Mapped[bool]
    disabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    secret: Mapped[str] = mapped_column(String(100))
    old_secret: Mapped[str | None] = mapped_column(String(100))
    old_secret_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    after_position: Mapped[int] = mapped_column(BigInteger)
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class WebhookDelivery(db.Model):  # type: ignore[name-defined,misc]
    """An event that a webhook is to be told of, and what became of it.

    The id follows from webhook and position: whatever is done twice carries one id.
    A worker that has claimed it moves `next_attempt_at` to the end of its lease. Of no
    wallet (a test): wallet_id 0.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(
            "state IN ('pending', 'delivered', 'failed')", name="state_known"
        ),
        CheckConstraint(
            "kind IN ('posted', 'created', 'updated', 'frozen', 'unfrozen', 'closed',"
            " 'test')",
            name="kind_known",
        ),
        # A webhook's list, newest first, and what of it is old enough to go.
        Index(None, "webhook_id", "position", "id"),
        Index(
            "ix_webhook_deliveries_due",
            "webhook_id",
            "next_attempt_at",
            postgresql_where=text("state = 'pending'"),
        ),
        # What a wallet's next delivery has to wait for.
        Index(
            "ix_webhook_deliveries_order",
            "webhook_id",
            "wallet_id",
            "position",
            postgresql_where=text("state = 'pending'"),
        ),
        {
            "postgresql_with": {
                "fillfactor": 70,
                "autovacuum_vacuum_scale_factor": 0,
                "autovacuum_vacuum_threshold": 10000,
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id"))
    position: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(10))
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    seq: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    lease_id: Mapped[UUID | None]
    last_attempt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    http_status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
