"""What became of a file's lines: written as CSV, downloaded as CSV or NDJSON."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from wallet_app.errors import BY_CODE
from wallet_app.imports.rows import Row
from wallet_app.ledger import money
from wallet_app.ledger.posting import Outcome
from wallet_app.ledger.rules import Refusal

COLUMNS = (
    "row",
    "status",
    "code",
    "reference_id",
    "seq",
    "balance_after",
    "detail",
)
HEADER = ",".join(COLUMNS).encode() + b"\r\n"
NUMBERS = ("row", "status", "seq")


class Told:
    """Rows and what became of them: as CSV, and counted."""

    def __init__(self, rows: Iterable[Row], outcomes: Iterable[Outcome]) -> None:
        self.applied = self.replayed = self.refused = 0
        posted = iter(outcomes)
        lines = [self.line(row, row.refusal or next(posted)) for row in rows]
        self.data = "".join(lines).encode()

    def line(self, row: Row, outcome: Outcome) -> str:
        if isinstance(outcome, Refusal):
            self.refused += 1
            return refusal_line(row, outcome)
        entry = outcome.entries[0]
        # Of a reference that the import has made, only the import can have been before.
        if outcome.replayed and row.has_own:
            self.replayed += 1
            code = "replayed"
        else:
            self.applied += 1
            code = "ok"
        balance = money.to_text(entry.balance_after, entry.currency)
        return f"{row.line},200,{code},{entry.reference_id},{entry.seq},{balance},\r\n"


def refusal_line(row: Row, refusal: Refusal) -> str:
    family = BY_CODE[refusal.code]
    text = io.StringIO()
    csv.writer(text).writerow(
        (
            row.line,
            family.status,
            family.code,
            row.reference_id,
            None,
            None,
            # A line stays a line.
            " ".join(refusal.detail.split()),
        )
    )
    return text.getvalue()


def as_ndjson(chunk: bytes) -> bytes:
    """Lines of CSV as lines of JSON, without what they do not have."""
    return "".join(
        json.dumps(member_of(cells), ensure_ascii=False, separators=(",", ":")) + "\n"
        for cells in csv.reader(io.StringIO(chunk.decode(), newline=""))
    ).encode()


def member_of(cells: list[str]) -> dict[str, Any]:
    return {
        name: int(cell) if name in NUMBERS else cell
        for name, cell in zip(COLUMNS, cells, strict=True)
        if cell
    }


def in_format(file_format: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A whole file of these chunks of outcomes."""
    if file_format == "ndjson":
        yield from map(as_ndjson, chunks)
        return
    yield HEADER
    yield from chunks
