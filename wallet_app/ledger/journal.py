"""The journal: what each transaction has done to wallets, for whoever follows.

A posting writes one row for each tenant in its batch, in its own transaction; creating
and changing wallets writes one too. The relay (wallet_app/feed) takes the rows away.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Identity,
    Integer,
    String,
    func,
    insert,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from wallet_app.database import db

# Entries of `seqs` in `wallet_ids`, in the order in which they were written.
POSTED = "posted"
# New wallets; there are no seqs, except as of CHANGED if something was said of them.
CREATED = "created"
# Wallets with entries from before there was a journal, or past it; there are no seqs.
BEHIND = "behind"
# Changed wallets. A seq is the negative id of what the wallet was then: see told.py.
UPDATED = "updated"
FROZEN = "frozen"
UNFROZEN = "unfrozen"
CLOSED = "closed"
CHANGED = (UPDATED, FROZEN, UNFROZEN, CLOSED)
# By the status that a wallet is given.
KIND_OF_STATUS = {"active": UNFROZEN, "frozen": FROZEN, "closed": CLOSED}


class JournalRow(db.Model):  # type: ignore[name-defined,misc]
    """What one transaction did to a tenant's wallets, until it has been taken away."""

    __tablename__ = "journal"
    __table_args__ = (
        CheckConstraint(
            f"kind IN {(POSTED, CREATED, BEHIND, *CHANGED)}", name="kind_known"
        ),
        CheckConstraint(
            f"kind IN {(CREATED, BEHIND)}"
            " OR cardinality(wallet_ids) = cardinality(seqs)",
            name="a_seq_for_each",
        ),
        # A queue: its few rows are written and deleted all the time.
        {
            "postgresql_with": {
                "autovacuum_vacuum_scale_factor": 0,
                "autovacuum_vacuum_threshold": 5000,
            }
        },
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    kind: Mapped[str] = mapped_column(String(10))
    wallet_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    seqs: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


JOURNAL = JournalRow.__table__.c
APPEND = insert(JournalRow.__table__)


def append_created(connection: Any, tenant_id: int, wallet_ids: Sequence[int]) -> None:
    """Note a tenant's new wallets, in the transaction that creates them."""
    if wallet_ids:
        row = {"tenant_id": tenant_id, "kind": CREATED, "wallet_ids": list(wallet_ids)}
        connection.execute(APPEND, row)
