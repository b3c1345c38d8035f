"""What the workers say of themselves."""

from datetime import datetime

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class Heartbeat(db.Model):  # type: ignore[name-defined,misc]
    """When a worker, or the rollup, was last seen at work."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
