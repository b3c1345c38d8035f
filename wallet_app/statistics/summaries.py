"""A wallet's history by day, week or month: exact, and checked before it is shown."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from wallet_app.errors import InvalidRequest
from wallet_app.ledger.operation_types import INCOMING, OUTGOING
from wallet_app.statistics.periods import Period, periods
from wallet_app.statistics.summary_sql import (
    TRANSACTIONS_WITHIN,
    UTC_SUMMARIES,
    ZONED_SUMMARIES,
)

UTC_ZONE = ZoneInfo("UTC")
MAX_PERIODS = 400
# Any other zone than UTC is counted on demand.
MAX_ZONED_TRANSACTIONS = 100_000


class BooksDoNotBalanceError(RuntimeError):
    """A rollup differs from the ledger; `flask wallet rollup --rebuild` repairs it."""


def periods_asked_for(
    granularity: str, first: date, last: date, zone: ZoneInfo
) -> list[Period]:
    """The periods of a query; raises InvalidRequest if they are too many or none."""
    found = periods(granularity, first, last, zone, limit=MAX_PERIODS)
    if not found:
        message = "`to` lies before `from`."
    elif len(found) > MAX_PERIODS:
        message = f"Ask for at most {MAX_PERIODS} periods at a time."
    else:
        return found
    raise InvalidRequest(message, errors={"to": [message]})


def read_summaries(
    connection: Connection, wallet: Row[Any], found: Sequence[Period], zone: ZoneInfo
) -> list[dict[str, Any]]:
    """A row per period, oldest first, as the Summary schema shows it."""
    arguments = {
        "wallet_id": wallet.id,
        "first_day": found[0].first,
        "end_day": found[-1].end,
        "starts_at": found[0].starts_at,
        "ends_at": found[-1].ends_at,
    }
    if zone.key == "UTC":
        rows = connection.execute(UTC_SUMMARIES, arguments).all()
    else:
        refuse_too_many(connection.scalar(TRANSACTIONS_WITHIN, arguments), zone)
        rows = connection.execute(
            ZONED_SUMMARIES,
            arguments
            | {
                "period_day": [period.first for period in found],
                "period_starts_at": [period.starts_at for period in found],
                "period_ends_at": [period.ends_at for period in found],
            },
        ).all()
    return summarize(rows, found, wallet.currency)


def refuse_too_many(transactions: int | None, zone: ZoneInfo) -> None:
    if (transactions or 0) > MAX_ZONED_TRANSACTIONS:
        message = (
            f"In {zone.key} this period is counted on demand, and it holds "
            f"{transactions} transactions, more than {MAX_ZONED_TRANSACTIONS}: "
            "ask for a shorter one, or for UTC."
        )
        raise InvalidRequest(message, errors={"tz": [message]})


def summarize(
    rows: Sequence[Row[Any]], found: Sequence[Period], currency: str
) -> list[dict[str, Any]]:
    """Give each period its movements; the first one opens with the rows' `opening`."""
    movements: dict[Period, list[Row[Any]]] = defaultdict(list)
    ahead = iter(found)
    period = next(ahead)
    for row in rows:
        if row.day is None:
            break
        while row.day >= period.end:
            period = next(ahead)
        movements[period].append(row)
    balance: Decimal = rows[0].opening
    summaries = []
    for each in found:
        summaries.append(summary_of(each, movements[each], balance, currency))
        balance = summaries[-1]["closing_balance"]
    return summaries


def summary_of(
    period: Period, rows: list[Row[Any]], balance: Decimal, currency: str
) -> dict[str, Any]:
    """One period; raises BooksDoNotBalanceError if the ledger says otherwise."""
    totals: dict[str, tuple[int, Decimal]] = {}
    for row in rows:
        count, total = totals.get(row.operation_type, (0, Decimal(0)))
        count += int(row._mapping["count"])
        totals[row.operation_type] = (count, total + row.total)
    came = [totals[name] for name in totals if name in INCOMING]
    went = [totals[name] for name in totals if name in OUTGOING]
    total_in = sum((total for _, total in came), Decimal(0))
    total_out = sum((total for _, total in went), Decimal(0))
    closing = balance + total_in - total_out
    if rows:
        check(period, rows, balance, closing)
    return {
        "period": period.label,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
        "currency": currency,
        "opening_balance": balance,
        "closing_balance": closing,
        "count_in": sum(count for count, _ in came),
        "total_in": total_in,
        "count_out": sum(count for count, _ in went),
        "total_out": total_out,
        "smallest_balance": min([balance, *(row.lowest for row in rows)]),
        "largest_balance": max([balance, *(row.highest for row in rows)]),
        "operations": [
            {
                "operation_type": name,
                "currency": currency,
                "count": count,
                "total": total,
            }
            for name, (count, total) in sorted(totals.items())
        ],
    }


def check(
    period: Period, rows: list[Row[Any]], opening: Decimal, closing: Decimal
) -> None:
    """The rollups' sums must lead from the ledger's opening to its closing balance."""
    first = min(rows, key=lambda row: row.first_seq)
    last = max(rows, key=lambda row: row.last_seq)
    if first.opening_balance != opening or last.closing_balance != closing:
        raise BooksDoNotBalanceError(
            f"{period.label}: opened {first.opening_balance} (should be {opening}), "
            f"closed {last.closing_balance} (should be {closing})"
        )


def today(zone: ZoneInfo) -> date:
    """The date that it is now in a time zone."""
    return datetime.now(UTC).astimezone(zone).date()
