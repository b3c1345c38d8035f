"""What the service should report about the bank, computed afresh each time."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.model.accounts import SIGNS, Entry, Wallet
from tests.model.bank import Bank

# Of an entry, what a statement's file leaves out.
NOT_IN_FILES = ("id", "wallet_uuid", "parent_reference_id", "metadata")


def by_type(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries by type, in alphabetical order."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.kind, []).append(entry)
    return dict(sorted(found.items()))


def total(entries: Iterable[Entry]) -> int:
    return sum(entry.amount for entry in entries)


def type_totals(entries: Iterable[Entry], wallet: Wallet) -> list[dict[str, Any]]:
    return [
        {
            "operation_type": kind,
            "count": len(some),
            "total": wallet.text(total(some)),
        }
        for kind, some in by_type(entries).items()
    ]


def statistics(wallet: Wallet) -> dict[str, Any]:
    """Without `rolled_up_to_seq`, which depends on what Celery has done."""
    history, text = wallet.history, wallet.text
    return {
        "uuid": wallet.uuid,
        "currency": wallet.currency,
        "count": len(history),
        "net_flow": text(wallet.balance),
        "first_operation_at": history[0].created_at if history else None,
        "last_operation_at": history[-1].created_at if history else None,
        "operations": [
            {
                "operation_type": kind,
                "count": len(some),
                "total": text(total(some)),
                # Python rounds half to even, as the service promises.
                "average": text(round(Fraction(total(some), len(some)))),
                "smallest": text(min(entry.amount for entry in some)),
                "largest": text(max(entry.amount for entry in some)),
                "net_flow": text(total(some) * SIGNS[kind]),
                "first_at": some[0].created_at,
                "last_at": some[-1].created_at,
            }
            for kind, some in by_type(history).items()
        ],
        "as_of_seq": wallet.version,
    }


def service_statistics(bank: Bank, first: date, last: date) -> dict[str, Any]:
    """The whole bank; `days` from `first` to `last`, both inclusive."""
    by_currency: dict[str, list[Wallet]] = {}
    for wallet in bank.wallets.values():
        by_currency.setdefault(wallet.currency, []).append(wallet)
    currencies = sorted(by_currency.items())
    busiest = sorted(bank.wallets.values(), key=lambda one: -one.version)
    return {
        "currencies": [
            {
                "currency": currency,
                "wallets": len(wallets),
                "total_balance": wallets[0].text(bank.brought_in[currency]),
                "deposited": wallets[0].text(from_outside(wallets, 1)),
                "withdrawn": wallets[0].text(from_outside(wallets, -1)),
                "balanced": True,
                "count": sum(wallet.version for wallet in wallets),
                "operations": type_totals(entries_of(wallets), wallets[0]),
            }
            for currency, wallets in currencies
        ],
        "days": [
            {"day": day.isoformat(), "currency": currency} | figures
            for day in days_between(first, last)
            for currency, wallets in currencies
            for figures in type_totals(
                (one for one in entries_of(wallets) if day_of(one, UTC) == day),
                wallets[0],
            )
        ],
        "busiest_wallets": [
            {
                "uuid": wallet.uuid,
                "currency": wallet.currency,
                "transactions": wallet.version,
            }
            for wallet in busiest[:10]
            if wallet.version
        ],
    }


def from_outside(wallets: Iterable[Wallet], sign: int) -> int:
    """What came in from outside (1), or went there (-1).

    Refunds count for the way in which more of them went.
    """
    outside = [one for one in entries_of(wallets) if one.counterparty is None]
    refunds = [one for one in outside if one.kind in ("REFUND_IN", "REFUND_OUT")]
    moves = [one for one in outside if one not in refunds and SIGNS[one.kind] == sign]
    return total(moves) + max(0, sign * sum(one.moved for one in refunds))


def entries_of(wallets: Iterable[Wallet]) -> list[Entry]:
    return [entry for wallet in wallets for entry in wallet.history]


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(n) for n in range((last - first).days + 1)]


def day_of(entry: Entry, zone: Any) -> date:
    return datetime.fromisoformat(entry.created_at).astimezone(zone).date()


def summaries(
    wallet: Wallet, granularity: str, first: date, last: date, zone: ZoneInfo
) -> list[dict[str, Any]]:
    """A row for every period that has a day of the range, oldest first."""
    labels: dict[str, list[date]] = {}
    # Days around the range, so that the periods at its ends are whole.
    for day in days_between(first - timedelta(31), last + timedelta(31)):
        labels.setdefault(label_of(granularity, day), []).append(day)
    wanted = {label_of(granularity, day) for day in days_between(first, last)}
    return [
        summary(wallet, label, days, zone)
        for label, days in labels.items()
        if label in wanted
    ]


def label_of(granularity: str, day: date) -> str:
    form = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}[granularity]
    return day.strftime(form)


def summary(
    wallet: Wallet, label: str, days: list[date], zone: ZoneInfo
) -> dict[str, Any]:
    before = [one for one in wallet.history if day_of(one, zone) < days[0]]
    inside = [one for one in wallet.history if days[0] <= day_of(one, zone) <= days[-1]]
    came = [one for one in inside if SIGNS[one.kind] > 0]
    went = [one for one in inside if SIGNS[one.kind] < 0]
    opening = sum(one.moved for one in before)
    balances = [opening, *(one.after for one in inside)]
    return {
        "period": label,
        "starts_at": midnight(days[0], zone),
        "ends_at": midnight(days[-1] + timedelta(1), zone),
        "opening_balance": wallet.text(opening),
        "closing_balance": wallet.text(opening + sum(one.moved for one in inside)),
        "count_in": len(came),
        "total_in": wallet.text(total(came)),
        "count_out": len(went),
        "total_out": wallet.text(total(went)),
        "smallest_balance": wallet.text(min(balances)),
        "largest_balance": wallet.text(max(balances)),
        "operations": type_totals(inside, wallet),
    }


def midnight(day: date, zone: ZoneInfo) -> str:
    start = datetime.combine(day, time(), zone).astimezone(UTC)
    return text_of(start)


def text_of(moment: datetime) -> str:
    """As the service writes times; in this form they sort as text."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def funds_at(wallet: Wallet, moment: str) -> tuple[str, str]:
    """The balance, and what was held of it."""
    past = [one for one in wallet.history if one.created_at <= moment]
    held = past[-1].held if past else 0
    return wallet.text(sum(one.moved for one in past)), wallet.text(held)


