"""Reads and writes wallets' limits, whose wallets' locks guard them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    DateTime,
    Numeric,
    String,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from wallet_app.database import AnyRow
from wallet_app.ledger.limit_models import LimitsRow, VelocityRow
from wallet_app.ledger.limit_rules import Limits, Period, Velocity
from wallet_app.ledger.models import Wallet
from wallet_app.ledger.rules import WalletState
from wallet_app.ledger.sql import WALLETS, array_text, driver_sql, unnested

LIMITS, VELOCITIES = LimitsRow.__table__.c, VelocityRow.__table__.c
ORDER = {period: place for place, period in enumerate(Period)}
WALLET_IDS = bindparam("wallet_ids", type_=ARRAY(BigInteger))
SELECT_LIMITS = select(
    LIMITS.wallet_id, LIMITS.maximum_balance, LIMITS.largest_operation
).where(LIMITS.wallet_id == func.any(WALLET_IDS))
SELECT_VELOCITIES = select(
    VELOCITIES.wallet_id,
    VELOCITIES.period,
    VELOCITIES.max_count,
    VELOCITIES.max_amount,
    VELOCITIES.start,
    VELOCITIES.count,
    VELOCITIES.amount,
).where(VELOCITIES.wallet_id == func.any(WALLET_IDS))
THESE_LIMITS, THESE_VELOCITIES = map(driver_sql, (SELECT_LIMITS, SELECT_VELOCITIES))
COUNTED = unnested(
    "counted",
    {
        "wallet_id": BigInteger,
        "period": String,
        "start": DateTime(timezone=True),
        "count": BigInteger,
        "amount": Numeric,
    },
)
Rows = Iterable[Sequence[Any]]
WRITE = driver_sql(
    update(VelocityRow.__table__)
    .where(
        VELOCITIES.wallet_id == COUNTED.c.wallet_id,
        VELOCITIES.period == COUNTED.c.period,
    )
    .values(start=COUNTED.c.start, count=COUNTED.c.count, amount=COUNTED.c.amount)
)


def load(
    connection: psycopg.Connection, wallets: Collection[WalletState], now: datetime
) -> None:
    """Give locked wallets that have limits what these let through now."""
    ids = {"wallet_ids": array_text(wallet.id for wallet in wallets)}
    found = connection.execute(THESE_LIMITS, ids)
    velocities = connection.execute(THESE_VELOCITIES, ids)
    limits = assemble(found, velocities)
    for wallet in wallets:
        moment = max(now, wallet.updated_at)
        wallet.limits = limits.get(wallet.id, Limits()).at(moment)


def assemble(limits: Rows, velocities: Rows) -> dict[int, Limits]:
    """By wallet_id, the limits from rows of both statements."""
    by_wallet: dict[int, list[Velocity]] = {}
    for wallet_id, period, *rest in velocities:
        max_count, max_amount, start, count, amount = rest
        velocity = Velocity(
            period=Period(period),
            max_count=max_count,
            max_amount=max_amount,
            start=start,
            count=count,
            amount=amount,
        )
        by_wallet.setdefault(wallet_id, []).append(velocity)
    return {
        wallet_id: Limits(
            maximum_balance=maximum_balance,
            largest_operation=largest_operation,
            # The shortest period first: it frees first.
            velocities=tuple(
                sorted(by_wallet.get(wallet_id, ()), key=lambda one: ORDER[one.period])
            ),
        )
        for wallet_id, maximum_balance, largest_operation in limits
    }


def write(connection: psycopg.Connection, wallets: Collection[WalletState]) -> None:
    """Write what has been counted in wallets that a batch has changed."""
    rows = [
        (wallet.id, one.period, one.start, one.count, one.amount)
        for wallet in wallets
        if wallet.limits is not None
        for one in wallet.limits.velocities
    ]
    if rows:
        columns = zip(COUNTED.c.keys(), zip(*rows, strict=True), strict=True)
        arrays = {f"counted_{name}": array_text(column) for name, column in columns}
        connection.execute(WRITE, arrays)


def find(connection: Connection, wallet: AnyRow, now: datetime) -> Limits:
    """A wallet's limits, as they let something through now."""
    ids = {"wallet_ids": [wallet.id]}
    limits = assemble(
        connection.execute(SELECT_LIMITS, ids),
        connection.execute(SELECT_VELOCITIES, ids),
    )
    return limits.get(wallet.id, Limits()).at(max(now, wallet.updated_at))


def put(
    connection: Connection,
    wallet: AnyRow,
    *,
    minimum_balance: Decimal,
    limits: Limits,
) -> None:
    """Replace the limits of a wallet that the caller has locked; raise its revision."""
    place: Mapping[str, int] = {"wallet_id": wallet.id, "tenant_id": wallet.tenant_id}
    connection.execute(delete(LimitsRow).where(LIMITS.wallet_id == wallet.id))
    connection.execute(delete(VelocityRow).where(VELOCITIES.wallet_id == wallet.id))
    is_limited = limits != Limits()
    if is_limited:
        connection.execute(
            insert(LimitsRow.__table__),
            {
                **place,
                "maximum_balance": limits.maximum_balance,
                "largest_operation": limits.largest_operation,
            },
        )
    for one in limits.velocities:
        connection.execute(
            insert(VelocityRow.__table__),
            {
                **place,
                "period": one.period,
                "max_count": one.max_count,
                "max_amount": one.max_amount,
                "start": one.start,
                "count": one.count,
                "amount": one.amount,
            },
        )
    connection.execute(
        update(Wallet.__table__)
        .where(WALLETS.id == wallet.id)
        .values(
            minimum_balance=minimum_balance,
            limited=is_limited,
            revision=WALLETS.revision + 1,
        )
    )
