"""The service as a whole: exact at every moment, from the rollups and their tails."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Date,
    Row,
    Select,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    union_all,
)

from wallet_app.database import db, shared_connection
from wallet_app.errors import InvalidRequest
from wallet_app.ledger.models import Wallet
from wallet_app.ledger.sql import TRANSACTIONS, WALLETS
from wallet_app.statistics.models import ServiceDay, WalletRollup
from wallet_app.statistics.rollup_sql import UTC_DAY

MAX_DAYS = 366
DEFAULT_DAYS = 30
BUSIEST = 10
ROLLUPS = WalletRollup.__table__.c
SERVICE_DAYS = ServiceDay.__table__.c

BY_CURRENCY = (
    select(
        WALLETS.currency,
        func.count().label("wallets"),
        func.sum(WALLETS.balance).label("total_balance"),
    )
    .group_by(WALLETS.currency)
    .order_by(WALLETS.currency)
)
BUSIEST_WALLETS = (
    select(WALLETS.uuid, WALLETS.currency, WALLETS.version.label("transactions"))
    .order_by(WALLETS.version.desc(), WALLETS.uuid)
    .limit(BUSIEST)
)


def movements() -> Select[Any]:
    """By currency, type and UTC day of the range (NULL for the days outside of it)."""
    last_seq = func.coalesce(ROLLUPS.last_seq, 0)
    fresh = (
        select(
            UTC_DAY.label("day"),
            TRANSACTIONS.operation_type,
            func.count().label("count"),
            func.sum(TRANSACTIONS.amount).label("total"),
        )
        .where(TRANSACTIONS.wallet_id == WALLETS.id, TRANSACTIONS.seq > last_seq)
        .group_by(UTC_DAY, TRANSACTIONS.operation_type)
        .correlate(Wallet.__table__, WalletRollup.__table__)
        # Wallet by wallet, through the index: flat, it might read the whole table.
        .lateral("fresh")
    )
    tail = (
        select(WALLETS.currency, *fresh.c)
        .select_from(Wallet.__table__)
        .outerjoin(WalletRollup.__table__, ROLLUPS.wallet_id == WALLETS.id)
        .join(fresh, literal(True))
        .where(WALLETS.version > last_seq)
    )
    parts = union_all(select(*SERVICE_DAYS), tail).subquery("part")
    in_range = parts.c.day.between(
        bindparam("first_day", type_=Date), bindparam("last_day", type_=Date)
    )
    day = case((in_range, parts.c.day))
    return (
        select(
            day.label("day"),
            parts.c.currency,
            parts.c.operation_type,
            cast(func.sum(parts.c["count"]), BigInteger).label("count"),
            func.sum(parts.c.total).label("total"),
        )
        .group_by(day, parts.c.currency, parts.c.operation_type)
        .order_by(day, parts.c.currency, parts.c.operation_type)
    )


MOVEMENTS = movements()


@contextmanager
def snapshot() -> Iterator[Connection]:
    """A connection whose few, short statements all see the same moment."""
    engine = db.engine.execution_options(isolation_level="REPEATABLE READ")
    with shared_connection(), engine.begin() as connection:
        yield connection


def read_service_statistics(
    connection: Connection, *, first_day: date, last_day: date
) -> dict[str, Any]:
    """What the ServiceStatistics schema shows; raises InvalidRequest.

    Both days are UTC days and belong to the range, of at most MAX_DAYS days.
    """
    if not timedelta(0) <= last_day - first_day < timedelta(days=MAX_DAYS):
        message = f"Ask for 1 to {MAX_DAYS} days at a time, `from` before `to`."
        raise InvalidRequest(message, errors={"to": [message]})
    days = {"first_day": first_day, "last_day": last_day}
    moved = connection.execute(MOVEMENTS, days).all()
    busiest = connection.execute(BUSIEST_WALLETS).all()
    return {
        "currencies": [
            currency_statistics(currency, moved)
            for currency in connection.execute(BY_CURRENCY)
        ],
        "days": [dict(row._mapping) for row in moved if row.day is not None],
        "busiest_wallets": busiest,
    }


def currency_statistics(
    currency: Row[Any], moved: Sequence[Row[Any]]
) -> dict[str, Any]:
    """A currency's wallets, and its movements of all time by type."""
    operations: dict[str, dict[str, Any]] = {}
    for row in moved:
        if row.currency != currency.currency:
            continue
        one = operations.setdefault(
            row.operation_type,
            {
                "operation_type": row.operation_type,
                "currency": row.currency,
                "count": 0,
                "total": Decimal(0),
            },
        )
        one["count"] += row._mapping["count"]
        one["total"] += row.total
    return {
        "currency": currency.currency,
        "wallets": currency.wallets,
        "total_balance": currency.total_balance,
        "count": sum(one["count"] for one in operations.values()),
        "operations": sorted(
            operations.values(), key=lambda one: one["operation_type"]
        ),
    }
