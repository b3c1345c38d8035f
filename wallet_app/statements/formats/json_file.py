"""A statement as JSON: its facts, then its entries, one a line."""

from typing import Any

import orjson

from wallet_app.http.fields import moment_text
from wallet_app.ledger import money
from wallet_app.statements.formats.content import Content, Sink


def write(content: Content, sink: Sink) -> None:
    """Write chunk by chunk, so that memory does not grow with the statement."""
    facts = {
        "wallet_uuid": str(content.wallet_uuid),
        "currency": content.currency,
        "from": moment_text(content.from_at),
        "to": moment_text(content.to_at),
        "opening_balance": money.to_text(content.opening, content.currency),
        "closing_balance": money.to_text(content.closing, content.currency),
        "opening_held": money.to_text(content.opening_held, content.currency),
        "closing_held": money.to_text(content.closing_held, content.currency),
        "count": content.count,
    }
    sink.write(orjson.dumps(facts)[:-1] + b',"entries":[')
    digits = money.exponent(content.currency)
    separator = b"\n"
    for chunk in content.chunks:
        entries = [orjson.dumps(entry_of(row, digits)) for row in chunk]
        sink.write(separator + b",\n".join(entries))
        separator = b",\n"
    sink.write(b"\n]}\n")


def entry_of(row: Any, digits: int) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "created_at": moment_text(row.created_at),
        "operation_type": row.operation_type,
        "amount": f"{row.amount:.{digits}f}",
        "balance_before": f"{row.balance_before:.{digits}f}",
        "balance_after": f"{row.balance_after:.{digits}f}",
        "held_after": f"{row.held_after:.{digits}f}",
        "description": row.description,
        "reference_id": row.reference_id,
        "counterparty_uuid": row.counterparty_uuid,
    }
