"""A bank under load: processes move money while others read all of it, all the time."""

import asyncio
import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg

from proofs.bank_clients import CONNECTIONS, Bank, Seen, Traded, read, trade
from proofs.client import limit_wallets, make_wallets
from proofs.evidence import (
    Evidence,
    arguments,
    balances,
    check_books,
    times_applied,
)
from proofs.ring import TotalReader
from proofs.service import Service, running
from tests.services.workers import Worker, stopped_at_the_end

WORKERS = 4
VAULTS, TILLS, LIMITED = 30, 10, 3
START = Decimal(200)
MINIMUM, MAXIMUM = Decimal(-50), Decimal(400)
LARGEST, MOST_OUT = Decimal(15), Decimal(1500)
LIMITS = {
    "minimum_balance": str(MINIMUM),
    "maximum_balance": str(MAXIMUM),
    "largest_operation": str(LARGEST),
    "velocity": {"month": {"max_amount": str(MOST_OUT)}},
}
TRADERS, READERS = 6, 2
# By wallet: what its velocity counts, what was counted, and the largest that counts.
LET_OUT = (
    "SELECT uuid::text, sum(transactions.amount), min(velocity.amount),"
    " max(transactions.amount) FROM transactions"
    " JOIN wallets ON wallets.id = transactions.wallet_id"
    " JOIN wallet_velocities AS velocity ON velocity.wallet_id = wallets.id"
    " WHERE transactions.created_at >= start"
    " AND operation_type IN ('WITHDRAW', 'TRANSFER_OUT', 'HOLD', 'HOLD_INCREASE')"
    " GROUP BY 1"
)
ALL_STATES = (
    "SELECT wallets.uuid::text, seq, balance_after, held_after FROM transactions"
    " JOIN wallets ON wallets.id = wallet_id"
)


class VaultReader(TotalReader):
    """Reads the vaults' total by SQL, past the service."""

    query = "SELECT sum(balance) FROM wallets WHERE currency = 'USD'"


def load(
    service: Service, bank: Bank, seconds: int
) -> tuple[Traded, Seen, VaultReader]:
    """Client processes, each with connections of its own, for as long as that."""
    sql = VaultReader(service)
    sql.start()
    try:
        with ProcessPoolExecutor(
            TRADERS + READERS, mp_context=multiprocessing.get_context("spawn")
        ) as pool:
            trading = [pool.submit(trade, bank, seconds, n) for n in range(TRADERS)]
            reading = [pool.submit(read, bank, seconds, n) for n in range(READERS)]
            traded = [one.result() for one in trading]
            seen = [one.result() for one in reading]
    finally:
        sql.done.set()
        sql.join()
    return joined(traded), joined(seen), sql


def joined(parts: list[Any]) -> Any:
    """All processes' figures as one."""
    whole = type(parts[0])()
    for part in parts:
        for name, value in vars(part).items():
            if isinstance(value, int):
                setattr(whole, name, getattr(whole, name) + value)
            elif isinstance(value, list):
                getattr(whole, name).extend(value)
            else:
                # A set's members, or a counter's counts, which may be negative.
                getattr(whole, name).update(value)
    return whole


def main() -> int:
    seconds = arguments(__doc__, seconds=180).seconds
    evidence = Evidence(f"Bank: {WORKERS} gunicorn workers, {seconds} s")
    with running(workers=WORKERS) as service:
        vaults = asyncio.run(make_wallets(service.port, VAULTS, str(START)))
        tills = asyncio.run(make_wallets(service.port, TILLS, str(START), "EUR"))
        asyncio.run(limit_wallets(service.port, tills[:LIMITED], LIMITS))
        minimum = dict.fromkeys(tills[:LIMITED], MINIMUM)
        bank = Bank(service.port, vaults, tills, minimum, START * VAULTS)
        celery = Worker(
            service.settings | {"WALLET_ROLLUP_INTERVAL_SECONDS": "1"},
            service.folder / "celery.log",
        )
        with stopped_at_the_end([celery]), service.connect() as connection:
            before = times_applied(connection).keys()
            traded, seen, sql = load(service, bank, seconds)
            figures(evidence, traded, seen, sql)
            judge_reads(evidence, bank, seen, sql, connection)
            judge_writes(evidence, traded, set(before), connection)
            judge_limits(evidence, bank, seen, connection)
            check_books(evidence, connection)
    return evidence.conclude()


