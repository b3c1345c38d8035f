"""The tables of holds."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db

OPEN = text("status = 'open'")


class HoldRow(db.Model):  # type: ignore[name-defined,misc]
    """A hold as it is now; `id` is the reference of the operation that made it."""

    __tablename__ = "holds"
    __table_args__ = (
        ForeignKeyConstraint(
            ["wallet_id", "tenant_id"],
            ["wallets.id", "wallets.tenant_id"],
            ondelete="RESTRICT",
            name="fk_holds_wallet_id_tenant_id",
        ),
        CheckConstraint(
            "amount > 0 AND captured >= 0 AND released >= 0"
            " AND captured + released <= amount",
            name="no_more_than_held",
        ),
        CheckConstraint(
            "(status = 'open') = (captured + released < amount)",
            name="ended_if_nothing_is_left",
        ),
        CheckConstraint(
            "(status = 'captured') = (status <> 'open' AND captured > 0)",
            name="captured_if_any_was",
        ),
        CheckConstraint(
            "status IN ('open', 'captured', 'voided', 'expired')", name="status_known"
        ),
        CheckConstraint(
            "CASE WHEN status = 'open' THEN closed_by IS NULL"
            " ELSE closed_by IS NOT NULL"
            " AND closed_by IN ('capture', 'void', 'expiry') END",
            name="closed_by_known",
        ),
        # Which of a wallet's are due, and which of all.
        Index("ix_holds_due", "wallet_id", "expires_at", postgresql_where=OPEN),
        Index("ix_holds_overdue", "expires_at", postgresql_where=OPEN),
        # What lists are ordered by; those that are open may be few among many.
        Index(None, "tenant_id", "created_at", "id"),
        Index(None, "wallet_id", "created_at", "id"),
        Index("ix_holds_open", "tenant_id", "created_at", "id", postgresql_where=OPEN),
        Index(
            "ix_holds_wallet_open",
            "wallet_id",
            "created_at",
            "id",
            postgresql_where=OPEN,
        ),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[Decimal] = mapped_column(Numeric)
    captured: Mapped[Decimal] = mapped_column(Numeric)
    released: Mapped[Decimal] = mapped_column(Numeric)
    status: Mapped[str] = mapped_column(String(10))
    closed_by: Mapped[str | None] = mapped_column(String(10))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    description: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class HoldStep(db.Model):  # type: ignore[name-defined,misc]
    """What an entry asked of its hold, and how it left it: append-only.

    A retry is answered with it, however the hold has gone on.
    """

    __tablename__ = "hold_steps"
    __table_args__ = (
        ForeignKeyConstraint(
            ["hold_id", "tenant_id"],
            ["holds.id", "holds.tenant_id"],
            ondelete="RESTRICT",
            name="fk_hold_steps_hold_id_tenant_id",
        ),
    )

    wallet_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    tenant_id: Mapped[int] = mapped_column(Integer)
    hold_id: Mapped[UUID]
    amount: Mapped[Decimal] = mapped_column(Numeric)
    captured: Mapped[Decimal] = mapped_column(Numeric)
    released: Mapped[Decimal] = mapped_column(Numeric)
    status: Mapped[str] = mapped_column(String(10))
    closed_by: Mapped[str | None] = mapped_column(String(10))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    asked_amount: Mapped[Decimal] = mapped_column(Numeric)
    asked_expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    final: Mapped[bool]
