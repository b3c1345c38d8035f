"""The table of statements: what was asked for and how far it is."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class Statement(db.Model):  # type: ignore[name-defined,misc]
    """A statement of a wallet's entries with from_at <= created_at < to_at.

    `after_seq` and `last_seq` pin the period down when it is asked for: the entries
    above the one and up to the other. They never change, so neither does the file.
    `lease_id` names the worker that writes the file, until `leased_until`.
    """

    __tablename__ = "statements"
    __table_args__ = (
        UniqueConstraint("wallet_id", "from_at", "to_at", "format"),
        CheckConstraint("from_at < to_at", name="period_in_order"),
        CheckConstraint(
            "after_seq >= 0 AND after_seq <= last_seq", name="seqs_in_order"
        ),
        CheckConstraint("format IN ('csv', 'json', 'pdf')", name="format_known"),
        CheckConstraint(
            "state IN ('pending', 'running', 'ready', 'failed', 'expired')",
            name="state_known",
        ),
        Index(
            "ix_statements_unfinished",
            "created_at",
            postgresql_where=text("state IN ('pending', 'running')"),
        ),
        Index(
            "ix_statements_expires_at",
            "expires_at",
            postgresql_where=text("state = 'ready'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    from_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    to_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    format: Mapped[str] = mapped_column(String(4))
    after_seq: Mapped[int] = mapped_column(BigInteger)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), server_default="pending")
    rows_written: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    error: Mapped[str | None] = mapped_column(Text)
    lease_id: Mapped[UUID | None]
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    opening_balance: Mapped[Decimal | None] = mapped_column(Numeric)
    closing_balance: Mapped[Decimal | None] = mapped_column(Numeric)
    sha256: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
