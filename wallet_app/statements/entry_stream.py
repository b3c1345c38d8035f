"""A wallet's entries in short reads, each checked against the one before."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Row, Select, Text, bindparam, cast, func, select

from wallet_app.ledger.history import WALLET_ID, balance_at_seq
from wallet_app.ledger.models import Transaction
from wallet_app.ledger.operation_types import EntryType
from wallet_app.ledger.sql import TRANSACTIONS
from wallet_app.ledger.wallets import read_history

# Entries never change and their seqs have no gaps, so many short reads give what one
# long one would, without a snapshot that stays open beside the money requests.
ROWS_A_READ = 2000
AFTER_SEQ = bindparam("after_seq", type_=BigInteger)
TO_SEQ = bindparam("to_seq", type_=BigInteger)

ENTRIES = (
    select(
        TRANSACTIONS.seq,
        TRANSACTIONS.created_at,
        TRANSACTIONS.operation_type,
        TRANSACTIONS.amount,
        TRANSACTIONS.balance_before,
        TRANSACTIONS.balance_after,
        TRANSACTIONS.description,
        cast(
            func.coalesce(TRANSACTIONS.reference_id, TRANSACTIONS.transfer_id), Text
        ).label("reference_id"),
        cast(TRANSACTIONS.counterparty_uuid, Text).label("counterparty_uuid"),
    )
    .select_from(Transaction.__table__)
    .where(
        TRANSACTIONS.wallet_id == WALLET_ID,
        TRANSACTIONS.seq > AFTER_SEQ,
        TRANSACTIONS.seq <= TO_SEQ,
    )
    .order_by(TRANSACTIONS.seq)
)
BALANCES: Select[Any] = select(
    func.coalesce(balance_at_seq(AFTER_SEQ), 0).label("opening"),
    func.coalesce(balance_at_seq(TO_SEQ), 0).label("closing"),
)
Chunk = Sequence[Row[Any]]


class BrokenChainError(RuntimeError):
    """Opening balance plus entries is not the closing balance."""


def balances(wallet_id: int, after_seq: int, to_seq: int) -> Row[Any]:
    """The wallet's `opening` balance after one seq, and its `closing` after another."""
    span = {"wallet_id": wallet_id, "after_seq": after_seq, "to_seq": to_seq}
    return read_history(
        wallet_id, to_seq, lambda connection: connection.execute(BALANCES, span).one()
    )


def read_chunks(
    wallet_id: int,
    after_seq: int,
    last_seq: int,
    *,
    note_progress: Callable[[int], None],
) -> Iterator[Chunk]:
    """The entries above one seq and up to another, ROWS_A_READ at a time.

    Raises BrokenChainError unless they lead, without a gap, from the opening to the
    closing balance. `note_progress` hears how many rows have been taken.
    """
    around = balances(wallet_id, after_seq, last_seq)
    balance: Decimal = around.opening
    for start in range(after_seq, last_seq, ROWS_A_READ):
        end = min(start + ROWS_A_READ, last_seq)
        chunk = read_chunk(wallet_id, start, end)
        balance = check_chain(chunk, balance, start)
        if len(chunk) != end - start:
            raise BrokenChainError(f"{end - start - len(chunk)} entries are missing")
        yield chunk
        note_progress(end - after_seq)
    if balance != around.closing:
        raise BrokenChainError(f"the balance is {balance}, not {around.closing}")


def read_chunk(wallet_id: int, after_seq: int, to_seq: int) -> Chunk:
    span = {"wallet_id": wallet_id, "after_seq": after_seq, "to_seq": to_seq}
    return read_history(
        wallet_id, to_seq, lambda connection: connection.execute(ENTRIES, span).all()
    )


def check_chain(chunk: Chunk, balance: Decimal, seq: int) -> Decimal:
    """Walk from the balance before the chunk to the one after it."""
    for row in chunk:
        seq += 1
        if row.seq != seq or row.balance_before != balance:
            raise BrokenChainError(f"seq {seq} does not follow from the one before")
        balance = EntryType[row.operation_type].move(balance, row.amount)
        if row.balance_after != balance:
            raise BrokenChainError(f"seq {seq} does not add up")
    return balance
