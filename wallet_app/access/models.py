"""API keys, of which only digests are kept, and the log of administrative acts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db


class ApiKey(db.Model):  # type: ignore[name-defined,misc]
    """A key of a tenant's: what it may do, and the SHA-256 digests of its secrets.

    The secret before the last rotation is good until `old_digest_until`.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
        CheckConstraint("octet_length(old_digest) = 32", name="old_digest_is_sha256"),
        CheckConstraint(
            "(old_digest IS NULL) = (old_digest_until IS NULL)",
            name="old_digest_has_an_end",
        ),
        Index(None, "tenant_id", "created_at", "id"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(50)))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    old_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_digest_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AuditEntry(db.Model):  # type: ignore[name-defined,misc]
    """Who did what to what; its rows are never changed and never deleted.

    `before` and `after` show the object, without secrets.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "tenant_id", "created_at", "id"),
        Index(None, "tenant_id", "object", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    actor: Mapped[str] = mapped_column(String(20))
    action: Mapped[str] = mapped_column(String(50))
    object: Mapped[str] = mapped_column(String(100))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    request_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
