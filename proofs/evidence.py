"""What a proof has found: a table of figures, and what must be true."""

import argparse
import signal
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import psycopg

from tests import books


class Evidence:
    """Figures and checks; conclude() prints them and gives the exit code."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.figures: list[tuple[str, str]] = []
        self.checks: list[tuple[str, bool]] = []

    def figure(self, name: str, value: object) -> None:
        text = f"{value:,}" if isinstance(value, int) else str(value)
        self.figures.append((name, text))

    def check(self, fact: str, holds: bool) -> None:
        self.checks.append((fact, bool(holds)))

    def check_none(self, fact: str, offenders: Iterable[Any]) -> None:
        """The fact holds if there is no offender; the first ones are shown."""
        found = list(offenders)
        self.check(fact, not found)
        for one in found[:5]:
            self.figure("  offender", one)

    def conclude(self) -> int:
        width = max(len(name) for name, _ in self.figures)
        print(f"\n{self.title}")
        for name, value in self.figures:
            print(f"  {name:<{width}}  {value:>12}")
        for fact, holds in self.checks:
            print(f"  {'holds ' if holds else 'FAILED'}  {fact}")
        return 0 if all(holds for _, holds in self.checks) else 1


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def check_books(evidence: Evidence, connection: psycopg.Connection) -> None:
    """Every wallet is what its gap-free history adds up to."""
    for fact, query in (
        (
            "each balance and version is what its history adds up to",
            books.WALLETS_THAT_DIFFER_FROM_THEIR_HISTORY,
        ),
        (
            "each history is without a gap, each step starts where the last one ended",
            books.STEPS_THAT_DO_NOT_CHAIN,
        ),
        (
            "each transfer has two entries that agree",
            books.TRANSFERS_WITHOUT_TWO_MATCHING_ENTRIES,
        ),
        (
            "what a wallet holds is what is left of its open holds",
            books.WALLETS_THAT_HOLD_WHAT_NO_HOLD_HAS,
        ),
        (
            "each hold is what its entries make it",
            books.HOLDS_THAT_DIFFER_FROM_THEIR_ENTRIES,
        ),
        (
            "what was refunded is what its refunds add up to, and no more than moved",
            books.ORIGINALS_THAT_DIFFER_FROM_THEIR_REFUNDS,
        ),
    ):
        evidence.check_none(fact, connection.execute(query.encode()))


def times_applied(connection: psycopg.Connection) -> dict[str, int]:
    """How often each reference was applied, as the histories show it.

    Expiries are the service's own: nobody has asked for them.
    """
    rows = connection.execute(
        "SELECT reference_id::text, count(*) FROM transactions"
        " WHERE reference_id IS NOT NULL AND operation_type <> 'EXPIRY' GROUP BY 1"
    )
    return dict(rows.fetchall())


def balances(connection: psycopg.Connection) -> dict[str, Decimal]:
    return dict(
        connection.execute("SELECT uuid::text, balance FROM wallets").fetchall()
    )


def arguments(description: str | None, **defaults: int) -> argparse.Namespace:
    """The proof's options, each a number: --seconds 60."""
    # Ended by make, it still stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()
