"""Counts new transactions into the rollups, a bounded batch of wallets at a time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.statistics.rollup_sql import (
    ADD_MISSING,
    BEHIND,
    COUNT_SPANS,
    LOCK,
    MARK,
    ROWS_A_BATCH,
    VERSIONS,
    WALLETS_A_BATCH,
    WINDOW_END,
)

# A good quarter of the time: the first duty of the machine is to money requests.
PAUSE_RATIO = 2.5
MAX_PAUSE_S = 1.0
MAX_RUN_S = 120.0
# The service's daily rows are shared by all batches, which are short.
LOCK_TIMEOUT_MS = 5000

Span = tuple[int, int, int]


@dataclass(frozen=True)
class Progress:
    """What one batch has done; `next_after_id` is None when it was the last."""

    transactions: int
    wallets: int
    next_after_id: int | None


def roll_up() -> int:
    """Count all new transactions, without a pause; return how many there were."""
    return sum(progress.transactions for progress in batches(pause_ratio=0))


def roll_up_for(seconds: float, after_id: int = 0) -> int | None:
    """Count for some time, with pauses; return where to go on, or None at the end."""
    deadline = time.monotonic() + seconds
    for progress in batches(after_id):
        if time.monotonic() > deadline:
            return progress.next_after_id
    return None


def batches(
    start_after_id: int = 0, *, pause_ratio: float = PAUSE_RATIO
) -> Iterator[Progress]:
    """Count batch after batch, once through the wallets with ids above a start.

    Rests `pause_ratio` times as long as each batch took.
    """
    after_id: int | None = start_after_id
    while after_id is not None:
        started = time.monotonic()
        progress = roll_up_batch(after_id)
        yield progress
        after_id = progress.next_after_id
        took_s = time.monotonic() - started
        time.sleep(min(took_s * pause_ratio, MAX_PAUSE_S))


@repeated
def roll_up_batch(after_id: int = 0) -> Progress:
    """Count a bounded number of new transactions, of wallets with ids above `after_id`.

    Safe at any time, from any number of processes, and if killed in the middle: the
    rollups' row locks serialise them, and last_seq moves with the totals.
    """
    with reading() as connection:
        last_id = connection.scalar(WINDOW_END, {"after_id": after_id})
        if last_id is None:
            return Progress(0, 0, None)
        window = {"after_id": after_id, "last_id": last_id}
        behind = connection.execute(BEHIND, window).all()
    if not behind:
        return Progress(0, 0, last_id)
    wallet_ids: list[int] = []
    rows = 0
    for wallet_id, missing in behind:
        wallet_ids.append(wallet_id)
        rows += missing
        if rows >= ROWS_A_BATCH:
            break
    with transaction() as connection:
        connection.execute(ADD_MISSING, {"wallet_ids": wallet_ids})
    with transaction() as connection:
        counted = count_new(connection, wallet_ids)
    if rows > ROWS_A_BATCH and counted:
        # A long history takes several batches: come back to its wallet.
        return Progress(counted, len(wallet_ids), wallet_ids[-1] - 1)
    whole_window = len(wallet_ids) == len(behind) < WALLETS_A_BATCH
    return Progress(
        counted, len(wallet_ids), last_id if whole_window else wallet_ids[-1]
    )


def count_new(connection: Connection, wallet_ids: list[int]) -> int:
    """Count the wallets' new transactions in the caller's transaction."""
    # A lost rollup is counted again, so nobody waits for the disk.
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS:d}"))
    ids = {"wallet_ids": wallet_ids}
    done = {row.wallet_id: row.last_seq for row in connection.execute(LOCK, ids)}
    # Only now: this statement's snapshot is younger than the locks.
    spans = [
        (row.id, done[row.id], min(row.version, done[row.id] + ROWS_A_BATCH))
        for row in connection.execute(VERSIONS, ids)
        if row.id in done and row.version > done[row.id]
    ]
    if not spans:
        return 0
    connection.execute(COUNT_SPANS, span_arrays(spans))
    connection.execute(MARK, span_arrays(spans))
    return sum(to_seq - from_seq for _, from_seq, to_seq in spans)


def span_arrays(spans: list[Span]) -> dict[str, list[int]]:
    """(wallet_id, from_seq, to_seq) as one array a column, for rollup_sql.SPANS."""
    wallet_ids, from_seqs, to_seqs = map(list, zip(*spans, strict=True))
    return {
        "span_wallet_id": wallet_ids,
        "span_from_seq": from_seqs,
        "span_to_seq": to_seqs,
    }
