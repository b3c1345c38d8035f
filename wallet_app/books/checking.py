"""Checks wallets against their histories, a bounded number of entries at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from wallet_app.books.check_sql import CHECK, NEXT_WALLETS
from wallet_app.database import AnyRow

WALLETS_A_STEP = 500

HISTORY, TRANSFER, VERSION, BALANCE = "history", "transfer", "version", "balance"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a check stands: wallets below this one are done, of it the first `seq`.

    Those left `balance`, and at least one of them is wrong if it is `faulty`.
    """

    wallet_id: int = 0
    seq: int = 0
    balance: Decimal = Decimal(0)
    faulty: bool = False


@dataclass(frozen=True)
class Mismatch:
    """Something about a wallet that is not as its history says."""

    wallet_id: int
    wallet_uuid: UUID
    kind: str
    detail: str


@dataclass(frozen=True)
class Step:
    """What was checked, what was wrong, and where to go on; no place: it is over.

    `sound`: the wallets that were found in order from their first entry to the last.
    """

    wallets: int
    entries: int
    mismatches: Sequence[Mismatch]
    sound: Sequence[int]
    place: Place | None


def check(connection: Connection, place: Place, *, entries: int) -> Step:
    """Check what comes next, about so many entries of it."""
    following = {"wallet_id": place.wallet_id, "limit": WALLETS_A_STEP}
    wallets = connection.execute(NEXT_WALLETS, following).all()
    if not wallets:
        return Step(0, 0, (), (), None)
    rows = connection.execute(CHECK, spans(wallets, place, entries)).all()
    mismatches: list[Mismatch] = []
    sound: list[int] = []
    done = count = 0
    for row in rows:
        resumed = place.wallet_id == row.id and place.seq > 0
        faults = list(faults_of(row))
        mismatches += faults
        count += row.entries
        faulty = bool(faults) or (resumed and place.faulty)
        if row.to_seq < row.version:
            here = Place(
                wallet_id=row.id,
                seq=row.to_seq,
                balance=row.history_balance,
                faulty=faulty,
            )
            return Step(done, count, mismatches, sound, here)
        done += 1
        if not faulty:
            sound.append(row.id)
    return Step(done, count, mismatches, sound, Place(wallet_id=rows[-1].id + 1))


def spans(
    wallets: Sequence[AnyRow], place: Place, entries: int
) -> dict[str, list[int] | list[Decimal]]:
    """What to read of the wallets, until together they have enough entries."""
    left = entries
    chosen: list[tuple[int, int, Decimal, int]] = []
    for wallet in wallets:
        is_resumed = wallet.id == place.wallet_id
        after_seq = place.seq if is_resumed else 0
        chosen.append(
            (wallet.id, after_seq, place.balance if is_resumed else Decimal(0), left)
        )
        left -= wallet.version - after_seq
        if left <= 0:
            break
    wallet_ids, after_seqs, balances, mosts = map(list, zip(*chosen, strict=True))
    return {
        "wallet_ids": wallet_ids,
        "after_seqs": after_seqs,
        "after_balances": balances,
        "mosts": mosts,
    }


def faults_of(row: AnyRow) -> Iterator[Mismatch]:
    """What is wrong with the wallet of a row of CHECK."""

    def fault(kind: str, detail: str) -> Mismatch:
        return Mismatch(row.id, row.uuid, kind, detail)

    if row.bad_seq is not None:
        yield fault(HISTORY, f"entry {row.bad_seq} does not follow from those before")
    elif row.entries != row.to_seq - row.after_seq:
        yield fault(HISTORY, f"entry {row.after_seq + row.entries + 1} is missing")
    elif row.unnoted_seq is not None:
        yield fault(
            HISTORY, f"entry {row.unnoted_seq} is not what is noted of its refund"
        )
    if row.unpaired_seq is not None:
        yield fault(TRANSFER, f"entry {row.unpaired_seq} has no matching other leg")
    if row.goes_on:
        yield fault(VERSION, f"there are entries behind its version, {row.version}")
    if row.to_seq == row.version and row.history_balance != row.balance:
        yield fault(
            BALANCE,
            f"it holds {row.balance}, its history adds up to {row.history_balance}",
        )
    elif row.held != row.holds_rest:
        yield fault(
            BALANCE,
            f"{row.held} of it is held, its open holds have {row.holds_rest}",
        )
    elif row.to_seq == row.version and row.history_held != row.held:
        yield fault(
            BALANCE,
            f"{row.held} of it is held, in its history {row.history_held}",
        )
