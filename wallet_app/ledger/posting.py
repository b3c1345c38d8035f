"""Posts a batch of operations in one locked database transaction."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from time import perf_counter
from typing import Any

import psycopg
from sqlalchemy import Connection
from uuid_utils.compat import uuid7

from wallet_app.database import pipeline
from wallet_app.ledger import (
    hold_rules,
    holds,
    limits,
    locking,
    refund_rules,
    refunds,
    rules,
)
from wallet_app.ledger.entries import ENTRIES_BY_KEY, ENTRIES_BY_KEY_SQL, read_entry
from wallet_app.ledger.observer import Times, observing
from wallet_app.ledger.operation_types import (
    ENTRIES_OF_HOLDS,
    REFUNDS,
    SECOND_OF_TWO,
    OperationType,
)
from wallet_app.ledger.rules import (
    Entry,
    Hold,
    Key,
    Operation,
    Original,
    Refusal,
    Situation,
    WalletState,
)
from wallet_app.ledger.sql import (
    ENTRY_COLUMNS,
    HOLDING_COLUMNS,
    INSERT_FULL_TRANSACTIONS,
    INSERT_TRANSACTIONS,
    POSTED_KEYS,
    STATE_COLUMNS,
    UPDATE_HOLDING_WALLETS,
    UPDATE_WALLETS,
    array_text,
    key_arrays,
    key_texts,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """Operations that one tenant's caller hands in; `atomic`: all of them or none."""

    operations: Sequence[Operation]
    atomic: bool = False

    @property
    def tenant_id(self) -> int:
        return self.operations[0].tenant_id

    @property
    def wallet_keys(self) -> set[Key]:
        return {key for one in self.operations for key in one.wallet_keys}


@dataclass(slots=True)
class Receipt:
    """What an operation wrote; `replayed` when an earlier call had written it.

    `hold` is the hold as the operation left it, if it is one of a hold; `original` is
    what it refunds, as it left it.
    """

    entries: tuple[Entry, ...]
    replayed: bool = False
    hold: Hold | None = None
    original: Original | None = None


Outcome = Receipt | Refusal
# Writes down, in the posting's own transaction, what became of its units.
Note = Callable[[psycopg.Connection, list[list[Outcome]]], None]


def post(
    units: Sequence[Unit],
    *,
    lock_timeout_ms: int | None = None,
    note: Note | None = None,
) -> list[list[Outcome]]:
    """Post every unit in one transaction; return an outcome per operation, in order.

    A refusal leaves its neighbours alone. Safe to repeat after any failure, also one
    during COMMIT: the wallets' locks wait for the lost transaction's end, and the
    look-up behind them finds what it wrote. What `note` raises undoes all of it.
    """
    with pipeline(lock_timeout_ms=lock_timeout_ms) as connection:
        began = perf_counter()
        batch = prepare(connection, units, locking.lock)
        locked = perf_counter()
        outcomes = [batch.decide(unit) for unit in units]
        inserted = write(connection, batch)
        if note is not None:
            note(connection, outcomes)
        written = perf_counter()
    observing.get().posted(units, Times(began, locked, written, perf_counter()))
    if inserted is not None:
        batch.number(inserted.fetchall())
    return outcomes


@dataclass(frozen=True, slots=True)
class Preview:
    """What a unit would do now, and the wallets before it."""

    outcomes: list[Outcome]
    wallets: dict[Key, WalletState]


def preview(unit: Unit) -> Preview:
    """What posting the unit would do at this moment; writes nothing."""
    with pipeline() as connection:
        batch = prepare(connection, [unit], locking.look)
    wallets = batch.situation.copy(unit.operations).wallets
    return Preview(batch.decide(unit), wallets)


