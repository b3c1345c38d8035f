"""The tables of wallets' limits; what a wallet may go down to is in its own row."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    String,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


def of_wallet(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["wallet_id", "tenant_id"],
        ["wallets.id", "wallets.tenant_id"],
        ondelete="CASCADE",
        name=f"fk_{table}_wallet_id_tenant_id",
    )


class LimitsRow(db.Model):  # type: ignore[name-defined,misc]
    """The limits of a wallet that has any; NULL: no such limit."""

    __tablename__ = "wallet_limits"
    __table_args__ = (
        of_wallet("wallet_limits"),
        CheckConstraint(
            "maximum_balance >= 0 AND largest_operation > 0", name="limits_positive"
        ),
    )

    wallet_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    tenant_id: Mapped[int] = mapped_column(Integer)
    maximum_balance: Mapped[Decimal | None] = mapped_column(Numeric)
    largest_operation: Mapped[Decimal | None] = mapped_column(Numeric)


class VelocityRow(db.Model):  # type: ignore[name-defined,misc]
    """What a wallet may move in a period, and has moved since the period's start."""

    __tablename__ = "wallet_velocities"
    __table_args__ = (
        of_wallet("wallet_velocities"),
        CheckConstraint("period IN ('hour', 'day', 'month')", name="period_known"),
        CheckConstraint(
            "max_count > 0 AND max_amount > 0 AND count >= 0 AND amount >= 0",
            name="velocity_positive",
        ),
        # A row that changes with each operation that is counted.
        {"postgresql_with": {"fillfactor": 50}},
    )

    wallet_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    period: Mapped[str] = mapped_column(String(5), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(Integer)
    max_count: Mapped[int | None] = mapped_column(BigInteger)
    max_amount: Mapped[Decimal | None] = mapped_column(Numeric)
    start: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    amount: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))