def history(
    wallet: Wallet, *, order: str = "asc", filters: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """The entries that pass the filters, which are named as in the query."""
    wanted = filters or {}
    found = [
        one.shown()
        for one in wallet.history
        if one.kind == wanted.get("operation_type", one.kind)
        and one.created_at >= wanted.get("from", one.created_at)
        and ("to" not in wanted or one.created_at < wanted["to"])
        and money(one) >= Fraction(wanted.get("min_amount", 0))
        and money(one) <= Fraction(wanted.get("max_amount", money(one)))
    ]
    return found if order == "asc" else found[::-1]


def money(entry: Entry) -> Fraction:
    return Fraction(entry.wallet.text(entry.amount))


def seq_before(wallet: Wallet, moment: str) -> int:
    """The seq of the last entry before a moment."""
    return sum(one.created_at < moment for one in wallet.history)


def csv_rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file, newline="")))


def as_csv(row: dict[str, Any]) -> dict[str, str]:
    """A row as the file shows it: a formula gets an apostrophe, nothing is empty."""
    shown = {name: str(value or "") for name, value in row.items()}
    if shown["description"].lstrip(" ").startswith(("=", "+", "-", "@")):
        shown["description"] = "'" + shown["description"]
    return {k: v for k, v in shown.items() if k not in NOT_IN_FILES}


def json_rows(file: str) -> Any:
    return json.loads(file)["entries"]
