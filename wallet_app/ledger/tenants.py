"""Whose wallets they are: one tenant's are nothing to another."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    DateTime,
    Identity,
    Integer,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db

# The tenant of whoever names none; there from the first migration on.
DEFAULT_TENANT_ID = 1


class Tenant(db.Model):  # type: ignore[name-defined,misc]
    """A company, a brand, a test environment: a world of wallets of its own.

    Its events up to the position `events_dropped_to` are kept no more.
    """

    __tablename__ = "tenants"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    events_dropped_to: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
