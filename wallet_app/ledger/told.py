"""What wallets were when events told of them; the wallets themselves go on.

As columns, not as a document: read back, a row is dumped like the wallet's own.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    DateTime,
    Identity,
    Index,
    Insert,
    Integer,
    Numeric,
    Select,
    String,
    bindparam,
    column,
    func,
    insert,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import AnyRow, db
from wallet_app.ledger.details import MAX_LABEL, MAX_NAME, MAX_OWNER
from wallet_app.ledger.journal import CREATED, JournalRow
from wallet_app.ledger.sql import WALLETS


class ToldWallet(db.Model):  # type: ignore[name-defined,misc]
    """A wallet as it was at `told_at`, without what never changes.

    `retired_at`: since when the feed has no event with it any more.
    """

    __tablename__ = "told_wallets"
    __table_args__ = (
        Index(None, "retired_at", postgresql_where=text("retired_at IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(Integer)
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[Decimal] = mapped_column(Numeric)
    held: Mapped[Decimal] = mapped_column(Numeric)
    available: Mapped[Decimal] = mapped_column(Numeric)
    owner: Mapped[str | None] = mapped_column(String(MAX_OWNER))
    name: Mapped[str | None] = mapped_column(String(MAX_NAME))
    labels: Mapped[list[str] | None] = mapped_column(ARRAY(String(MAX_LABEL)))
    # SQLAlchemy keeps the name for itself.
    more: Mapped[dict[str, Any] | None] = mapped_column(
        "metadata", JSONB(none_as_null=True)
    )
    status: Mapped[str] = mapped_column(String(20))
    blocks: Mapped[str | None] = mapped_column(String(3))
    version: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    told_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


TABLE = ToldWallet.__table__
TOLD = TABLE.c
KEPT = (
    *("balance", "held", "available", "owner", "name", "labels", "metadata"),
    *("status", "blocks", "version", "updated_at"),
)
IDS = bindparam("ids", type_=ARRAY(BigInteger))
KIND = bindparam("kind", type_=String)
MIGRATED = table("alembic_version", column("version_num", String))
# The release before may take a changed wallet for a new one: 0022 says that it is gone.
CAN_BE_TOLD = or_(
    KIND == CREATED, select(MIGRATED).where(MIGRATED.c.version_num >= "0022").exists()
)
THESE = (
    select(TOLD.id, TOLD.told_at, WALLETS.uuid, WALLETS.currency, WALLETS.created_at)
    .add_columns(*(TOLD[name] for name in KEPT))
    .join(WALLETS.id.table, WALLETS.id == TOLD.wallet_id)
    .where(TOLD.id == func.any(IDS))
)


def telling(wallets: Select[Any]) -> Insert:
    """Keep what wallets are now, and note it in the journal as of a `kind`."""
    now = wallets.subquery("now")
    # Not the transaction's time: it may have waited for the wallet's lock.
    moment = func.greatest(func.clock_timestamp(), now.c.updated_at)
    kept = (now.c[name] for name in KEPT)
    told = (
        insert(TABLE)
        .from_select(
            ["tenant_id", "wallet_id", *KEPT, "told_at"],
            select(now.c.tenant_id, now.c.id, *kept, moment).where(CAN_BE_TOLD),
        )
        .returning(TOLD.id, TOLD.tenant_id, TOLD.wallet_id)
        .cte("told")
    )

    def in_order(column: Any) -> Any:
        return func.array_agg(aggregate_order_by(column, told.c.id))

    return insert(JournalRow.__table__).from_select(
        ["tenant_id", "kind", "wallet_ids", "seqs"],
        select(
            told.c.tenant_id,
            KIND,
            in_order(told.c.wallet_id),
            in_order(-told.c.id),
        ).group_by(told.c.tenant_id),
    )


def find(connection: Connection, seqs: Sequence[int]) -> dict[int, AnyRow]:
    """By seq of an event: the wallet as it was then."""
    rows = connection.execute(THESE, {"ids": [-seq for seq in seqs]}) if seqs else ()
    return {-row.id: row for row in rows}
