"""The tables of imports: what came, how far it is, what became of each line.

Web servers and workers need share no disk: a file's lines, and what is told of them,
are rows of a thousand lines or so.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class Import(db.Model):  # type: ignore[name-defined,misc]
    """A file of operations, posted up to the line before `next_line`.

    Lines count from 1. `columns` are those that a CSV file's first line names.
    `lease_id` names the worker that posts it, until `leased_until`; while it is
    "receiving", a web server takes it in, and nobody else sees it.
    """

    __tablename__ = "imports"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        CheckConstraint("format IN ('csv', 'ndjson')", name="format_known"),
        CheckConstraint(
            "state IN ('receiving', 'pending', 'running', 'finished', 'failed',"
            " 'cancelled', 'expired')",
            name="state_known",
        ),
        CheckConstraint(
            "applied >= 0 AND replayed >= 0 AND refused >= 0"
            " AND applied + replayed + refused <= rows",
            name="rows_add_up",
        ),
        Index(None, "tenant_id", "created_at", "id"),
        Index(
            "ix_imports_unfinished",
            "created_at",
            postgresql_where=text("state IN ('receiving', 'pending', 'running')"),
        ),
        Index(
            "ix_imports_expires_at",
            "expires_at",
            postgresql_where=text("state IN ('finished', 'failed', 'cancelled')"),
        ),
        # Each posting writes its row anew.
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(Integer)
    idempotency_key: Mapped[UUID | None]
    format: Mapped[str] = mapped_column(String(6))
    columns: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    state: Mapped[str] = mapped_column(String(10), server_default="receiving")
    sha256: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    rows: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    # The line behind the last one.
    end_line: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    next_line: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    bytes_done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    applied: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    replayed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    refused: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    error: Mapped[str | None] = mapped_column(Text)
    lease_id: Mapped[UUID | None]
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ImportChunk(db.Model):  # type: ignore[name-defined,misc]
    """Lines of a file as they came, from `first_line` on; gone when they are posted."""

    __tablename__ = "import_chunks"

    import_id: Mapped[UUID] = mapped_column(
        ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True
    )
    first_line: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ImportOutcome(db.Model):  # type: ignore[name-defined,misc]
    """What became of lines that were posted together: CSV, a row a line."""

    __tablename__ = "import_outcomes"

    import_id: Mapped[UUID] = mapped_column(
        ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True
    )
    first_line: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    data: Mapped[bytes] = mapped_column(LargeBinary)
