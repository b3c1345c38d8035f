"""After all disturbances: every answer of every client against every row."""

import asyncio
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import psycopg

from proofs.audit import Audit, all_of, stored_entries
from proofs.client import Client
from proofs.evidence import Evidence, balances, check_books
from proofs.fleet import Fleet
from proofs.orders import Entries, Order, Outcome, is_as_asked, outcomes, signed
from proofs.traders import Traders

# Until the last holds have expired, which Celery notices, and are counted.
COUNT_TIMEOUT_S = 90
COUNTED_BY_TYPE = (
    "SELECT wallets.uuid::text, operation_type, count(*), sum(amount)"
    " FROM transactions JOIN wallets ON wallets.id = wallet_id GROUP BY 1, 2"
)
BEHIND = (
    "SELECT count(*) FROM wallets LEFT JOIN wallet_rollups"
    " ON wallet_rollups.wallet_id = wallets.id"
    " WHERE version > coalesce(last_seq, 0) OR EXISTS (SELECT FROM holds"
    "  WHERE holds.wallet_id = wallets.id AND holds.status = 'open'"
    "  AND expires_at < now() + interval '1 hour')"
)


def judge(evidence: Evidence, fleet: Fleet, audit: Audit) -> None:
    """Clients, books, failpoints, and what the service says of itself."""
    judge_clients(evidence, fleet, audit)
    check_failpoints(evidence, fleet)
    asyncio.run(check_reports(evidence, fleet))


def judge_clients(evidence: Evidence, fleet: Traders, audit: Audit) -> None:
    """Every answer of every client, and the books."""
    fleet.end_clients()
    # What is still under way for a client that was killed has ended after this.
    fleet.service.application = "wsgi:app"
    fleet.service.stop()
    fleet.service.start()
    figures(evidence, fleet)
    check_answers(evidence, fleet, audit)
    sample = [pair for one in fleet.journals for pair in one.sample]
    asyncio.run(check_replays(evidence, fleet, sample))
    audit.look(fleet.journals)
    evidence.figure("looks at all books", audit.looks)
    evidence.check_none("all books were right in each look", audit.findings)


def figures(evidence: Evidence, fleet: Traders) -> None:
    journals = fleet.journals
    for name, times in sorted(fleet.restarts.items()):
        evidence.figure(f"started again: {name}", times)
    evidence.figure("orders", sum(one.settled for one in journals))
    evidence.figure("operations applied", len(all_of(journals, "applied")))
    evidence.figure(
        "  of which the answer came from a retry", len(all_of(journals, "replayed"))
    )
    evidence.figure("operations refused", len(all_of(journals, "refused")))
    reasons: Counter[str] = sum((one.reasons for one in journals), Counter())
    for reason, times in sorted(reasons.items()):
        evidence.figure(f"sent again after: {reason}", times)
    statuses: Counter[int] = sum((one.statuses for one in journals), Counter())
    evidence.check_none("no other answer was given", statuses.keys() - {200, 409})
    evidence.check_none(
        "each 503 says when to come back and what was applied",
        [one for one in reasons if "without" in one or "not said" in one],
    )
    evidence.check_none(
        "every order was answered in the end", all_of(journals, "unsettled")
    )


def check_answers(evidence: Evidence, fleet: Traders, audit: Audit) -> None:
    journals = fleet.journals
    asked: dict[str, Entries] = all_of(journals, "asked")
    applied: dict[str, list[Any]] = all_of(journals, "applied")
    refused, doubtful = all_of(journals, "refused"), all_of(journals, "doubtful")
    with fleet.service.connect() as connection, connection.transaction():
        stored = stored_entries(connection)
        held = balances(connection)
        check_books(evidence, connection)
    stored = {key: stored[key] for key in stored.keys() - audit.before}
    late = refused & stored.keys()
    evidence.figure("applied by an earlier attempt than the one refused", len(late))
    evidence.check_none("each 200 is in the histories", applied.keys() - stored.keys())
    evidence.check_none(
        "each answer is what the histories hold",
        [key for key, told in applied.items() if as_stored(told) != stored.get(key)],
    )
    evidence.check_none(
        "nothing is stored that nobody sent, and all of it as it was sent",
        [
            key
            for key, found in stored.items()
            if not is_as_asked(plain(found), asked.get(key, []))
        ],
    )
    evidence.check_none(
        "what was refused is not stored, nor what a 503 called not applied",
        (late - doubtful)
        | ((all_of(journals, "undone") - doubtful) & all_of(journals, "replayed")),
    )
    evidence.check_none(
        "no atomic batch was applied in part",
        [
            keys
            for journal in journals
            for keys in journal.atomic
            if 0 < len(stored.keys() & set(keys)) < len(set(keys))
        ],
    )
    evidence.check("each balance is what was applied", held == added_up(fleet, stored))


