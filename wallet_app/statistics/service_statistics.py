"""A tenant's wallets together: exact at every moment, from rollups and their tails."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
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
from sqlalchemy.sql import visitors

from wallet_app.database import db, shared_connection
from wallet_app.errors import InvalidRequest
from wallet_app.feed import readers
from wallet_app.ledger.journal import BEHIND, CREATED, JOURNAL, POSTED
from wallet_app.ledger.models import Transaction, Wallet
from wallet_app.ledger.operation_types import OF_ONE_WALLET, EntryType
from wallet_app.ledger.sql import TRANSACTIONS, WALLETS
from wallet_app.ledger.wallets import TENANT
from wallet_app.statistics import rollup
from wallet_app.statistics.models import ServiceCurrency, ServiceDay, WalletRollup
from wallet_app.statistics.rollup_sql import UTC_DAY

MAX_DAYS = 366
DEFAULT_DAYS = 30
BUSIEST = 10
ROLLUPS = WalletRollup.__table__.c
SERVICE_DAYS = ServiceDay.__table__.c

FEED = readers.FEED
# Nothing is behind the relay's position. But of a range whose ends it does not know
# PostgreSQL expects a row in 200, of one that is open a third: it would read them all.
TAIL_ROW = FEED.position.between(
    readers.position_of(rollup.READER) + 1, readers.position_of(readers.RELAY)
)


def not_counted(kinds: Collection[str], *, tenant: Any = None) -> Select[Any]:
    """The wallets of the journal's rows that the rollup has not read yet.

    Of all tenants, or of one, through the feed's index.
    """
    parts = [
        select(JOURNAL.wallet_ids).where(JOURNAL.kind.in_(kinds)),
        select(FEED.wallet_ids).where(TAIL_ROW, FEED.kind.in_(kinds)),
    ]
    if tenant is not None:
        parts = [
            part.where(table.tenant_id == tenant)
            for part, table in zip(parts, (JOURNAL, FEED), strict=True)
        ]
    rows = union_all(*parts).subquery("uncounted")
    return select(func.unnest(rows.c.wallet_ids).label("wallet_id"))


def array_of(ids: Select[Any]) -> Any:
    """The ids as one array: a few, for the planner, which goes by the index then.

    Of a join it would expect more of them the longer the feed is.
    """
    return func.array(ids.scalar_subquery())


NEW = array_of(not_counted([CREATED], tenant=TENANT))
MOVED = array_of(not_counted([POSTED, BEHIND], tenant=TENANT))
CURRENCIES = ServiceCurrency.__table__.c


def by_currency() -> Select[Any]:
    """By currency: how many wallets there are, and what they hold together.

    Of the wallets that the rollup knows, and what has changed since.
    """
    new = (
        select(WALLETS.currency, func.count().label("wallets"), literal(0))
        .where(WALLETS.id == func.any(NEW))
        .group_by(WALLETS.currency)
    )
    counted = Transaction.__table__.alias("counted")
    changed = (
        select(
            WALLETS.currency,
            literal(0),
            func.sum(WALLETS.balance - func.coalesce(counted.c.balance_after, 0)),
        )
        .select_from(Wallet.__table__)
        .outerjoin(WalletRollup.__table__, ROLLUPS.wallet_id == WALLETS.id)
        .outerjoin(
            counted,
            (counted.c.wallet_id == WALLETS.id) & (counted.c.seq == ROLLUPS.last_seq),
        )
        .where(WALLETS.id == func.any(MOVED))
        .group_by(WALLETS.currency)
    )
    known = select(CURRENCIES.currency, CURRENCIES.wallets, CURRENCIES.balance).where(
        CURRENCIES.tenant_id == TENANT
    )
    parts = union_all(known, new, changed).subquery("part")
    return (
        select(
            parts.c.currency,
            cast(func.sum(parts.c.wallets), BigInteger).label("wallets"),
            func.sum(parts.c.balance).label("total_balance"),
        )
        .group_by(parts.c.currency)
        .order_by(parts.c.currency)
    )


def busiest_wallets() -> Select[Any]:
    """Who has the most transactions: among those counted as busy, and moved since."""
    counted = (
        select(ROLLUPS.wallet_id)
        .where(ROLLUPS.tenant_id == TENANT)
        .order_by(ROLLUPS.last_seq.desc())
        .limit(BUSIEST)
    )
    among = func.array_cat(array_of(counted), MOVED)
    return (
        select(WALLETS.uuid, WALLETS.currency, WALLETS.version.label("transactions"))
        .where(WALLETS.id == func.any(among))
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
        .where(WALLETS.id == func.any(MOVED))
    )
    days = SERVICE_DAYS
    counted = select(
        days.currency, days.day, days.operation_type, days["count"], days.total
    ).where(days.tenant_id == TENANT)
    parts = union_all(counted, tail).subquery("part")
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


def planned_once(statement: Select[Any]) -> Select[Any]:
    """Write the constants into the text; what differs by call stays a parameter.

    Of a LIMIT that is a parameter a plan that is kept must expect a tenth of the table.
    PostgreSQL would plan each call anew, which takes longer than all else here.
    """

    def literally(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter) and element.unique:
            return element.render_literal_execute()
        return None

    written: Any = visitors.replacement_traverse(statement, {}, literally)
    assert isinstance(written, Select)
    return written


MOVEMENTS = planned_once(movements())
BY_CURRENCY = planned_once(by_currency())
BUSIEST_WALLETS = planned_once(busiest_wallets())


@contextmanager
def snapshot() -> Iterator[Connection]:
    """A connection whose few, short statements all see the same moment."""
    engine = db.engine.execution_options(isolation_level="REPEATABLE READ")
    with shared_connection(), engine.begin() as connection:
        yield connection


def read_service_statistics(
    connection: Connection, tenant_id: int, *, first_day: date, last_day: date
) -> dict[str, Any]:
    """What the ServiceStatistics schema shows of a tenant; raises InvalidRequest.

    Both days are UTC days and belong to the range, of at most MAX_DAYS days.
    """
    if not timedelta(0) <= last_day - first_day < timedelta(days=MAX_DAYS):
        message = f"Ask for 1 to {MAX_DAYS} days at a time, `from` before `to`."
        raise InvalidRequest(message, errors={"to": [message]})
    tenant = {"tenant_id": tenant_id}
    days = {"first_day": first_day, "last_day": last_day}
    moved = connection.execute(MOVEMENTS, tenant | days).all()
    busiest = connection.execute(BUSIEST_WALLETS, tenant).all()
    return {
        "currencies": [
            currency_statistics(currency, moved)
            for currency in connection.execute(BY_CURRENCY, tenant)
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
    deposited = total_of(operations, sign=1)
    withdrawn = total_of(operations, sign=-1)
    return {
        "currency": currency.currency,
        "wallets": currency.wallets,
        "total_balance": currency.total_balance,
        "deposited": deposited,
        "withdrawn": withdrawn,
        "balanced": deposited - withdrawn == currency.total_balance,
        "count": sum(one["count"] for one in operations.values()),
        "operations": sorted(
            operations.values(), key=lambda one: one["operation_type"]
        ),
    }


def total_of(operations: dict[str, dict[str, Any]], *, sign: int) -> Decimal:
    """What came from outside (1) or left (-1): transfers stay within the service.

    So does what is captured into another wallet. Refunds count where more of them came
    in than went out, or the other way: those of transfers do both.
    """

    def total(entry_type: EntryType) -> Decimal:
        known = operations.get(entry_type)
        return Decimal(0) if known is None else known["total"]

    outside = [one.entry_types[0] for one in OF_ONE_WALLET]
    moved = sum((total(one) for one in outside if one.sign == sign), Decimal(0))
    if sign < 0:
        moved += total(EntryType.CAPTURE) - total(EntryType.CAPTURE_IN)
    refunded = total(EntryType.REFUND_IN) - total(EntryType.REFUND_OUT)
    return moved + max(sign * refunded, Decimal(0))
