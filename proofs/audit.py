"""Compares the clients' journals with what PostgreSQL has stored, at any moment."""

import functools
import operator
from collections.abc import Iterable, Set
from decimal import Decimal
from typing import Any

import psycopg

from proofs.evidence import balances, times_applied
from proofs.journal import Reading
from proofs.orders import Entries, signed
from proofs.service import Service
from tests import books, recount

BOOKS = {
    "a balance or version differs from its history": (
        books.WALLETS_THAT_DIFFER_FROM_THEIR_HISTORY
    ),
    "a history has a gap or a step that does not chain": books.STEPS_THAT_DO_NOT_CHAIN,
    "a transfer lacks one of its entries": books.TRANSFERS_WITHOUT_TWO_MATCHING_ENTRIES,
    "tenants meet": books.TENANTS_THAT_MEET,
    "an event is another tenant's": books.EVENTS_OF_ANOTHER_TENANT,
    "an entry is not told of once, in journal or feed": (
        books.ENTRIES_NOT_TOLD_OF_ONCE
    ),
    "an event is out of its place in the feed": books.EVENTS_OUT_OF_PLACE,
    "a wallet holds what none of its holds has": (
        books.WALLETS_THAT_HOLD_WHAT_NO_HOLD_HAS
    ),
    "a hold differs from its entries": books.HOLDS_THAT_DIFFER_FROM_THEIR_ENTRIES,
    "refunds differ from what they refund": (
        books.ORIGINALS_THAT_DIFFER_FROM_THEIR_REFUNDS
    ),
    "a wallet has less than its minimum": (
        "SELECT uuid FROM wallets WHERE balance - held < minimum_balance"
    ),
    "a wallet has more than its maximum": (
        "SELECT uuid FROM wallets JOIN wallet_limits ON wallet_id = wallets.id"
        " WHERE balance > maximum_balance"
    ),
    "more is counted or let out than a period allows": (
        "SELECT wallet_id, amount, counted FROM wallet_velocities AS velocity"
        " CROSS JOIN LATERAL ("
        "  SELECT coalesce(sum(amount), 0) AS counted FROM transactions"
        "  WHERE wallet_id = velocity.wallet_id AND created_at >= start"
        "  AND operation_type IN ('WITHDRAW', 'TRANSFER_OUT', 'HOLD', 'HOLD_INCREASE')"
        " ) AS history WHERE amount <> counted OR counted > max_amount"
    ),
}
STORED_ENTRIES = (
    "SELECT coalesce(reference_id, transfer_id)::text, transactions.id,"
    " wallets.uuid::text, seq, operation_type, amount, balance_before, balance_after,"
    " held_after FROM transactions JOIN wallets ON wallets.id = wallet_id"
    " WHERE operation_type <> 'EXPIRY'"
)
Entry = tuple[Any, ...]


def all_of(journals: list[Reading], name: str) -> Any:
    """The union of what each journal has under that name."""
    parts = [getattr(journal, name) for journal in journals]
    return functools.reduce(operator.or_, parts)


class Audit:
    """Findings, each of which would be money lost, made or moved twice."""

    def __init__(self, service: Service, start: Decimal) -> None:
        self.service = service
        self.start = start
        with service.connect() as connection:
            # Keys that no journal names: the wallets' first money.
            self.before = times_applied(connection).keys()
        self.looks = 0
        self.findings: list[str] = []

    def find(self, what: str, offenders: Iterable[Any]) -> None:
        found = list(offenders)
        if found:
            self.findings.append(f"{what}: {len(found)}, such as {found[0]}")

    def look(self, journals: list[Reading]) -> None:
        """While the load goes on: the journals around one snapshot of the tables."""
        self.looks += 1
        for journal in journals:
            journal.read_on()
        answered = all_of(journals, "applied").keys()
        with self.service.connect() as connection, connection.transaction():
            connection.execute(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
            )
            for what, query in BOOKS.items():
                self.find(what, connection.execute(query.encode()))
            self.compare_reports(connection)
            times = times_applied(connection)
            total = sum(balances(connection).values())
        for journal in journals:
            journal.read_on()
        self.compare_keys(answered, times, all_of(journals, "asked"))
        self.compare_total(total, times, all_of(journals, "asked"))

    def compare_keys(
        self,
        answered: Set[str],
        times: dict[str, int],
        asked: dict[str, Entries],
    ) -> None:
        self.find("an answer of 200 is not stored", answered - times.keys())
        self.find("a key is applied twice", (k for k, n in times.items() if n != 1))
        stored = times.keys() - self.before
        self.find("nobody sent what is stored", stored - asked.keys())

    def compare_total(
        self, total: Decimal | int, times: dict[str, int], asked: dict[str, Entries]
    ) -> None:
        moved = (
            signed(kind, amount)
            for key in times.keys() & asked.keys()
            # A transfer's two entries add up to nothing.
            for _, kind, amount in asked[key][: len(asked[key]) % 2]
        )
        expected = self.start + sum(moved, Decimal(0))
        if total != expected:
            self.findings.append(f"the balances sum to {total}, not to {expected}")

    def compare_reports(self, connection: psycopg.Connection) -> None:
        """What Celery has counted is what a fresh count says, as far as it came."""
        for table, (count, _) in recount.COUNTED.items():
            stored = f"SELECT * FROM {table}"
            fresh = count[: count.rindex("ORDER BY")]
            query = (
                f"(({stored}) EXCEPT ALL ({fresh}))"
                f" UNION ALL (({fresh}) EXCEPT ALL ({stored}))"
            )
            offenders = connection.execute(query.encode())
            self.find(f"{table} differs from a fresh count", offenders)


def stored_entries(connection: psycopg.Connection) -> dict[str, list[Entry]]:
    """Every entry, with ENTRY_FIELDS as an answer has them, by its operation's key."""
    found: dict[str, list[Entry]] = {}
    with connection.cursor(name="entries") as cursor:
        cursor.execute(f"{STORED_ENTRIES} ORDER BY transactions.id")
        for key, *entry in cursor:
            found.setdefault(key, []).append(tuple(entry))
    return found
