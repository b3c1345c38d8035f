"""Counts everything afresh and compares: proves that the rollups equal the ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Subquery,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.feed import readers
from wallet_app.ledger.journal import CREATED
from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.sql import WALLETS
from wallet_app.statistics import rollup
from wallet_app.statistics.models import (
    ServiceCurrency,
    ServiceDay,
    WalletDay,
    WalletRollup,
    WalletTotal,
)
from wallet_app.statistics.rollup import LOCK_TIMEOUT_MS, Span, span_arrays
from wallet_app.statistics.rollup_sql import (
    DAY_MERGES,
    FIGURES,
    IDS,
    OF_TENANT,
    ROWS_A_BATCH,
    TOTAL_MERGES,
)
from wallet_app.statistics.service_statistics import not_counted

WALLETS_A_BATCH = 500
ROLLUPS = WalletRollup.__table__.c
COUNTED = (
    select(ROLLUPS.wallet_id, ROLLUPS.last_seq)
    .where(
        ROLLUPS.wallet_id > bindparam("after_id", type_=BigInteger),
        ROLLUPS.last_seq > 0,
    )
    .order_by(ROLLUPS.wallet_id)
    .limit(WALLETS_A_BATCH)
)
LOCK = (
    select(ROLLUPS.wallet_id, ROLLUPS.last_seq)
    .where(ROLLUPS.wallet_id == func.any(IDS))
    .order_by(ROLLUPS.wallet_id)
    .with_for_update()
)
ALL_COUNTED = select(func.coalesce(func.sum(ROLLUPS.last_seq), 0))

Key = tuple[Any, ...]
Figures = dict[Key, dict[str, Any]]
MERGE: dict[str, Any] = {"sum": lambda a, b: a + b, "least": min, "greatest": max}


@dataclass(frozen=True)
class Checked:
    """What one batch has found: the `differing` wallets were wrong and are repaired."""

    transactions: int
    differing: list[int]


def transactions_to_check() -> int:
    """How many transactions the rollups claim to hold."""
    with reading() as connection:
        return int(connection.scalar(ALL_COUNTED))


def rebuild() -> Iterator[Checked]:
    """Check, and repair where needed, the rollups of all wallets, batch by batch.

    The long part, counting afresh, takes no lock: the transactions never change.
    """
    after_id = 0
    while True:
        with reading() as connection:
            counted = connection.execute(COUNTED, {"after_id": after_id}).all()
        if not counted:
            return
        batch: dict[int, int] = {}
        for wallet_id, last_seq in counted:
            batch[wallet_id] = last_seq
            if sum(batch.values()) >= ROWS_A_BATCH:
                break
        yield rebuild_batch(batch)
        after_id = max(batch)


@repeated
def rebuild_batch(counted: dict[int, int]) -> Checked:
    """Check wallets, given as id and last_seq."""
    recount = Recount()
    for spans in pieces({wallet_id: (0, to) for wallet_id, to in counted.items()}):
        with reading() as connection:
            recount.add(connection, spans)
    with transaction() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS:d}"))
        rows = connection.execute(LOCK, {"wallet_ids": list(counted)})
        locked = {row.wallet_id: row.last_seq for row in rows}
        # A rollup may have gone on meanwhile.
        since = {one: (counted[one], locked[one]) for one in counted}
        for spans in pieces(since):
            recount.add(connection, spans)
        differing = sorted(
            differences(connection, WalletDay, recount.days, list(counted))
            | differences(connection, WalletTotal, recount.totals, list(counted))
        )
        if differing:
            replace(connection, WalletDay, recount.days, differing)
            replace(connection, WalletTotal, recount.totals, differing)
    return Checked(sum(locked.values()), differing)


def pieces(ranges: dict[int, tuple[int, int]]) -> Iterator[list[Span]]:
    """Cut ranges of seqs, by wallet, into lists of spans with a bounded row count."""
    spans: list[Span] = []
    rows = 0
    for wallet_id, (after_seq, to_seq) in ranges.items():
        for start in range(after_seq, to_seq, ROWS_A_BATCH):
            end = min(start + ROWS_A_BATCH, to_seq)
            spans.append((wallet_id, start, end))
            rows += end - start
            if rows >= ROWS_A_BATCH:
                yield spans
                spans, rows = [], 0
    if spans:
        yield spans


class Recount:
    """Figures by (wallet, day, type) and by (wallet, type), from the transactions."""

    def __init__(self) -> None:
        self.days: Figures = {}
        self.totals: Figures = {}

    def add(self, connection: Connection, spans: list[Span]) -> None:
        """Count some more transactions, each at most once."""
        for row in connection.execute(FIGURES, span_arrays(spans)):
            figures = row._mapping
            key = row.wallet_id, row.day, row.operation_type
            merge(self.days, key, {name: figures[name] for name in DAY_MERGES})
            merge(self.totals, (key[0], key[2]), {n: figures[n] for n in TOTAL_MERGES})


def merge(figures: Figures, key: Key, more: dict[str, Any]) -> None:
    have = figures.setdefault(key, more)
    if have is not more:
        for name, how in {**DAY_MERGES, **TOTAL_MERGES}.items():
            if name in more:
                have[name] = MERGE[how](have[name], more[name])


def differences(
    connection: Connection, model: Any, expected: Figures, wallet_ids: list[int]
) -> set[int]:
    """The wallets whose stored rows are not the expected ones."""
    columns = model.__table__.c
    keys = [column.name for column in model.__table__.primary_key]
    stored = {
        tuple(row._mapping[key] for key in keys): {
            name: row._mapping[name] for name in row._mapping if name not in keys
        }
        for row in connection.execute(
            select(*columns).where(columns.wallet_id == func.any(IDS)),
            {"wallet_ids": wallet_ids},
        )
    }
    return {
        key[0]
        for key in stored.keys() | expected.keys()
        if stored.get(key) != expected.get(key)
    }


def replace(
    connection: Connection, model: Any, expected: Figures, wallet_ids: list[int]
) -> None:
    """Store the expected rows of these wallets instead of what is there."""
    table = model.__table__
    keys = [column.name for column in table.primary_key]
    connection.execute(
        delete(table).where(table.c.wallet_id == func.any(IDS)),
        {"wallet_ids": wallet_ids},
    )
    rows = [
        dict(zip(keys, key, strict=True)) | figures
        for key, figures in expected.items()
        if key[0] in wallet_ids
    ]
    if rows:
        connection.execute(insert(table), rows)


@repeated
def rebuild_service_days() -> int:
    """Make the service's days the sum of the wallets' days; return how many were not.

    What is missing is added, so that rollups may go on at the same time.
    """
    with transaction() as connection:
        # One pass over all days of all wallets.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(ADD_MISSING_DAYS)
        differing = len(connection.execute(CORRECT_DAYS).all())
        connection.execute(delete(ServiceDay.__table__).where(DAYS["count"] == 0))
    return differing


def expected_days() -> Subquery:
    """The service's days as the wallets' days have them."""
    of_wallets = WalletDay.__table__.c
    keys = *OF_TENANT, of_wallets.day, of_wallets.operation_type
    return (
        select(
            *keys,
            func.sum(of_wallets["count"]).label("count"),
            func.sum(of_wallets.total).label("total"),
        )
        .join_from(
            WalletDay.__table__, Wallet.__table__, WALLETS.id == of_wallets.wallet_id
        )
        .group_by(*keys)
        .subquery("expected")
    )


def corrections() -> Subquery:
    """By day of the service, what is missing in it: negative if it has too much."""
    stored, expected = ServiceDay.__table__.alias("stored"), expected_days()
    same = and_(*(stored.c[name] == expected.c[name] for name in DAY_KEYS))
    missing = [
        func.coalesce(expected.c[name], 0) - stored.c[name]
        for name in ("count", "total")
    ]
    return (
        select(
            *(stored.c[name] for name in DAY_KEYS),
            missing[0].label("count"),
            missing[1].label("total"),
        )
        .join_from(stored, expected, same, isouter=True)
        .where(or_(missing[0] != 0, missing[1] != 0))
        .subquery("correction")
    )


DAYS = ServiceDay.__table__.c
DAY_KEYS = ("tenant_id", "currency", "day", "operation_type")
EXPECTED = expected_days()
ADD_MISSING_DAYS = (
    insert(ServiceDay.__table__)
    .from_select(
        [*DAY_KEYS, "count", "total"],
        select(*(EXPECTED.c[name] for name in DAY_KEYS), literal(0), literal(0)),
    )
    .on_conflict_do_nothing()
)
CORRECTION = corrections()
CORRECT_DAYS = (
    update(ServiceDay.__table__)
    .where(*(DAYS[name] == CORRECTION.c[name] for name in DAY_KEYS))
    .values({name: DAYS[name] + CORRECTION.c[name] for name in ("count", "total")})
    .returning(DAYS.day)
)


@repeated
def rebuild_currencies() -> int:
    """Make the service's currencies what the wallets say; return how many were not.

    One pass over all wallets, while the rollup waits.
    """
    with transaction() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        readers.lock(connection, rollup.READER)
        expected = connection.execute(EXPECTED_CURRENCIES).all()
        stored = connection.execute(select(*CURRENCIES)).all()
        differing = {row[:2] for row in {*expected} ^ {*stored}}
        if differing:
            connection.execute(delete(ServiceCurrency.__table__))
            rows = [dict(row._mapping) for row in expected]
            connection.execute(insert(ServiceCurrency.__table__), rows)
    return len(differing)


def expected_currencies() -> Select[Any]:
    """By tenant and currency: the wallets that the rollup knows, and what they held."""
    counted = Transaction.__table__.alias("counted")
    return (
        select(
            *OF_TENANT,
            func.count().label("wallets"),
            func.coalesce(func.sum(counted.c.balance_after), 0).label("balance"),
        )
        .select_from(Wallet.__table__)
        .outerjoin(WalletRollup.__table__, ROLLUPS.wallet_id == WALLETS.id)
        .outerjoin(
            counted,
            (counted.c.wallet_id == WALLETS.id) & (counted.c.seq == ROLLUPS.last_seq),
        )
        .where(WALLETS.id.not_in(not_counted([CREATED])))
        .group_by(*OF_TENANT)
    )


CURRENCIES = ServiceCurrency.__table__.c
EXPECTED_CURRENCIES = expected_currencies()
