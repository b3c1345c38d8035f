"""The two tables in which money lives."""

from datetime import datetime
from decimal import Decimal
from typing import Any
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
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db
from wallet_app.ledger.currency_column import CurrencyCode
from wallet_app.ledger.money import LIMIT
from wallet_app.ledger.operation_types import EntryType


def moves(*, sign: int, held_sign: int) -> str:
    """The SQL that tells whether a transaction's type does this."""
    names = [o for o in EntryType if (o.sign, o.held_sign) == (sign, held_sign)]
    return "operation_type IN ({})".format(", ".join(f"'{one}'" for one in names))


BALANCE_MOVED, HELD_MOVED = "balance_after - balance_before", "held_after - held_before"
# One guard, in which each type has its place: statements on a table read all of its
# guards. The last capture of a hold gives back what it leaves of it.
ADDS_UP = (
    "held_after >= 0 AND CASE"
    f" WHEN {moves(sign=1, held_sign=0)}"
    f" THEN {BALANCE_MOVED} = amount AND held_after = held_before"
    f" WHEN {moves(sign=-1, held_sign=0)}"
    f" THEN {BALANCE_MOVED} = -amount AND held_after = held_before"
    " WHEN balance_after <> balance_before"
    f" THEN {moves(sign=-1, held_sign=-1)}"
    f" AND {BALANCE_MOVED} = -amount AND {HELD_MOVED} <= -amount"
    f" WHEN {moves(sign=0, held_sign=1)} THEN {HELD_MOVED} = amount"
    f" WHEN {moves(sign=0, held_sign=-1)} THEN {HELD_MOVED} = -amount"
    f" ELSE {moves(sign=0, held_sign=0)} AND held_after = held_before END"
)


class Wallet(db.Model):  # type: ignore[name-defined,misc]
    """A balance in one currency. `version` counts the wallet's transactions.

    `held` is the part of the balance that is promised to holds; the first of them may
    end at `next_expiry`. `minimum_balance` is what withdrawals leave, less than nothing
    if they may overdraw. `blocks` says what a frozen wallet refuses, all of it if NULL.
    `limited`: it has further limits. `revision` counts changes that are none of money.
    """

    __tablename__ = "wallets"
    __table_args__ = (
        # A tenant chooses its uuids without regard to others'.
        UniqueConstraint("uuid", "tenant_id"),
        # What an entry refers to, so that it carries the tenant of its wallet.
        UniqueConstraint("id", "tenant_id"),
        # What lists are ordered by: ids are not in order on every engine.
        Index(None, "tenant_id", "created_at", "uuid"),
        Index(None, "tenant_id", "currency", "created_at", "uuid"),
        Index(
            None,
            *("tenant_id", "status", "created_at", "uuid"),
            postgresql_where=text("status <> 'active'"),
        ),
        CheckConstraint(
            "held >= 0 AND (balance - held >= 0 OR balance - held >= minimum_balance)",
            name="available_not_negative",
        ),
        CheckConstraint(f"balance < {LIMIT}", name="balance_below_limit"),
        CheckConstraint("version >= 0", name="version_not_negative"),
        CheckConstraint(
            "status = 'active' OR status = 'frozen'"
            " OR (status = 'closed' AND balance = 0)",
            name="status_known",
        ),
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
    currency: Mapped[str] = mapped_column(CurrencyCode, server_default="USD")
    status: Mapped[str] = mapped_column(String(20), server_default="active")
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    held: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))
    minimum_balance: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))
    next_expiry: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    blocks: Mapped[str | None] = mapped_column(String(3))
    limited: Mapped[bool] = mapped_column(server_default=text("false"))
    revision: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class Transaction(db.Model):  # type: ignore[name-defined,misc]
    """One step of a wallet's history: append-only, never updated, never deleted.

    A transfer writes two rows that share `transfer_id`; the outgoing one carries the
    operation's `reference_id`, which is unique within the tenant. What acts upon an
    earlier operation, its hold or what it refunds, has that one's reference as
    `parent_reference_id`.
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
        CheckConstraint("seq > 0", name="seq_positive"),
        CheckConstraint(ADDS_UP, name="entry_adds_up"),
        CheckConstraint(
            "(counterparty_uuid IS NULL) = (transfer_id IS NULL)",
            name="counterparty_of_a_transfer",
        ),
        # Time never goes back along seq, so this finds the seq of a moment.
        Index(None, "wallet_id", "created_at", "seq"),
        Index(None, "transfer_id", postgresql_where=text("transfer_id IS NOT NULL")),
        Index(
            None,
            "parent_reference_id",
            postgresql_where=text("parent_reference_id IS NOT NULL"),
        ),
        # A tenant's, over all of its wallets.
        Index(None, "tenant_id", "created_at", "id"),
        # Those without any pay nothing for it.
        Index(
            None,
            "metadata",
            postgresql_using="gin",
            postgresql_ops={"metadata": "jsonb_path_ops"},
            postgresql_with={"fastupdate": "off"},
            postgresql_where=text("metadata IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    seq: Mapped[int] = mapped_column(BigInteger)
    operation_type: Mapped[str] = mapped_column(String(20))
    amount: Mapped[Decimal] = mapped_column(Numeric)
    balance_before: Mapped[Decimal] = mapped_column(Numeric)
    balance_after: Mapped[Decimal] = mapped_column(Numeric)
    held_before: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))
    held_after: Mapped[Decimal] = mapped_column(Numeric, server_default=text("0"))
    description: Mapped[str | None] = mapped_column(Text)
    reference_id: Mapped[UUID | None]
    transfer_id: Mapped[UUID | None]
    # No foreign key: on a sharded engine the other wallet may be elsewhere. Its own
    # entry of the transfer keeps it from being deleted.
    counterparty_uuid: Mapped[UUID | None]
    parent_reference_id: Mapped[UUID | None]
    # What its client wants to find again; SQLAlchemy keeps the name for itself.
    details: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
