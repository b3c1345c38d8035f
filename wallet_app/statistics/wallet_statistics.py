"""A wallet's statistics: rollup and tail in one statement, so always exact."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Uuid,
    bindparam,
    func,
    select,
    true,
    union_all,
)

from wallet_app.errors import WalletNotFound
from wallet_app.ledger import money
from wallet_app.ledger.models import Wallet
from wallet_app.ledger.operation_types import EntryType
from wallet_app.ledger.sql import TRANSACTIONS, WALLETS
from wallet_app.ledger.wallets import TENANT
from wallet_app.statistics.models import WalletRollup, WalletTotal

ROLLUPS = WalletRollup.__table__.c
TOTALS = WalletTotal.__table__.c
LAST_SEQ = func.coalesce(ROLLUPS.last_seq, 0)


def statistics_statement() -> Select[Any]:
    """A row per operation type of one wallet; one row with NULLs if it has none."""
    counted = select(
        TOTALS.operation_type,
        TOTALS["count"],
        TOTALS.total,
        TOTALS.smallest,
        TOTALS.largest,
        TOTALS.first_at,
        TOTALS.last_at,
    ).where(TOTALS.wallet_id == WALLETS.id)
    tail = (
        select(
            TRANSACTIONS.operation_type,
            func.count(),
            func.sum(TRANSACTIONS.amount),
            func.min(TRANSACTIONS.amount),
            func.max(TRANSACTIONS.amount),
            func.min(TRANSACTIONS.created_at),
            func.max(TRANSACTIONS.created_at),
        )
        .where(TRANSACTIONS.wallet_id == WALLETS.id, TRANSACTIONS.seq > LAST_SEQ)
        .group_by(TRANSACTIONS.operation_type)
    )
    wallets, rollups = Wallet.__table__, WalletRollup.__table__
    parts = union_all(
        counted.correlate(wallets), tail.correlate(wallets, rollups)
    ).subquery("part")
    by_type = (
        select(
            parts.c.operation_type,
            func.sum(parts.c["count"]).label("count"),
            func.sum(parts.c.total).label("total"),
            func.min(parts.c.smallest).label("smallest"),
            func.max(parts.c.largest).label("largest"),
            func.min(parts.c.first_at).label("first_at"),
            func.max(parts.c.last_at).label("last_at"),
        )
        .group_by(parts.c.operation_type)
        .lateral("by_type")
    )
    return (
        select(
            WALLETS.uuid,
            WALLETS.currency,
            WALLETS.version,
            LAST_SEQ.label("last_seq"),
            *by_type.c,
        )
        .select_from(wallets)
        .outerjoin(rollups, ROLLUPS.wallet_id == WALLETS.id)
        .outerjoin(by_type, true())
        .where(
            WALLETS.tenant_id == TENANT, WALLETS.uuid == bindparam("uuid", type_=Uuid)
        )
    )


STATISTICS = statistics_statement()


def read_wallet_statistics(
    connection: Connection, tenant_id: int, uuid: UUID
) -> dict[str, Any]:
    """What the WalletStatistics schema shows; raises WalletNotFound."""
    this = {"tenant_id": tenant_id, "uuid": uuid}
    rows = connection.execute(STATISTICS, this).all()
    if not rows:
        raise WalletNotFound(f"There is no wallet {uuid}.")
    return summarize(rows)


def summarize(rows: Sequence[Row[Any]]) -> dict[str, Any]:
    """The statistics from the rows of `statistics_statement`."""
    wallet = rows[0]
    operations = [
        type_statistics(row) for row in rows if row.operation_type is not None
    ]
    operations.sort(key=lambda one: one["operation_type"])
    return {
        "uuid": wallet.uuid,
        "currency": wallet.currency,
        "count": sum(one["count"] for one in operations),
        "net_flow": sum((one["net_flow"] for one in operations), Decimal(0)),
        "first_operation_at": min(
            (one["first_at"] for one in operations), default=None
        ),
        "last_operation_at": max((one["last_at"] for one in operations), default=None),
        "operations": operations,
        "as_of_seq": wallet.version,
        "rolled_up_to_seq": wallet.last_seq,
    }


def type_statistics(row: Row[Any]) -> dict[str, Any]:
    digit = money.minor_unit(row.currency)
    count = int(row._mapping["count"])
    average = (row.total / count).quantize(digit, rounding=ROUND_HALF_EVEN)
    return {
        "operation_type": row.operation_type,
        "currency": row.currency,
        "count": count,
        "total": row.total,
        "average": average,
        "smallest": row.smallest,
        "largest": row.largest,
        "net_flow": row.total * EntryType[row.operation_type].sign,
        "first_at": row.first_at,
        "last_at": row.last_at,
    }
