"""What a wallet is called, whose it is, its labels: nothing that money depends on.

In tables of their own: each operation writes its wallet's row anew, as long as it is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Select,
    String,
    delete,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.selectable import LateralFromClause

from wallet_app.database import AnyRow, db
from wallet_app.ledger.rules import is_same_json
from wallet_app.ledger.sql import WALLETS

MAX_OWNER = MAX_NAME = 200
MAX_LABEL = 64
MAX_LABELS = 20


class DetailsRow(db.Model):  # type: ignore[name-defined,misc]
    """The details of a wallet that has any.

    `uuid` and `created_at` are the wallet's, which never change: lists are ordered by
    them.
    """

    __tablename__ = "wallet_details"
    __table_args__ = (
        ForeignKeyConstraint(
            ["wallet_id", "tenant_id"],
            ["wallets.id", "wallets.tenant_id"],
            ondelete="CASCADE",
            name="fk_wallet_details_wallet_id_tenant_id",
        ),
        Index(
            None,
            *("tenant_id", "owner", "created_at", "uuid"),
            postgresql_where=text("owner IS NOT NULL"),
        ),
        Index(
            None,
            *("tenant_id", "name", "uuid"),
            postgresql_where=text("name IS NOT NULL"),
        ),
    )

    wallet_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    tenant_id: Mapped[int]
    uuid: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    owner: Mapped[str | None] = mapped_column(String(MAX_OWNER))
    name: Mapped[str | None] = mapped_column(String(MAX_NAME))
    labels: Mapped[list[str]] = mapped_column(
        ARRAY(String(MAX_LABEL)), server_default="{}"
    )
    # SQLAlchemy keeps the name for itself.
    more: Mapped[dict[str, Any] | None] = mapped_column(
        "metadata", JSONB(none_as_null=True)
    )


class LabelRow(db.Model):  # type: ignore[name-defined,misc]
    """One label of a wallet, in the order of lists."""

    __tablename__ = "wallet_labels"
    __table_args__ = (Index(None, "wallet_id"),)

    tenant_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(String(MAX_LABEL), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), primary_key=True
    )
    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    wallet_id: Mapped[int] = mapped_column(
        ForeignKey("wallet_details.wallet_id", ondelete="CASCADE")
    )


DETAILS = DetailsRow.__table__.c
LABELS = LabelRow.__table__.c


def details_of(wallet_id: ColumnElement[int]) -> LateralFromClause:
    """The details of a wallet of the query, if it has some; to be joined."""
    return (
        select(DETAILS.owner, DETAILS.name, DETAILS.labels, DETAILS.metadata)
        .where(DETAILS.wallet_id == wallet_id)
        # By the key, row by row, whatever the planner thinks of how many there are.
        .limit(literal_column("1"))
        .lateral("details")
    )


def with_details(select_wallets: Select[Any]) -> Select[Any]:
    """A SELECT of wallets' columns, with the details of those that have some."""
    details = details_of(WALLETS.id)
    return select_wallets.add_columns(*details.c).outerjoin_from(
        WALLETS.id.table, details, true()
    )


def differing(wallet: AnyRow, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the changes that the wallet does not show yet."""
    shown = {**wallet._mapping, "labels": wallet.labels or []}
    return {
        name: value
        for name, value in changes.items()
        if not is_same_json(shown[name], value)
    }


def put(connection: Connection, wallet: AnyRow, changes: Mapping[str, Any]) -> None:
    """Set those details of a wallet that are named, in the caller's transaction.

    `wallet` has id, tenant_id, uuid and created_at; `changes` owner, name, labels and
    metadata, each of which may be absent. Raises no error for what is set already.
    """
    place = {
        "wallet_id": wallet.id,
        "tenant_id": wallet.tenant_id,
        "uuid": wallet.uuid,
        "created_at": wallet.created_at,
    }
    connection.execute(
        insert(DetailsRow.__table__)
        .values(place | dict(changes))
        .on_conflict_do_update(index_elements=["wallet_id"], set_=dict(changes))
    )
    if "labels" in changes:
        connection.execute(
            delete(LabelRow.__table__).where(LABELS.wallet_id == wallet.id)
        )
    if changes.get("labels"):
        rows = [place | {"label": label} for label in changes["labels"]]
        connection.execute(insert(LabelRow.__table__), rows)
