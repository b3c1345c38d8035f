"""Reads of holds; every page is a range of an index."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, literal_column, select, tuple_

from wallet_app.errors import HoldNotFound
from wallet_app.ledger.holds import HOLDS, SELECT_HOLDS, read_hold
from wallet_app.ledger.rules import Hold, Key
from wallet_app.ledger.sql import WALLETS

HOLDS_A_STEP = 500


def find(connection: Connection, tenant_id: int, hold_id: UUID) -> Hold:
    """The hold; raises HoldNotFound, also for another tenant's."""
    this = SELECT_HOLDS.where(HOLDS.id == hold_id, HOLDS.tenant_id == tenant_id)
    row = connection.execute(this).one_or_none()
    if row is None:
        raise HoldNotFound(f"There is no hold {hold_id}.")
    return read_hold(row)


def overdue_wallets(connection: Connection) -> list[Key]:
    """Some wallets with holds whose time is over, longest first."""
    first = (
        select(HOLDS.wallet_id)
        .where(HOLDS.status == literal_column("'open'"), HOLDS.expires_at <= func.now())
        .order_by(HOLDS.expires_at)
        .limit(HOLDS_A_STEP)
    )
    keys = select(WALLETS.tenant_id, WALLETS.uuid).where(WALLETS.id.in_(first))
    return [(row.tenant_id, row.uuid) for row in connection.execute(keys)]


def list_holds(
    connection: Connection,
    tenant_id: int,
    *,
    limit: int,
    status: str | None,
    wallet_id: int | None,
    before: tuple[datetime, UUID] | None,
) -> list[Hold]:
    """Up to `limit` holds, newest first, from before a created_at and id."""
    place = HOLDS.created_at, HOLDS.id
    conditions = [HOLDS.tenant_id == tenant_id]
    if wallet_id is not None:
        conditions.append(HOLDS.wallet_id == wallet_id)
    if status == "open":
        # Written out, so that the index of open ones serves.
        conditions.append(HOLDS.status == literal_column("'open'"))
    elif status is not None:
        conditions.append(HOLDS.status == status)
    if before is not None:
        conditions.append(tuple_(*place) < before)
    statement = (
        SELECT_HOLDS.where(*conditions)
        .order_by(*(one.desc() for one in place))
        .limit(limit)
    )
    return [read_hold(row) for row in connection.execute(statement)]
