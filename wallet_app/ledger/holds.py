"""Reads and writes holds inside of a posting, whose wallets' locks guard them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    DateTime,
    Integer,
    Numeric,
    String,
    Text,
    Uuid,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert

from wallet_app.ledger.hold_models import HoldRow, HoldStep
from wallet_app.ledger.models import Wallet
from wallet_app.ledger.rules import Entry, Hold, Key, WalletState
from wallet_app.ledger.sql import (
    KEY_TENANTS,
    KEY_UUIDS,
    WALLETS,
    array_text,
    driver_sql,
    key_texts,
    unnested,
)

HOLDS = HoldRow.__table__.c
STEPS = HoldStep.__table__.c
# So many are released by a batch; those that come after it release the others.
MOST_RELEASED = 500

# In the order of Hold's fields.
SELECT_HOLDS = select(
    HOLDS.tenant_id,
    HOLDS.id,
    HOLDS.wallet_id,
    WALLETS.uuid.label("wallet_uuid"),
    WALLETS.currency,
    HOLDS.amount,
    HOLDS.captured,
    HOLDS.released,
    HOLDS.status,
    HOLDS.closed_by,
    HOLDS.expires_at,
    HOLDS.description,
    HOLDS.created_at,
    HOLDS.updated_at,
).join_from(HoldRow.__table__, Wallet.__table__, WALLETS.id == HOLDS.wallet_id)
FIELDS = tuple(SELECT_HOLDS.selected_columns.keys())
OF_KEYS = (HOLDS.id == func.any(KEY_UUIDS)) & (HOLDS.tenant_id == func.any(KEY_TENANTS))
THESE = driver_sql(SELECT_HOLDS.where(OF_KEYS))

# The wallets whose next_expiry has come, each with the time by which that was seen.
WAITING = unnested(
    "waiting", {"wallet_id": BigInteger, "moment": DateTime(timezone=True)}
)
IS_DUE = (
    (HOLDS.wallet_id == WAITING.c.wallet_id)
    & (HOLDS.status == literal_column("'open'"))
    & (HOLDS.expires_at <= WAITING.c.moment)
)
ONE_WALLETS_DUE = (
    SELECT_HOLDS.where(IS_DUE)
    .order_by(HOLDS.expires_at)
    .limit(literal_column(str(MOST_RELEASED)))
    .correlate(WAITING)
    .lateral("due")
)
DUE = driver_sql(
    select(*ONE_WALLETS_DUE.c)
    .select_from(WAITING.join(ONE_WALLETS_DUE, true()))
    .limit(literal_column(str(MOST_RELEASED)))
)
STILL_OPEN = HoldRow.__table__.alias("later")
# What comes after those: what is left over of them, or what is not yet due.
LATER = driver_sql(
    select(
        WAITING.c.wallet_id,
        select(func.min(STILL_OPEN.c.expires_at))
        .where(
            STILL_OPEN.c.wallet_id == WAITING.c.wallet_id,
            STILL_OPEN.c.status == literal_column("'open'"),
            STILL_OPEN.c.expires_at > WAITING.c.moment,
        )
        .correlate(WAITING)
        .scalar_subquery(),
    ).select_from(WAITING)
)

STATE_COLUMNS = {
    "tenant_id": Integer,
    "wallet_id": BigInteger,
    "amount": Numeric,
    "captured": Numeric,
    "released": Numeric,
    "status": String,
    "closed_by": String,
    "expires_at": DateTime(timezone=True),
    "updated_at": DateTime(timezone=True),
}
HOLD_COLUMNS = {
    "id": Uuid,
    **STATE_COLUMNS,
    "description": Text,
    "created_at": DateTime(timezone=True),
}
STEP_COLUMNS = {
    "hold_id": Uuid,
    **STATE_COLUMNS,
    "seq": BigInteger,
    "asked_amount": Numeric,
    "asked_expires_at": DateTime(timezone=True),
    "final": Boolean,
}
CHANGING = (
    "amount",
    "captured",
    "released",
    "status",
    "closed_by",
    "expires_at",
    "updated_at",
)


def insert_of(table: Any, name: str, columns: dict[str, Any]) -> Any:
    rows = unnested(name, columns)
    return insert(table).from_select(list(columns), select(*rows.c))


NEW_HOLDS = insert_of(HoldRow.__table__, "hold", HOLD_COLUMNS)
WRITE_HOLDS = driver_sql(
    NEW_HOLDS.on_conflict_do_update(
        index_elements=["id", "tenant_id"],
        set_={name: NEW_HOLDS.excluded[name] for name in CHANGING},
    )
)
WRITE_STEPS = driver_sql(insert_of(HoldStep.__table__, "step", STEP_COLUMNS))

STEP_KEYS = unnested("step_key", {"wallet_id": BigInteger, "seq": BigInteger})
SELECT_STEPS = driver_sql(
    select(
        STEPS.tenant_id,
        STEPS.hold_id,
        STEPS.wallet_id,
        WALLETS.uuid,
        WALLETS.currency,
        STEPS.amount,
        STEPS.captured,
        STEPS.released,
        STEPS.status,
        STEPS.closed_by,
        STEPS.expires_at,
        HOLDS.description,
        HOLDS.created_at,
        STEPS.updated_at,
        STEPS.asked_amount,
        STEPS.asked_expires_at,
        STEPS.final,
        STEPS.seq,
    )
    .join_from(
        HoldStep.__table__,
        STEP_KEYS,
        (STEPS.wallet_id == STEP_KEYS.c.wallet_id) & (STEPS.seq == STEP_KEYS.c.seq),
    )
    .join(
        HoldRow.__table__,
        (HOLDS.id == STEPS.hold_id) & (HOLDS.tenant_id == STEPS.tenant_id),
    )
    .join(Wallet.__table__, WALLETS.id == STEPS.wallet_id)
)
STEP_FIELDS = (*FIELDS, "asked_amount", "asked_expires_at", "final")


def ask(
    connection: psycopg.Connection, keys: Collection[Key]
) -> "psycopg.Cursor[Any] | None":
    """Ask for holds behind the locks, in the same round trip; None: there are none."""
    if not keys:
        return None
    return connection.execute(THESE, key_texts(keys))


def read(cursor: "psycopg.Cursor[Any] | None") -> dict[Key, Hold]:
    """The holds that were asked for."""
    rows = () if cursor is None else cursor
    return {hold.key: hold for hold in map(read_hold, rows)}


def read_hold(row: Sequence[Any]) -> Hold:
    """A Hold from a row of SELECT_HOLDS."""
    return Hold(**dict(zip(FIELDS, row, strict=True)))


def read_due(
    connection: psycopg.Connection, waiting: dict[int, tuple[WalletState, Any]]
) -> list[Hold]:
    """Up to MOST_RELEASED holds whose time is over; sets the wallets' next_expiry.

    `waiting`: by id, wallets whose next_expiry has come, and the time that it is.
    """
    arrays = {
        "waiting_wallet_id": array_text(waiting),
        "waiting_moment": array_text(moment for _, moment in waiting.values()),
    }
    due = connection.execute(DUE, arrays)
    later = connection.execute(LATER, arrays)
    holds = [read_hold(row) for row in due]
    if len(holds) < MOST_RELEASED:
        for wallet_id, next_expiry in later:
            waiting[wallet_id][0].next_expiry = next_expiry
    return holds


def write(connection: psycopg.Connection, steps: Sequence[tuple[Entry, Hold]]) -> None:
    """Write what the entries have made of their holds."""
    last = {hold.key: hold for _, hold in steps}
    holds = last.values()
    connection.execute(
        WRITE_HOLDS,
        {f"hold_{name}": column(name, holds) for name in HOLD_COLUMNS},
    )
    states = [hold for _, hold in steps]
    arrays = {
        f"step_{name}": column(name, states)
        for name in STEP_COLUMNS.keys() - {"hold_id", "seq"}
    }
    arrays["step_hold_id"] = array_text(hold.id for hold in states)
    arrays["step_seq"] = array_text(entry.seq for entry, _ in steps)
    connection.execute(WRITE_STEPS, arrays)


def column(name: str, holds: Iterable[Hold]) -> Any:
    values = [getattr(hold, name) for hold in holds]
    # Only a client's text can hold what has to be quoted.
    return values if name == "description" else array_text(values)


def read_steps(
    connection: psycopg.Connection, entries: Iterable[Entry]
) -> dict[tuple[int, int], Hold]:
    """By wallet_id and seq, the holds as these entries have left them."""
    places = [(entry.wallet_id, entry.seq) for entry in entries]
    if not places:
        return {}
    wallet_ids, seqs = map(array_text, zip(*places, strict=True))
    rows = connection.execute(
        SELECT_STEPS, {"step_key_wallet_id": wallet_ids, "step_key_seq": seqs}
    )
    return {
        (row[2], row[-1]): Hold(**dict(zip(STEP_FIELDS, row[:-1], strict=True)))
        for row in rows
    }


HOLDERS = select(HOLDS.id, WALLETS.uuid).join_from(
    HoldRow.__table__, Wallet.__table__, WALLETS.id == HOLDS.wallet_id
)


def wallets_of(
    connection: Connection, tenant_id: int, hold_ids: Collection[UUID]
) -> dict[UUID, UUID]:
    """By the ids of those holds that exist, their wallets' uuids: they never change."""
    these = HOLDERS.where(HOLDS.id.in_(hold_ids), HOLDS.tenant_id == tenant_id)
    return dict(map(tuple, connection.execute(these)))
