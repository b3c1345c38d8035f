"""The tables of refunds."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class RefundedOperation(db.Model):  # type: ignore[name-defined,misc]
    """How much of an operation has been refunded; made by its first refund.

    Changed under the locks of the operation's wallets, whose entries never change.
    """

    __tablename__ = "refunded_operations"
    __table_args__ = (
        CheckConstraint(
            "refunded >= 0 AND refunded <= amount", name="no_more_than_the_original"
        ),
        {"postgresql_with": {"fillfactor": 70}},
    )

    reference_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    amount: Mapped[Decimal] = mapped_column(Numeric)
    refunded: Mapped[Decimal] = mapped_column(Numeric)


class RefundRow(db.Model):  # type: ignore[name-defined,misc]
    """What a refund asked for, and what had been refunded with it: append-only.

    A retry is answered with it, however the refunding has gone on.
    """

    __tablename__ = "refunds"
    __table_args__ = (
        ForeignKeyConstraint(
            ["refund_of", "tenant_id"],
            ["refunded_operations.reference_id", "refunded_operations.tenant_id"],
            ondelete="RESTRICT",
            name="fk_refunds_refund_of_tenant_id",
        ),
        # An operation's refunds in their order, each of which adds something.
        UniqueConstraint("refund_of", "tenant_id", "refunded"),
    )

    reference_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    refund_of: Mapped[UUID]
    refunded: Mapped[Decimal] = mapped_column(Numeric)
    asked_amount: Mapped[Decimal] = mapped_column(Numeric)
