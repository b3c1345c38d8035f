"""What happened, in one order, and how far each reader has come."""

from datetime import date, datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Index,
    Integer,
    String,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class FeedRow(db.Model):  # type: ignore[name-defined,misc]
    """A row of the journal with its events' positions: `position` and `count` - 1 more.

    Without a gap over all tenants, in commit order for each wallet. A partition for
    each UTC day.
    """

    __tablename__ = "feed"
    __table_args__ = (
        CheckConstraint("count > 0", name="count_positive"),
        # A tenant's own events, however many others there are between them.
        Index(None, "tenant_id", "position"),
        {"postgresql_partition_by": "RANGE (fed_on)"},
    )

    position: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    fed_on: Mapped[date] = mapped_column(Date, primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
    tenant_id: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    kind: Mapped[str] = mapped_column(String(10))
    wallet_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    seqs: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class FeedReader(db.Model):  # type: ignore[name-defined,misc]
    """Up to which position a reader has read; the relay's is the feed's last."""

    __tablename__ = "feed_readers"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
