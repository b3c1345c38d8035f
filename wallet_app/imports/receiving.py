"""Takes a body in while it comes: into the database, and never whole into memory."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from wallet_app.errors import BodyTooLarge, IdempotencyKeyReused, InvalidRequest
from wallet_app.imports import lifecycle, storing
from wallet_app.imports.pieces import Piece, cut
from wallet_app.imports.rows import InvalidLine, read_header

MAX_ROWS = 10_000_000


class Measured:
    """The parts of a body, hashed and counted on their way."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = parts
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            self.digest.update(part)
            self.size_bytes += len(part)
            yield part

    @property
    def sha256(self) -> str:
        return self.digest.hexdigest()


def receive(
    tenant_id: int, file_format: str, parts: Iterable[bytes], key: UUID | None
) -> Row[Any]:
    """The import of a body: a new one, or the one that its key stands for.

    Raises InvalidRequest, BodyTooLarge, IdempotencyKeyReused, or what reading raises;
    then nothing of it is left.
    """
    body = Measured(parts)
    known = lifecycle.find_by_key(tenant_id, key) if key else None
    if known is not None:
        for _ in body:
            pass
        return same(known, file_format, body)
    import_id = storing.begin(tenant_id, file_format)
    try:
        values = store(import_id, file_format, cut(body))
        described = {"sha256": body.sha256, "size_bytes": body.size_bytes}
        return storing.complete(import_id, idempotency_key=key, **values, **described)
    except IntegrityError:
        storing.discard(import_id)
        # The same key came twice at once, and the other one was first.
        known = lifecycle.find_by_key(tenant_id, key) if key else None
        if known is None:
            raise
        return same(known, file_format, body)
    except BaseException:
        storing.discard(import_id)
        raise


def same(known: Row[Any], file_format: str, body: Measured) -> Row[Any]:
    """The known import, if the body is its own."""
    if (known.sha256, known.format) != (body.sha256, file_format):
        raise IdempotencyKeyReused(
            "The Idempotency-Key belongs to an import of another body; use a new one."
        )
    return known


def store(import_id: UUID, file_format: str, pieces: Iterator[Piece]) -> dict[str, Any]:
    """Store the pieces; return what is to be known of them."""
    columns, count, end_line = None, 0, 1
    first = next(pieces, None)
    if first is not None and file_format == "csv":
        header, _, _ = first.data.partition(b"\n")
        columns = header_of(header)
        # It counts as a line, and is no operation.
        count = -1
    for piece in itertools.chain([first] if first else [], pieces):
        count += piece.rows
        end_line = piece.first_line + piece.lines
        if count > MAX_ROWS:
            raise BodyTooLarge(f"A file has at most {MAX_ROWS} rows; split it.")
        storing.store(import_id, piece)
    if count < 1:
        message = "The body has no rows: send an operation a line."
        raise InvalidRequest(message, errors={"1": [message]})
    return {
        "columns": columns,
        "rows": count,
        "next_line": 1 if columns is None else 2,
        "end_line": end_line,
    }


def header_of(line: bytes) -> list[str]:
    try:
        return read_header(line)
    except InvalidLine as error:
        raise InvalidRequest(str(error), errors={"1": [str(error)]}) from None