def prepare(
    connection: psycopg.Connection,
    units: Sequence[Unit],
    take: Callable[[psycopg.Connection, Collection[Key]], "psycopg.Cursor[Any]"],
) -> "Batch":
    """All that the rules need to know to decide the units.

    `take` locks the wallets, or only looks at them. Holds that are due are released.
    """
    operations = [operation for unit in units for operation in unit.operations]
    wallet_keys = {key for unit in units for key in unit.wallet_keys}
    asked = key_texts(operation.key for operation in operations)
    acting = [one for one in operations if one.parent_reference_id]
    hold_keys = {one.parent_key for one in acting if one.operation_type.of_hold}
    refunded_keys = {one.parent_key for one in acting if not one.operation_type.of_hold}
    wallets = take(connection, wallet_keys)
    # A statement of its own, behind the locks: inside the locking statement it
    # would read an older snapshot and miss what the locks' last holder wrote.
    asked_holds = holds.ask(connection, hold_keys)
    asked_originals = refunds.ask(connection, refunded_keys)
    known = connection.execute(POSTED_KEYS, asked).fetchall()
    states = [WalletState(*row) for row in wallets.fetchall()]
    batch = Batch(
        situation=Situation(
            {state.key: state for state in states},
            holds.read(asked_holds),
            refunds.read(asked_originals),
        ),
        known=known_receipts(connection, known),
    )
    limited = [state for state in states if state.limited]
    if limited:
        limits.load(connection, limited, batch.now)
    release(connection, batch)
    return batch


def expire(wallet_keys: Collection[Key], *, lock_timeout_ms: int | None = None) -> int:
    """Release holds of these wallets whose time is over, a bounded number of them.

    Returns how many; fewer than holds.MOST_RELEASED: there are no more.
    """
    with pipeline(lock_timeout_ms=lock_timeout_ms) as connection:
        rows = locking.lock(connection, wallet_keys)
        states = [WalletState(*row) for row in rows]
        situation = Situation({state.key: state for state in states})
        batch = Batch(situation=situation, known={})
        release(connection, batch)
        write(connection, batch)
    return len(batch.entries)


def release(connection: psycopg.Connection, batch: "Batch") -> None:
    """Give back what is due: of wallets whose next_expiry has come, of holds named.

    It is no part of any unit, and stays whatever becomes of them.
    """
    situation, now = batch.situation, batch.now
    waiting = {}
    for wallet in situation.wallets.values():
        if wallet.next_expiry is not None:
            moment = max(now, wallet.updated_at)
            if wallet.next_expiry <= moment:
                waiting[wallet.id] = wallet, moment
    if waiting:
        batch.is_rescheduled = True
        for hold in holds.read_due(connection, waiting):
            situation.holds[hold.key] = hold
    for hold in list(situation.holds.values()):
        wallet_of = situation.wallets.get((hold.tenant_id, hold.wallet_uuid))
        if wallet_of is not None and hold_rules.is_due(hold, wallet_of, now):
            entries, after = hold_rules.expire(situation, hold, uuid7(), now)
            batch.add(entries, after)


def known_receipts(
    connection: psycopg.Connection, keys: Sequence[Key]
) -> dict[Key, Receipt]:
    """The receipts of operations that are known to have been posted."""
    if not keys:
        return {}
    rows = connection.execute(ENTRIES_BY_KEY_SQL, key_texts(keys))
    receipts = receipts_of(rows)
    firsts = [receipt.entries[0] for receipt in receipts.values()]
    of_holds = [entry for entry in firsts if entry.entry_type in ENTRIES_OF_HOLDS]
    steps = holds.read_steps(connection, of_holds)
    for entry in of_holds:
        hold = steps[entry.wallet_id, entry.seq]
        receipts[entry.key] = replace(receipts[entry.key], hold=hold)
    of_refunds = [entry.key for entry in firsts if entry.entry_type in REFUNDS]
    originals = refunds.read_steps(connection, of_refunds)
    for key in of_refunds:
        receipts[key] = replace(receipts[key], original=originals[key])
    return receipts


