"""What Celery keeps; all of it can be rebuilt from the transactions.

No foreign key leads to wallets: its check would lock the wallet's row, for which a
money request would have to wait.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db
from wallet_app.ledger.currency_column import CurrencyCode


def of_tenant() -> Any:
    """The first part of a key."""
    return mapped_column(
        Integer, primary_key=True, autoincrement=False, server_default=text("1")
    )


class WalletRollup(db.Model):  # type: ignore[name-defined,misc]
    """How far a wallet's history has been counted: everything up to `last_seq`."""

    __tablename__ = "wallet_rollups"
    __table_args__ = (
        CheckConstraint("last_seq >= 0", name="last_seq_not_negative"),
        # Which of a tenant's wallets are the busiest.
        Index(None, "tenant_id", "last_seq"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    wallet_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    tenant_id: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class WalletTotal(db.Model):  # type: ignore[name-defined,misc]
    """The statistics of one operation type in a wallet, up to its rollup's last_seq."""

    __tablename__ = "wallet_totals"
    __table_args__ = (
        CheckConstraint("count > 0", name="count_positive"),
        {"postgresql_with": {"fillfactor": 50}},
    )

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


class WalletDay(db.Model):  # type: ignore[name-defined,misc]
    """One operation type on one UTC day of a wallet, up to its rollup's last_seq.

    `lowest` and `highest` are balances; the first and the last seq lead to the day's
    opening and closing balance in the transactions themselves.
    """

    __tablename__ = "wallet_days"
    __table_args__ = (
        CheckConstraint("count > 0", name="count_positive"),
        CheckConstraint("first_seq <= last_seq", name="seqs_in_order"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    wallet_id: Mapped[int] = mapped_column(
        ForeignKey("wallet_rollups.wallet_id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    operation_type: Mapped[str] = mapped_column(String(20), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[Decimal] = mapped_column(Numeric)
    lowest: Mapped[Decimal] = mapped_column(Numeric)
    highest: Mapped[Decimal] = mapped_column(Numeric)
    first_seq: Mapped[int] = mapped_column(BigInteger)
    last_seq: Mapped[int] = mapped_column(BigInteger)


class ServiceCurrency(db.Model):  # type: ignore[name-defined,misc]
    """A tenant's wallets of one currency: how many are known, and what they hold.

    `balance` is the sum of their balances as of their rollups' last_seq, taken from
    the balances in their histories: the amounts are counted by day, apart from it.
    """

    __tablename__ = "service_currencies"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    tenant_id: Mapped[int] = of_tenant()
    currency: Mapped[str] = mapped_column(CurrencyCode, primary_key=True)
    wallets: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    balance: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))


class ServiceDay(db.Model):  # type: ignore[name-defined,misc]
    """One operation type on one UTC day in one currency, over a tenant's wallets."""

    __tablename__ = "service_days"
    __table_args__ = (
        CheckConstraint("count >= 0", name="count_not_negative"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    tenant_id: Mapped[int] = of_tenant()
    currency: Mapped[str] = mapped_column(CurrencyCode, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    operation_type: Mapped[str] = mapped_column(String(20), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[Decimal] = mapped_column(Numeric)
