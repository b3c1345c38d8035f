"""Counts new transactions into the rollups, many wallets a statement."""

from dataclasses import dataclass

from sqlalchemy import (
    ARRAY,
    BigInteger,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from wallet_app.database import reading, transaction
from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.sql import unnested
from wallet_app.reporting.models import WalletRollup, WalletTotal

# Together they keep every statement far below a second.
WALLETS_A_BATCH = 500
ROWS_A_BATCH = 20_000

IDS = bindparam("wallet_ids", type_=ARRAY(BigInteger))
SPANS = unnested(
    "span",
    {"wallet_id": BigInteger, "from_seq": BigInteger, "to_seq": BigInteger},
)

BEHIND = (
    select(Wallet.id, Wallet.version - func.coalesce(WalletRollup.last_seq, 0))
    .outerjoin(WalletRollup, WalletRollup.wallet_id == Wallet.id)
    .where(
        Wallet.id > bindparam("after_id"),
        Wallet.version > func.coalesce(WalletRollup.last_seq, 0),
    )
    .order_by(Wallet.id)
    .limit(WALLETS_A_BATCH)
)
ADD_MISSING = (
    insert(WalletRollup.__table__)
    .from_select(["wallet_id"], select(func.unnest(IDS)))
    .on_conflict_do_nothing()
)
LOCK = (
    select(WalletRollup.wallet_id, WalletRollup.last_seq)
    .where(WalletRollup.wallet_id == func.any(IDS))
    .order_by(WalletRollup.wallet_id)
    .with_for_update()
)
VERSIONS = select(Wallet.id, Wallet.version).where(Wallet.id == func.any(IDS))

FRESH = (
    select(
        Transaction.wallet_id,
        Transaction.operation_type,
        func.count(),
        func.sum(Transaction.amount),
        func.min(Transaction.amount),
        func.max(Transaction.amount),
        func.min(Transaction.created_at),
        func.max(Transaction.created_at),
    )
    .join(
        SPANS,
        (Transaction.wallet_id == SPANS.c.wallet_id)
        & (Transaction.seq > SPANS.c.from_seq)
        & (Transaction.seq <= SPANS.c.to_seq),
    )
    .group_by(Transaction.wallet_id, Transaction.operation_type)
)
ADD_TOTALS = insert(WalletTotal.__table__).from_select(
    [
        "wallet_id",
        "operation_type",
        "count",
        "total",
        "smallest",
        "largest",
        "first_at",
        "last_at",
    ],
    FRESH,
)
ADD_TOTALS = ADD_TOTALS.on_conflict_do_update(
    index_elements=["wallet_id", "operation_type"],
    set_={
        "count": WalletTotal.count + ADD_TOTALS.excluded.count,
        "total": WalletTotal.total + ADD_TOTALS.excluded.total,
        "smallest": func.least(WalletTotal.smallest, ADD_TOTALS.excluded.smallest),
        "largest": func.greatest(WalletTotal.largest, ADD_TOTALS.excluded.largest),
        "first_at": func.least(WalletTotal.first_at, ADD_TOTALS.excluded.first_at),
        "last_at": func.greatest(WalletTotal.last_at, ADD_TOTALS.excluded.last_at),
    },
)
MARK = (
    update(WalletRollup.__table__)
    .where(WalletRollup.wallet_id == SPANS.c.wallet_id)
    .values(last_seq=SPANS.c.to_seq, updated_at=func.now())
)


@dataclass(frozen=True)
class Progress:
    """What one batch has done; `next_after_id` is None when it was the last."""

    transactions: int
    wallets: int
    next_after_id: int | None


def roll_up_batch(after_id: int = 0) -> Progress:
    """Count a bounded number of new transactions, of wallets with ids above `after_id`.

    Safe at any time, from any number of processes, and if killed in the middle: the
    rollup's row lock serialises them, and its last_seq moves with the totals.
    """
    with reading() as session:
        behind = session.execute(BEHIND, {"after_id": after_id}).all()
    if not behind:
        return Progress(0, 0, None)
    wallet_ids: list[int] = []
    rows = 0
    for wallet_id, missing in behind:
        wallet_ids.append(wallet_id)
        rows += missing
        if rows >= ROWS_A_BATCH:
            break
    with transaction() as session:
        counted = count_new(session, wallet_ids)
    # A long history takes several batches: come back to its wallet until it is done.
    again = wallet_ids[-1] - 1 if rows > ROWS_A_BATCH else wallet_ids[-1]
    return Progress(counted, len(wallet_ids), again)


def count_new(session: Session, wallet_ids: list[int]) -> int:
    """Count the wallets' new transactions in the caller's transaction."""
    ids = {"wallet_ids": wallet_ids}
    session.execute(ADD_MISSING, ids)
    done = {row.wallet_id: row.last_seq for row in session.execute(LOCK, ids)}
    # Only now: this statement's snapshot is younger than the locks.
    spans = [
        (row.id, done[row.id], min(row.version, done[row.id] + ROWS_A_BATCH))
        for row in session.execute(VERSIONS, ids)
        if row.version > done[row.id]
    ]
    if not spans:
        return 0
    arrays = dict(
        zip(
            ("span_wallet_id", "span_from_seq", "span_to_seq"),
            map(list, zip(*spans, strict=True)),
            strict=True,
        )
    )
    session.execute(ADD_TOTALS, arrays)
    session.execute(MARK, arrays)
    return sum(to_seq - from_seq for _, from_seq, to_seq in spans)


def roll_up() -> int:
    """Count all new transactions, batch by batch; return how many there were."""
    total = 0
    after_id: int | None = 0
    while after_id is not None:
        progress = roll_up_batch(after_id)
        total += progress.transactions
        after_id = progress.next_after_id
    return total
