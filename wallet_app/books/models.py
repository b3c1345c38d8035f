"""How far the books are checked, and what did not agree."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class BooksSweep(db.Model):  # type: ignore[name-defined,misc]
    """Where the sweep through all wallets stands; there is one row.

    Wallets below `wallet_id` are checked, and of that wallet the entries up to `seq`,
    which left `balance`; `faulty` if one of those is wrong. The counts go on from sweep
    to sweep.
    """

    __tablename__ = "books_sweeps"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    wallet_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    balance: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))
    faulty: Mapped[bool] = mapped_column(server_default=text("false"))
    wallets: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    entries: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class BooksMismatch(db.Model):  # type: ignore[name-defined,misc]
    """A wallet that was not what its history says; open until `cleared_at`."""

    __tablename__ = "books_mismatches"
    __table_args__ = (
        UniqueConstraint("wallet_id", "kind"),
        CheckConstraint(
            "kind IN ('history', 'transfer', 'version', 'balance')", name="kind_known"
        ),
        Index(
            "ix_books_mismatches_open",
            "wallet_id",
            postgresql_where=text("cleared_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    wallet_id: Mapped[int] = mapped_column(
        ForeignKey("wallets.id", ondelete="RESTRICT")
    )
    kind: Mapped[str] = mapped_column(String(10))
    detail: Mapped[str] = mapped_column(Text)
    found_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    seen_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    cleared_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
