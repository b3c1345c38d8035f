"""A wallet's movements by period, in one statement."""

from typing import Any

from sqlalchemy import (
    Date,
    DateTime,
    ScalarSelect,
    Select,
    Subquery,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from wallet_app.ledger.history import WALLET_ID, balance_at_seq, seq_before
from wallet_app.ledger.models import Transaction
from wallet_app.ledger.sql import TRANSACTIONS, unnested
from wallet_app.statistics.models import WalletDay, WalletRollup
from wallet_app.statistics.rollup_sql import DAY_MERGES, UTC_DAY

FIRST_DAY = bindparam("first_day", type_=Date)
END_DAY = bindparam("end_day", type_=Date)
STARTS_AT = bindparam("starts_at", type_=DateTime(timezone=True))
ENDS_AT = bindparam("ends_at", type_=DateTime(timezone=True))
ROLLUPS = WalletRollup.__table__.c
DAYS = WalletDay.__table__.c
PERIODS = unnested(
    "period",
    {
        "day": Date,
        "starts_at": DateTime(timezone=True),
        "ends_at": DateTime(timezone=True),
    },
)
LAST_SEQ: ScalarSelect[int] = (
    select(ROLLUPS.last_seq).where(ROLLUPS.wallet_id == WALLET_ID).scalar_subquery()
)
FIGURES = (
    func.count().label("count"),
    func.sum(TRANSACTIONS.amount).label("total"),
    func.min(TRANSACTIONS.balance_after).label("lowest"),
    func.max(TRANSACTIONS.balance_after).label("highest"),
    func.min(TRANSACTIONS.seq).label("first_seq"),
    func.max(TRANSACTIONS.seq).label("last_seq"),
)
MERGE: dict[str, Any] = {"sum": func.sum, "least": func.min, "greatest": func.max}


def days_counted_and_tail() -> Subquery:
    """By UTC day and type: what is counted, and what came since, as one."""
    counted = select(DAYS.day, DAYS.operation_type, *(DAYS[n] for n in DAY_MERGES))
    tail = select(UTC_DAY.label("day"), TRANSACTIONS.operation_type, *FIGURES)
    parts = union_all(
        counted.where(
            DAYS.wallet_id == WALLET_ID, DAYS.day >= FIRST_DAY, DAYS.day < END_DAY
        ),
        tail.where(
            TRANSACTIONS.wallet_id == WALLET_ID,
            TRANSACTIONS.seq > func.coalesce(LAST_SEQ, 0),
            TRANSACTIONS.created_at >= STARTS_AT,
            TRANSACTIONS.created_at < ENDS_AT,
        ).group_by(UTC_DAY, TRANSACTIONS.operation_type),
    ).subquery("part")
    return (
        select(
            parts.c.day,
            parts.c.operation_type,
            *(
                MERGE[merge](parts.c[name]).label(name)
                for name, merge in DAY_MERGES.items()
            ),
        )
        .group_by(parts.c.day, parts.c.operation_type)
        .subquery("movement")
    )


def periods_from_transactions() -> Subquery:
    """By period and type, straight from the transactions: for any time zone."""
    return (
        select(PERIODS.c.day, TRANSACTIONS.operation_type, *FIGURES)
        .join_from(
            PERIODS,
            Transaction.__table__,
            (TRANSACTIONS.wallet_id == WALLET_ID)
            & (TRANSACTIONS.created_at >= PERIODS.c.starts_at)
            & (TRANSACTIONS.created_at < PERIODS.c.ends_at),
        )
        .group_by(PERIODS.c.day, TRANSACTIONS.operation_type)
        .subquery("movement")
    )


def with_balances(movement: Subquery) -> Select[Any]:
    """The movements with the ledger's own balances around each, in order of time.

    One row with nothing but `opening` if nothing has moved.
    """
    first, last = Transaction.__table__.alias("f"), Transaction.__table__.alias("l")
    opening = select(
        func.coalesce(balance_at_seq(seq_before(STARTS_AT)), 0).label("opening")
    ).subquery("opening")
    return (
        select(
            opening.c.opening,
            *movement.c,
            first.c.balance_before.label("opening_balance"),
            last.c.balance_after.label("closing_balance"),
        )
        .select_from(opening)
        .outerjoin(movement, literal(True))
        .outerjoin(
            first,
            (first.c.wallet_id == WALLET_ID) & (first.c.seq == movement.c.first_seq),
        )
        .outerjoin(
            last, (last.c.wallet_id == WALLET_ID) & (last.c.seq == movement.c.last_seq)
        )
        .order_by(movement.c.day, movement.c.operation_type)
    )


UTC_SUMMARIES = with_balances(days_counted_and_tail())
ZONED_SUMMARIES = with_balances(periods_from_transactions())
# How many transactions the period holds, without counting them: seq has no gaps.
TRANSACTIONS_WITHIN = select(
    func.coalesce(seq_before(ENDS_AT), 0) - func.coalesce(seq_before(STARTS_AT), 0)
)
