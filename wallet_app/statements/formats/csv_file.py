"""A statement as CSV (RFC 4180): a header, then an entry a line."""

import csv
import io
from typing import Any

from wallet_app.http.fields import moment_text
from wallet_app.ledger import money
from wallet_app.statements.formats.content import Content, Sink

COLUMNS = (
    "seq",
    "created_at",
    "operation_type",
    "amount",
    "balance_before",
    "balance_after",
    "currency",
    "description",
    "reference_id",
    "counterparty_uuid",
    "held_after",
)
# With these a spreadsheet takes a cell for a formula.
FORMULA_STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)


def write(content: Content, sink: Sink) -> None:
    """Write chunk by chunk, so that memory does not grow with the statement."""
    sink.write(lines([COLUMNS]))
    currency, digits = content.currency, money.exponent(content.currency)
    for chunk in content.chunks:
        sink.write(
            lines(
                [
                    (
                        row.seq,
                        moment_text(row.created_at),
                        row.operation_type,
                        f"{row.amount:.{digits}f}",
                        f"{row.balance_before:.{digits}f}",
                        f"{row.balance_after:.{digits}f}",
                        currency,
                        harmless(row.description),
                        row.reference_id,
                        row.counterparty_uuid,
                        f"{row.held_after:.{digits}f}",
                    )
                    for row in chunk
                ]
            )
        )


def lines(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def harmless(text: str | None) -> str | None:
    """Text that no spreadsheet runs: an apostrophe goes before a formula."""
    if text and text.lstrip(" ").startswith(FORMULA_STARTS):
        return "'" + text
    return text