def find_receipt(connection: Connection, operation: Key) -> Receipt | None:
    """What became of an operation; None: it has not been applied."""
    rows = connection.execute(ENTRIES_BY_KEY, key_arrays([operation]))
    return receipts_of(rows).get(operation)


def receipts_of(rows: Iterable[Sequence[Any]]) -> dict[Key, Receipt]:
    """Receipts from rows of ENTRIES_BY_KEY."""
    entries: dict[Key, list[Entry]] = {}
    for row in rows:
        entry = read_entry(row)
        entries.setdefault(entry.key, []).append(entry)
    return {key: Receipt(tuple(legs), replayed=True) for key, legs in entries.items()}


class Batch:
    """What the locks hold, what is known of the references, the entries to write."""

    def __init__(self, *, situation: Situation, known: dict[Key, Receipt]) -> None:
        self.situation = situation
        self.known = known
        self.entries: list[Entry] = []
        # What the entries have made of their holds.
        self.hold_steps: list[tuple[Entry, Hold]] = []
        # What refunds have made of what they refund.
        self.refund_steps: list[tuple[Entry, Original]] = []
        # Whether some wallet's next_expiry is another than the database has.
        self.is_rescheduled = False
        self.now = datetime.now(UTC)

    def number(self, inserted: Iterable[tuple[Any, ...]]) -> None:
        """Give the entries the ids that the database gave their rows."""
        ids = {(wallet_id, seq): row_id for wallet_id, seq, row_id in inserted}
        for entry in self.entries:
            entry.id = ids[entry.wallet_id, entry.seq]

    def add(self, entries: tuple[Entry, ...], hold: Hold | None = None) -> None:
        self.entries.extend(entries)
        if hold is not None:
            self.hold_steps.append((entries[0], hold))

    def decide(self, unit: Unit) -> list[Outcome]:
        if not unit.atomic:
            return [self.decide_one(operation) for operation in unit.operations]
        return self.decide_all_or_none(unit.operations)

    def decide_one(self, operation: Operation) -> Outcome:
        known = self.known.get(operation.key)
        if known is not None:
            if is_same(operation, known):
                return replace(known, replayed=True)
            return Refusal(
                "idempotency_key_reused",
                f"The reference {operation.reference_id} belongs to another operation; "
                "use a new one for each operation.",
            )
        if operation.operation_type.of_hold:
            step = hold_rules.decide(self.situation, operation, self.now)
            if isinstance(step, Refusal):
                return step
            receipt = Receipt(step[0], hold=step[1])
            self.add(*step)
        elif operation.operation_type is OperationType.REFUND:
            refund = refund_rules.decide(
                self.situation, operation, self.original_of(operation), self.now
            )
            if isinstance(refund, Refusal):
                return refund
            entries, original = refund
            receipt = Receipt(entries, original=original)
            self.entries.extend(entries)
            self.refund_steps.append((entries[0], original))
        else:
            decision = rules.decide(self.situation, operation, self.now)
            if isinstance(decision, Refusal):
                return decision
            receipt = Receipt(decision)
            self.entries.extend(decision)
        self.known[operation.key] = receipt
        return receipt

    def original_of(self, operation: Operation) -> Original | None:
        """What the operation refunds: posted before, or by this batch."""
        original = self.situation.originals.get(operation.parent_key)
        known = self.known.get(operation.parent_key)
        if original is None and known is not None:
            original = refund_rules.original_from(known.entries[0])
        return original

    def decide_all_or_none(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Stops at the first refusal and takes back what the unit had decided."""
        before = self.situation.copy(operations)
        mark, step_mark = len(self.entries), len(self.hold_steps)
        refund_mark = len(self.refund_steps)
        outcomes: list[Outcome] = []
        for operation in operations:
            outcomes.append(self.decide_one(operation))
            if isinstance(outcomes[-1], Refusal):
                for entry in self.entries[mark:]:
                    self.known.pop(entry.key, None)
                del self.entries[mark:]
                del self.hold_steps[step_mark:]
                del self.refund_steps[refund_mark:]
                self.situation.restore(before)
                break
        return outcomes


def is_same(operation: Operation, known: Receipt) -> bool:
    """Whether the operation is the one that is known: a retry."""
    if operation.operation_type.of_hold:
        return hold_rules.is_same(operation, known.entries[0], known.hold)
    if operation.operation_type is OperationType.REFUND:
        return refund_rules.is_same(operation, known.entries[0], known.original)
    return rules.is_same(operation, known.entries[0])


STATE_FIELDS = {name: name for name in HOLDING_COLUMNS} | {"wallet_id": "id"}


def write(connection: psycopg.Connection, batch: Batch) -> "psycopg.Cursor[Any] | None":
    """Write the batch in two statements; answer (wallet_id, seq, id) of the entries.

    The second one writes the journal's rows as well.
    """
    if not batch.entries:
        return None
    changed = {entry.wallet_id for entry in batch.entries}
    states = [one for one in batch.situation.wallets.values() if one.id in changed]
    is_full = batch.is_rescheduled or any(
        one.held_after
        or one.held_before
        or one.parent_reference_id is not None
        or one.metadata is not None
        for one in batch.entries
    )
    limits.write(connection, states)
    if not is_full:
        connection.execute(UPDATE_WALLETS, state_arrays(states, STATE_COLUMNS))
        return connection.execute(INSERT_TRANSACTIONS, entry_arrays(batch.entries))
    connection.execute(UPDATE_HOLDING_WALLETS, state_arrays(states, HOLDING_COLUMNS))
    if batch.hold_steps:
        holds.write(connection, batch.hold_steps)
    if batch.refund_steps:
        refunds.write(connection, batch.refund_steps)
    arrays = entry_arrays(batch.entries) | full_arrays(batch.entries)
    return connection.execute(INSERT_FULL_TRANSACTIONS, arrays)


def state_arrays(
    states: Sequence[WalletState], columns: Iterable[str]
) -> dict[str, str]:
    """The states as one array a column."""
    return {
        f"state_{name}": array_text(
            [getattr(state, STATE_FIELDS[name]) for state in states]
        )
        for name in columns
    }


def entry_arrays(entries: Iterable[Entry]) -> dict[str, list[Any] | str]:
    """The entries as one array a column, for INSERT_TRANSACTIONS."""
    rows = [
        (
            entry.tenant_id,
            entry.wallet_id,
            entry.seq,
            entry.entry_type,
            entry.amount,
            entry.balance_before,
            entry.balance_after,
            entry.description,
            entry.reference_id.hex if carries_reference(entry) else None,
            None if entry.counterparty_uuid is None else entry.reference_id.hex,
            entry.counterparty_uuid,
            time_text(entry.created_at),
        )
        for entry in entries
    ]
    columns = zip(ENTRY_COLUMNS, zip(*rows, strict=True), strict=True)
    return {
        # Only a client's text can hold what has to be quoted.
        f"entry_{name}": list(column)
        if name == "description" and column.count(None) < len(column)
        else array_text(column)
        for name, column in columns
    }


def carries_reference(entry: Entry) -> bool:
    """Whether it is its operation's first entry."""
    return entry.counterparty_uuid is None or entry.entry_type not in SECOND_OF_TWO


def full_arrays(entries: Sequence[Entry]) -> dict[str, list[Any] | str]:
    """What INSERT_FULL_TRANSACTIONS takes besides."""
    return {
        "entry_held_before": array_text([entry.held_before for entry in entries]),
        "entry_held_after": array_text([entry.held_after for entry in entries]),
        "entry_parent_reference_id": array_text(
            [entry.parent_reference_id for entry in entries]
        ),
        "entry_metadata": [
            None if entry.metadata is None else json.dumps(entry.metadata)
            for entry in entries
        ],
    }


# Whatever is posted together has one time.
time_text = lru_cache(maxsize=64)(str)
