"""Cuts a body into chunks of whole lines while it comes: pure, and of bounded memory.

A line is an operation, in CSV too. So where a line is broken, the next is not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CHUNK_BYTES = 512 * 1024
MAX_LINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of a file, from `first_line` on; `rows` of them are not blank."""

    first_line: int
    lines: int
    rows: int
    data: bytes


def cut(parts: Iterable[bytes]) -> Iterator[Piece]:
    """The pieces of a body that comes in parts, in order.

    Of a line that is too long its beginning is kept, a byte more than may be.
    """
    line, pending, pending_bytes, rest = 1, list[bytes](), 0, b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        rest = rest[: MAX_LINE_BYTES + 1]
        pending += whole
        pending_bytes += sum(map(len, whole))
        if pending_bytes >= CHUNK_BYTES or len(pending) >= CHUNK_BYTES:
            yield piece_of(line, pending)
            line, pending, pending_bytes = line + len(pending), [], 0
    if rest:
        pending.append(rest)
    if pending:
        yield piece_of(line, pending)


def piece_of(first_line: int, lines: list[bytes]) -> Piece:
    kept = [line[: MAX_LINE_BYTES + 1] for line in lines]
    rows = sum(not line.isspace() for line in kept if line)
    return Piece(first_line, len(kept), rows, b"\n".join(kept))