def figures(evidence: Evidence, traded: Traded, seen: Seen, sql: VaultReader) -> None:
    evidence.figure("client processes", f"{TRADERS} + {READERS}")
    evidence.figure("connections of each", CONNECTIONS)
    evidence.figure("requests to move money", traded.requests)
    evidence.figure("operations applied", len(traded.applied))
    for kind, times in sorted(traded.types.items()):
        evidence.figure(f"  entries: {kind}", times)
    evidence.figure("refused (409)", len(traded.refused))
    evidence.figure("asked to try again (503)", traded.statuses[503])
    evidence.figure("reads of all wallets in a page", seen.reads["read_page"])
    evidence.figure("reads of the service's statistics", seen.reads["read_service"])
    evidence.figure("reads of the total by SQL", sum(sql.totals.values()))
    single = seen.reads["read_wallet"] + seen.reads["read_statistics"]
    evidence.figure("reads of a wallet or its statistics", single)
    evidence.figure("different balances seen", len(seen.states))
    evidence.figure("reads of what was just answered", traded.read_back)


def judge_reads(
    evidence: Evidence,
    bank: Bank,
    seen: Seen,
    sql: VaultReader,
    connection: psycopg.Connection,
) -> None:
    evidence.check_none(
        "each read of all vaults, by page and by statistics, has the same total",
        seen.totals.keys() - {bank.total},
    )
    evidence.check_none("so has each by SQL", sql.totals.keys() - {bank.total})
    evidence.check_none(
        "in each read, what is there is what came less what went, and available what is"
        " neither held nor kept",
        seen.faults,
    )
    rows = connection.execute(ALL_STATES).fetchall()
    evidence.check_none(
        "each balance seen is the history's at the version seen",
        seen.states - {(wallet, seq, balance) for wallet, seq, balance, _ in rows},
    )
    evidence.check_none(
        "so is all that was seen to be held",
        seen.held - {(wallet, seq, held) for wallet, seq, _, held in rows},
    )
    evidence.check_none(
        "no balance seen is below the wallet's minimum",
        [one for one in seen.states if one[2] < bank.minimum.get(one[0], 0)],
    )


def judge_writes(
    evidence: Evidence,
    traded: Traded,
    before: set[str],
    connection: psycopg.Connection,
) -> None:
    statuses: Counter[int] = traded.statuses
    evidence.check_none("no other answer was given", statuses.keys() - {200, 409, 503})
    evidence.check_none(
        "each answer is what was asked for, a read after it shows it", traded.faults
    )
    applied = times_applied(connection)
    evidence.check(
        "what is stored is what was answered 200, each once",
        applied == dict.fromkeys(before | traded.applied, 1),
    )
    expected = {
        wallet: START + Decimal(traded.moved[wallet]) / 100
        for wallet in balances(connection)
    }
    evidence.check(
        "each balance is its start and what was answered",
        balances(connection) == expected,
    )


def judge_limits(
    evidence: Evidence, bank: Bank, seen: Seen, connection: psycopg.Connection
) -> None:
    evidence.check_none(
        "no limited wallet was seen above its maximum",
        [one for one in seen.states if one[0] in bank.minimum and one[2] > MAXIMUM],
    )
    let_out = connection.execute(LET_OUT).fetchall()
    evidence.figure("most let out of a limited wallet", max(one[1] for one in let_out))
    evidence.check_none(
        "none let out more than it may, or more at once, and each has counted it",
        [
            one
            for one in let_out
            if one[1] > MOST_OUT or one[1] != one[2] or one[3] > LARGEST
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
