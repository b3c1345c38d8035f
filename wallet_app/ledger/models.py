"""The two tables in which money lives."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db
from wallet_app.ledger.money import LIMIT
from wallet_app.ledger.operation_types import INCOMING, OUTGOING, EntryType


def one_of(entry_types: Iterable[EntryType]) -> str:
    """The SQL that tells whether a transaction is of one of these types."""
    names = ", ".join(f"'{one}'" for one in entry_types)
    return f"operation_type IN ({names})"


class Wallet(db.Model):  # type: ignore[name-defined,misc]
    """A balance in one currency. `version` counts the wallet's transactions."""

    __tablename__ = "wallets"
    __table_args__ = (
        # A tenant chooses its uuids without regard to others'.
        UniqueConstraint("uuid", "tenant_id"),
        # What an entry refers to, so that it carries the tenant of its wallet.
        UniqueConstraint("id", "tenant_id"),
        # What lists are ordered by: ids are not in order on every engine.
        Index(None, "tenant_id", "created_at", "uuid"),
        CheckConstraint("balance >= 0", name="balance_not_negative"),
        CheckConstraint(f"balance < {LIMIT}", name="balance_below_limit"),
        CheckConstraint("version >= 0", name="version_not_negative"),
        CheckConstraint("status IN ('active', 'frozen')", name="status_known"),
        # Room in every page for the new version of a row that changes all the time;
        # no index covers a column that an operation changes, so updates stay HOT.
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(
        ForeignKey("tenants.id"), server_default=text("1")
    )
    uuid: Mapped[UUID]
    balance: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))
    currency: Mapped[str] = mapped_column(String(3), server_default="USD")
    status: Mapped[str] = mapped_column(String(20), server_default="active")
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class Transaction(db.Model):  # type: ignore[name-defined,misc]
    """One step of a wallet's history: append-only, never updated, never deleted.

    A transfer writes two rows that share `transfer_id`; the outgoing one carries the
    operation's `reference_id`, which is unique within the tenant.
    """

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("wallet_id", "seq"),
        UniqueConstraint("reference_id", "tenant_id"),
        ForeignKeyConstraint(
            ["wallet_id", "tenant_id"],
            ["wallets.id", "wallets.tenant_id"],
            ondelete="RESTRICT",
            name="fk_transactions_wallet_id_tenant_id",
        ),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("balance_after >= 0", name="balance_not_negative"),
        CheckConstraint("seq > 0", name="seq_positive"),
        CheckConstraint(
            f"balance_after - balance_before = CASE WHEN {one_of(INCOMING)} THEN amount"
            f" WHEN {one_of(OUTGOING)} THEN -amount END",
            name="balance_moves_by_amount",
        ),
        CheckConstraint(one_of(EntryType), name="operation_type_known"),
        CheckConstraint(
            "(counterparty_uuid IS NULL) = (transfer_id IS NULL)",
            name="counterparty_of_a_transfer",
        ),
        # Time never goes back along seq, so this finds the seq of a moment.
        Index(None, "wallet_id", "created_at", "seq"),
        Index(None, "transfer_id", postgresql_where=text("transfer_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    seq: Mapped[int] = mapped_column(BigInteger)
    operation_type: Mapped[str] = mapped_column(String(20))
    amount: Mapped[Decimal] = mapped_column(Numeric)
    balance_before: Mapped[Decimal] = mapped_column(Numeric)
    balance_after: Mapped[Decimal] = mapped_column(Numeric)
    description: Mapped[str | None] = mapped_column(Text)
    reference_id: Mapped[UUID | None]
    transfer_id: Mapped[UUID | None]
    # No foreign key: on a sharded engine the other wallet may be elsewhere. Its own
    # entry of the transfer keeps it from being deleted.
    counterparty_uuid: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
