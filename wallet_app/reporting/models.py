"""What Celery keeps; all of it can be rebuilt from the transactions."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, ForeignKey, Numeric, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class WalletRollup(db.Model):  # type: ignore[name-defined,misc]
    """How far a wallet's history has been counted: everything up to `last_seq`."""

    __tablename__ = "wallet_rollups"

    wallet_id: Mapped[int] = mapped_column(
        ForeignKey("wallets.id", ondelete="RESTRICT"), primary_key=True
    )
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class WalletTotal(db.Model):  # type: ignore[name-defined,misc]
    """The statistics of one operation type in a wallet, up to its rollup's last_seq."""

    __tablename__ = "wallet_totals"

    wallet_id: Mapped[int] = mapped_column(
        ForeignKey("wallet_rollups.wallet_id", ondelete="CASCADE"), primary_key=True
    )
    operation_type: Mapped[str] = mapped_column(String(20), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[Decimal] = mapped_column(Numeric)
    smallest: Mapped[Decimal] = mapped_column(Numeric)
    largest: Mapped[Decimal] = mapped_column(Numeric)
    first_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
