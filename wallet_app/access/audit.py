"""The log of administrative acts: written with the act, never changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import has_request_context
from sqlalchemy import Connection, insert, select, tuple_
from uuid_utils.compat import uuid7

from wallet_app.access.models import AuditEntry
from wallet_app.database import AnyRow
from wallet_app.errors import request_id
from wallet_app.http.caller import caller
from wallet_app.http.fields import moment_text

TABLE = AuditEntry.__table__
ENTRIES = TABLE.c
PLACE = tuple_(ENTRIES.created_at, ENTRIES.id)
COMMAND_LINE, ANYBODY = "cli", "anybody"


def record(
    connection: Connection,
    action: str,
    subject: object,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    tenant_id: int | None = None,
) -> None:
    """Log an act in the transaction that does it: `key.created`, of the key's id.

    `before` and `after` are what people may read of the subject: never a secret.
    Without a `tenant_id`, it is the caller's tenant that it concerns.
    """
    by_request = has_request_context()
    entry = {
        "id": uuid7(),
        "tenant_id": caller().tenant_id if tenant_id is None else tenant_id,
        "actor": (caller().key_id or ANYBODY) if by_request else COMMAND_LINE,
        "action": action,
        "object": str(subject),
        "before": before and in_json(before),
        "after": after and in_json(after),
        "request_id": request_id() if by_request else None,
    }
    connection.execute(insert(TABLE).values(**entry))


def in_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in facts.items()}


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return moment_text(value)
    return str(value) if isinstance(value, UUID) else value


def list_page(
    connection: Connection,
    tenant_id: int,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None,
    filters: Mapping[str, str],
) -> Sequence[AnyRow]:
    """Up to `limit` entries, newest first; `filters` are columns' exact values."""
    statement = (
        select(*ENTRIES)
        .where(ENTRIES.tenant_id == tenant_id)
        .order_by(ENTRIES.created_at.desc(), ENTRIES.id.desc())
        .limit(limit)
    )
    for name, value in filters.items():
        statement = statement.where(ENTRIES[name] == value)
    if before is not None:
        statement = statement.where(tuple_(*before) > PLACE)
    return connection.execute(statement).all()
