"""What a statement shows, whatever its format."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from wallet_app.statements.entry_stream import Chunk


class Sink(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes, /) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Content:
    """A wallet's entries of a period, in chunks that are read as they are taken.

    `note_progress` wants to hear how many entries are done, at least every few seconds.
    """

    wallet_uuid: UUID
    currency: str
    from_at: datetime
    to_at: datetime
    opening: Decimal
    closing: Decimal
    opening_held: Decimal
    closing_held: Decimal
    count: int
    chunks: Iterable[Chunk]
    note_progress: Callable[[int], None]
