"""Keeps what a web server receives, until all of it is there."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, literal, select, update
from uuid_utils.compat import uuid7

from wallet_app.database import transaction
from wallet_app.database.conflicts import repeated
from wallet_app.imports.lifecycle import DELETED_AT_ONCE, IMPORTS, TABLE
from wallet_app.imports.models import ImportChunk
from wallet_app.imports.pieces import Piece

# What a web server has not received to its end by then, it never will.
RECEIVED_WITHIN = timedelta(hours=2)


@repeated
def begin(tenant_id: int, file_format: str) -> UUID:
    """An import that is being received: nobody sees it yet."""
    import_id: UUID = uuid7()
    values = {"id": import_id, "tenant_id": tenant_id, "format": file_format}
    with transaction() as connection:
        connection.execute(insert(TABLE).values(values))
    return import_id


@repeated
def store(import_id: UUID, piece: Piece) -> None:
    values = {
        "import_id": import_id,
        "first_line": piece.first_line,
        "data": piece.data,
    }
    with transaction() as connection:
        connection.execute(insert(ImportChunk.__table__).values(values))


@repeated
def complete(import_id: UUID, **values: Any) -> Row[Any]:
    """All of it is there; raises IntegrityError if another has its key."""
    completing = update(TABLE).where(IMPORTS.id == import_id)
    with transaction() as connection:
        return connection.execute(
            completing.values(state="pending", **values).returning(TABLE)
        ).one()


@repeated
def discard(import_id: UUID) -> None:
    """Forget what was not received to its end."""
    with transaction() as connection:
        connection.execute(
            delete(TABLE).where(IMPORTS.id == import_id, IMPORTS.state == "receiving")
        )


@repeated
def forget_unreceived() -> None:
    """Delete what web servers that are gone have not received to its end."""
    never = (IMPORTS.state == "receiving") & (
        IMPORTS.created_at < func.now() - literal(RECEIVED_WITHIN)
    )
    some = select(IMPORTS.id).where(never).limit(DELETED_AT_ONCE)
    with transaction() as connection:
        connection.execute(delete(TABLE).where(IMPORTS.id.in_(some)))
