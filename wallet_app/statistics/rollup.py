"""Counts new transactions into the rollups: a reader of the feed."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, text

from wallet_app.database import AnyRow, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed import readers, relay
from wallet_app.ledger.journal import BEHIND, CREATED, JOURNAL, POSTED, JournalRow
from wallet_app.statistics.rollup_sql import (
    ADD_BALANCES,
    ADD_MISSING,
    ADD_WALLETS,
    COUNT_SPANS,
    LOCK,
    MARK,
    ROWS_A_BATCH,
    VERSIONS,
)

READER = "rollup"
# A good quarter of the time: the first duty of the machine is to money requests.
PAUSE_RATIO = 2.5
MAX_PAUSE_S = 1.0
MAX_RUN_S = 120.0
# The service's rows are shared by all batches, which are short.
LOCK_TIMEOUT_MS = 5000

Span = tuple[int, int, int]
NEXT_BEHIND = (
    select(JOURNAL.id, JOURNAL.wallet_ids)
    .where(JOURNAL.kind == BEHIND)
    .order_by(JOURNAL.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)


@dataclass(frozen=True)
class Progress:
    """What one batch has done.

    `is_last`: there was nothing to do; `is_caught_up`: all that there was is done.
    """

    transactions: int
    is_last: bool
    is_caught_up: bool


class FeedCount(NamedTuple):
    """What was counted of the feed, and whether that was all of it."""

    events: int
    transactions: int
    is_all: bool


def roll_up() -> int:
    """Count all new transactions, without a pause; return how many there were."""
    return sum(progress.transactions for progress in batches(pause_ratio=0))


def roll_up_for(seconds: float) -> bool:
    """Count for some time, with pauses; return whether all is counted.

    What comes meanwhile is the next pass's: wallet by wallet, counting little costs as
    much as counting a lot.
    """
    deadline = time.monotonic() + seconds
    for progress in batches():
        if progress.is_caught_up or time.monotonic() > deadline:
            return progress.is_caught_up
    return True


def batches(*, pause_ratio: float = PAUSE_RATIO) -> Iterator[Progress]:
    """Count batch after batch until there is nothing new.

    Rests `pause_ratio` times as long as each batch took.
    """
    is_last = False
    while not is_last:
        started = time.monotonic()
        progress = roll_up_batch()
        yield progress
        is_last = progress.is_last
        took_s = time.monotonic() - started
        time.sleep(min(took_s * pause_ratio, MAX_PAUSE_S))


def roll_up_batch() -> Progress:
    """Count a bounded number of new transactions.

    Safe at any time, from any number of processes, and if killed in the middle: the
    rows' locks serialise them, and positions and last_seqs move with the totals.
    """
    relayed = relay.move()
    fed = count_feed()
    behind = count_behind()
    return Progress(
        fed.transactions + (behind or 0),
        is_last=not (relayed.events or fed.events or behind),
        is_caught_up=not relayed.is_full and fed.is_all and behind is None,
    )


@repeated
def count_feed() -> FeedCount:
    """Count what the feed tells next."""
    with transaction() as connection:
        limit_patience(connection)
        position = readers.lock(connection, READER)
        rows = readers.read(connection, after=position, events=ROWS_A_BATCH)
        if not rows:
            return FeedCount(0, 0, is_all=True)
        created = [one for row in rows if row.kind == CREATED for one in row.wallet_ids]
        if created:
            connection.execute(ADD_WALLETS, {"wallet_ids": created})
        counted = count_up_to(connection, targets_of(rows))
        end = rows[-1].position + rows[-1]._mapping["count"] - 1
        readers.advance(connection, READER, end)
        is_all = end >= readers.position(connection, readers.RELAY)
    return FeedCount(end - position, counted, is_all=is_all)


def targets_of(rows: Sequence[AnyRow]) -> dict[int, int]:
    """The last seq that the rows tell of each wallet."""
    targets: dict[int, int] = {}
    for row in rows:
        if row.kind != POSTED:
            continue
        for wallet_id, seq in zip(row.wallet_ids, row.seqs, strict=True):
            targets[wallet_id] = max(seq, targets.get(wallet_id, 0))
    return targets


@repeated
def count_behind() -> int | None:
    """Count some of what came past the journal; None if there is no such thing."""
    with transaction() as connection:
        limit_patience(connection)
        row = connection.execute(NEXT_BEHIND).one_or_none()
        if row is None:
            return None
        versions = connection.execute(VERSIONS, {"wallet_ids": row.wallet_ids})
        targets = {one.id: one.version for one in versions}
        counted = count_up_to(connection, targets, most=ROWS_A_BATCH)
        if counted < ROWS_A_BATCH:
            connection.execute(delete(JournalRow.__table__).where(JOURNAL.id == row.id))
    return counted


def limit_patience(connection: Connection) -> None:
    # A lost rollup is counted again, so nobody waits for the disk.
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS:d}"))


def count_up_to(
    connection: Connection, targets: dict[int, int], *, most: int | None = None
) -> int:
    """Count wallets' transactions up to a seq each, or the first `most` of them."""
    if not targets:
        return 0
    ids = {"wallet_ids": list(targets)}
    connection.execute(ADD_MISSING, ids)
    done = {row.wallet_id: row.last_seq for row in connection.execute(LOCK, ids)}
    spans = list(spans_of(done, targets, most))
    if spans:
        connection.execute(COUNT_SPANS, span_arrays(spans))
        connection.execute(ADD_BALANCES, span_arrays(spans))
        connection.execute(MARK, span_arrays(spans))
    return sum(to_seq - from_seq for _, from_seq, to_seq in spans)


def spans_of(
    done: dict[int, int], targets: dict[int, int], most: int | None
) -> Iterable[Span]:
    for wallet_id, from_seq in done.items():
        missing = targets[wallet_id] - from_seq
        if most is not None:
            missing = min(missing, most)
            most -= max(0, missing)
        if missing > 0:
            yield wallet_id, from_seq, from_seq + missing


def span_arrays(spans: list[Span]) -> dict[str, list[int]]:
    """(wallet_id, from_seq, to_seq) as one array a column, for rollup_sql.SPANS."""
    wallet_ids, from_seqs, to_seqs = map(list, zip(*spans, strict=True))
    return {
        "span_wallet_id": wallet_ids,
        "span_from_seq": from_seqs,
        "span_to_seq": to_seqs,
    }
