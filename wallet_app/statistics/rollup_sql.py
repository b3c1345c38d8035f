"""The statements of the rollup: set-based, many wallets at once, each one bounded."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    Select,
    bindparam,
    cast,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from wallet_app.ledger.models import Transaction
from wallet_app.ledger.sql import TRANSACTIONS, WALLETS, unnested
from wallet_app.statistics.models import (
    ServiceCurrency,
    ServiceDay,
    WalletDay,
    WalletRollup,
    WalletTotal,
)

# Keeps every statement far below a second.
ROWS_A_BATCH = 10_000

IDS = bindparam("wallet_ids", type_=ARRAY(BigInteger))
SPANS = unnested(
    "span",
    {"wallet_id": BigInteger, "from_seq": BigInteger, "to_seq": BigInteger},
)
ROLLUPS = WalletRollup.__table__.c
# What the service's figures are kept by.
OF_TENANT = (WALLETS.tenant_id, WALLETS.currency)
UTC_DAY = cast(func.timezone("UTC", TRANSACTIONS.created_at), Date)

ADD_MISSING = (
    insert(WalletRollup.__table__)
    .from_select(
        ["wallet_id", "tenant_id"],
        select(WALLETS.id, WALLETS.tenant_id).where(WALLETS.id == func.any(IDS)),
    )
    .on_conflict_do_nothing()
)
LOCK = (
    select(ROLLUPS.wallet_id, ROLLUPS.last_seq)
    .where(ROLLUPS.wallet_id == func.any(IDS))
    .order_by(ROLLUPS.wallet_id)
    .with_for_update()
)
VERSIONS = select(WALLETS.id, WALLETS.version).where(WALLETS.id == func.any(IDS))
MARK = (
    update(WalletRollup.__table__)
    .where(ROLLUPS.wallet_id == SPANS.c.wallet_id)
    .values(last_seq=SPANS.c.to_seq, updated_at=func.now())
)


def figures() -> Select[Any]:
    """The spans' transactions by wallet, UTC day and operation type."""
    return (
        select(
            TRANSACTIONS.wallet_id,
            UTC_DAY.label("day"),
            TRANSACTIONS.operation_type,
            func.count().label("count"),
            func.sum(TRANSACTIONS.amount).label("total"),
            func.min(TRANSACTIONS.amount).label("smallest"),
            func.max(TRANSACTIONS.amount).label("largest"),
            func.min(TRANSACTIONS.balance_after).label("lowest"),
            func.max(TRANSACTIONS.balance_after).label("highest"),
            func.min(TRANSACTIONS.seq).label("first_seq"),
            func.max(TRANSACTIONS.seq).label("last_seq"),
            func.min(TRANSACTIONS.created_at).label("first_at"),
            func.max(TRANSACTIONS.created_at).label("last_at"),
        )
        .join(
            SPANS,
            (TRANSACTIONS.wallet_id == SPANS.c.wallet_id)
            & (TRANSACTIONS.seq > SPANS.c.from_seq)
            & (TRANSACTIONS.seq <= SPANS.c.to_seq),
        )
        .group_by(TRANSACTIONS.wallet_id, UTC_DAY, TRANSACTIONS.operation_type)
    )


FIGURES = figures()
SUM, LEAST, GREATEST = "sum", "least", "greatest"


def adding(model: Any, source: Select[Any], merges: dict[str, str]) -> Insert:
    """Insert the source's rows, or merge them into the rows that are there.

    `merges` says for each column that is not part of the key how two values combine.
    """
    keys = [column.name for column in model.__table__.primary_key]
    statement = insert(model.__table__).from_select([*keys, *merges], source)
    new, old = statement.excluded, model.__table__.c
    return statement.on_conflict_do_update(
        index_elements=keys,
        set_={
            name: old[name] + new[name]
            if merge == SUM
            else getattr(func, merge)(old[name], new[name])
            for name, merge in merges.items()
        },
    )


DAY_MERGES = {
    "count": SUM,
    "total": SUM,
    "lowest": LEAST,
    "highest": GREATEST,
    "first_seq": LEAST,
    "last_seq": GREATEST,
}
TOTAL_MERGES = {
    "count": SUM,
    "total": SUM,
    "smallest": LEAST,
    "largest": GREATEST,
    "first_at": LEAST,
    "last_at": GREATEST,
}


def count_spans() -> Insert:
    """Read the spans' transactions once and add them to all three kinds of rollup."""
    fresh = FIGURES.cte("fresh")
    days = adding(
        WalletDay,
        select(
            fresh.c.wallet_id,
            fresh.c.day,
            fresh.c.operation_type,
            *(fresh.c[name] for name in DAY_MERGES),
        ),
        DAY_MERGES,
    ).cte("days")
    service = adding(
        ServiceDay,
        select(
            *OF_TENANT,
            fresh.c.day,
            fresh.c.operation_type,
            func.sum(fresh.c["count"]),
            func.sum(fresh.c.total),
        )
        .join(WALLETS.id.table, WALLETS.id == fresh.c.wallet_id)
        .group_by(*OF_TENANT, fresh.c.day, fresh.c.operation_type)
        # One order for everybody, so that two rollups cannot deadlock here.
        .order_by(*OF_TENANT, fresh.c.day, fresh.c.operation_type),
        {"count": SUM, "total": SUM},
    ).cte("service")
    totals = select(
        fresh.c.wallet_id,
        fresh.c.operation_type,
        func.sum(fresh.c["count"]),
        func.sum(fresh.c.total),
        func.min(fresh.c.smallest),
        func.max(fresh.c.largest),
        func.min(fresh.c.first_at),
        func.max(fresh.c.last_at),
    ).group_by(fresh.c.wallet_id, fresh.c.operation_type)
    return adding(WalletTotal, totals, TOTAL_MERGES).add_cte(days, service)


COUNT_SPANS = count_spans()


def add_balances() -> Insert:
    """Add what the spans have changed of each sum of balances."""
    first, last = (Transaction.__table__.alias(name) for name in ("first", "last"))
    changes = (
        select(
            *OF_TENANT,
            literal(0),
            func.sum(last.c.balance_after - first.c.balance_before),
        )
        .join_from(SPANS, WALLETS.id.table, WALLETS.id == SPANS.c.wallet_id)
        .join(
            first,
            (first.c.wallet_id == SPANS.c.wallet_id)
            & (first.c.seq == SPANS.c.from_seq + 1),
        )
        .join(
            last,
            (last.c.wallet_id == SPANS.c.wallet_id) & (last.c.seq == SPANS.c.to_seq),
        )
        .group_by(*OF_TENANT)
        .order_by(*OF_TENANT)
    )
    return adding(ServiceCurrency, changes, CURRENCY_MERGES)


def add_wallets() -> Insert:
    """Add new wallets to the numbers of their tenants and currencies."""
    new = (
        select(*OF_TENANT, func.count(), literal(0))
        .where(WALLETS.id == func.any(IDS))
        .group_by(*OF_TENANT)
        .order_by(*OF_TENANT)
    )
    return adding(ServiceCurrency, new, CURRENCY_MERGES)


CURRENCY_MERGES = {"wallets": SUM, "balance": SUM}
ADD_BALANCES = add_balances()
ADD_WALLETS = add_wallets()