def as_stored(told: list[list[Any]]) -> list[tuple[Any, ...]]:
    """Entries of an answer, as the database has them."""
    return sorted((*one[:4], *map(Decimal, one[4:])) for one in told)


def plain(entries: list[tuple[Any, ...]]) -> list[tuple[str, str, str]]:
    """Wallet, type and amount of each, as orders have them."""
    return [
        (wallet, kind, f"{amount:.2f}") for _, wallet, _, kind, amount, *_ in entries
    ]


def added_up(fleet: Traders, stored: dict[str, list[Any]]) -> dict[str, Decimal]:
    """What each wallet holds if exactly this was applied."""
    held = dict(fleet.wallets)
    for entries in stored.values():
        for wallet, kind, amount in plain(entries):
            held[wallet] += signed(kind, amount)
    return held


async def check_replays(
    evidence: Evidence, fleet: Traders, sample: list[tuple[Order, list[Outcome]]]
) -> None:
    """An order that was answered is answered the same way again."""
    client = Client(fleet.service.port)
    different = []
    for order, first in sample:
        answer = await client.call("POST", order.path, order.body, order.headers)
        again = [[one.status, one.entries] for one in outcomes(order, answer)]
        if again != [[one.status, one.entries] for one in first]:
            different.append(order.keys)
    client.close()
    evidence.figure("orders sent once more at the end", len(sample))
    evidence.check_none("each of them has the same answer as before", different)


async def check_reports(evidence: Evidence, fleet: Fleet) -> None:
    """What the service says of itself is what a fresh count of the rows says."""
    with fleet.service.connect() as connection:
        deadline = time.monotonic() + COUNT_TIMEOUT_S
        while one_value(connection, BEHIND) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        evidence.check(
            "Celery has counted everything", not one_value(connection, BEHIND)
        )
        counted: dict[str, Any] = {wallet: {} for wallet in fleet.wallets}
        everywhere: dict[str, Any] = {}
        for wallet, kind, count, total in connection.execute(COUNTED_BY_TYPE):
            counted[wallet][kind] = count, total
            seen = everywhere.get(kind, (0, Decimal(0)))
            everywhere[kind] = seen[0] + count, seen[1] + total
    client = Client(fleet.service.port)
    wrong = []
    for wallet in fleet.wallets:
        answer = await client.call("GET", f"/api/v1/wallets/{wallet}/statistics")
        if by_type(answer.json["operations"]) != counted[wallet]:
            wrong.append(wallet)
    evidence.check_none("each wallet's statistics are those of its rows", wrong)
    answer = await client.call("GET", "/api/v1/statistics")
    (usd,) = answer.json["currencies"]
    evidence.check(
        "the service's statistics are those of all rows",
        by_type(usd["operations"]) == everywhere,
    )
    client.close()


def by_type(operations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        one["operation_type"]: (one["count"], Decimal(one["total"]))
        for one in operations
    }


def one_value(connection: psycopg.Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def check_failpoints(evidence: Evidence, fleet: Fleet) -> None:
    """Workers that died at their COMMIT: what their transactions held, and became."""
    applied = all_of(fleet.journals, "applied").keys()
    replayed = all_of(fleet.journals, "replayed")
    asked = all_of(fleet.journals, "asked")
    for point in ("before", "sent", "after"):
        files = fleet.service.folder.glob(f"failpoint-{point}.*")
        keys = {key for file in files for key in file.read_text().split()}
        # Others are expiries of holds, for which nobody has asked.
        keys &= asked.keys()
        if not keys:
            continue
        evidence.figure(f'operations at the failpoint "{point}"', len(keys))
        evidence.figure("  of which a retry found applied", len(keys & replayed))
        if point == "after":
            evidence.check_none(
                "what had been committed there was never done again",
                keys - (applied & replayed),
            )
