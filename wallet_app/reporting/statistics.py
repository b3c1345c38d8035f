"""A wallet's statistics from the rows of its query."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import Row

from wallet_app.ledger import money
from wallet_app.ledger.rules import INCOMING


def summarize(rows: Sequence[Row[Any]]) -> dict[str, Any]:
    """What the WalletStatistics schema shows, from the rows of wallet_statistics."""
    wallet = rows[0]
    operations = [
        type_statistics(row) for row in rows if row.operation_type is not None
    ]
    operations.sort(key=lambda one: one["operation_type"])
    return {
        "uuid": wallet.uuid,
        "currency": wallet.currency,
        "count": sum(one["count"] for one in operations),
        "net_flow": sum((one["net_flow"] for one in operations), Decimal(0)),
        "first_operation_at": min(
            (one["first_at"] for one in operations), default=None
        ),
        "last_operation_at": max((one["last_at"] for one in operations), default=None),
        "operations": operations,
        "as_of_seq": wallet.version,
        "rolled_up_to_seq": wallet.last_seq,
    }


def type_statistics(row: Row[Any]) -> dict[str, Any]:
    digit = money.minor_unit(row.currency)
    count = int(row._mapping["count"])
    average = (row.total / count).quantize(digit, rounding=ROUND_HALF_EVEN)
    return {
        "operation_type": row.operation_type,
        "currency": row.currency,
        "count": count,
        "total": row.total,
        "average": average,
        "smallest": row.smallest,
        "largest": row.largest,
        "net_flow": row.total if row.operation_type in INCOMING else -row.total,
        "first_at": row.first_at,
        "last_at": row.last_at,
    }
