"""Lists ordered by time and uuid; a transfer's other wallet stored, not joined.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_wallets_created_at_uuid", "wallets", ["created_at", "uuid"], unique=False
    )
    op.add_column("transactions", sa.Column("counterparty_uuid", sa.Uuid()))
    # Whoever still writes the old column fails from here on: no uuid gets lost.
    op.execute(
        "UPDATE transactions SET counterparty_uuid = wallets.uuid FROM wallets"
        " WHERE wallets.id = transactions.counterparty_id"
    )
    op.drop_column("transactions", "counterparty_id")
    op.create_check_constraint(
        op.f("ck_transactions_counterparty_of_a_transfer"),
        "transactions",
        "(counterparty_uuid IS NULL) = (transfer_id IS NULL)",
    )


def downgrade() -> None:
    op.drop_constraint(
        op.f("ck_transactions_counterparty_of_a_transfer"), "transactions"
    )
    op.add_column("transactions", sa.Column("counterparty_id", sa.BigInteger()))
    op.execute(
        "UPDATE transactions SET counterparty_id = wallets.id FROM wallets"
        " WHERE wallets.uuid = transactions.counterparty_uuid"
    )
    op.create_foreign_key(
        op.f("fk_transactions_counterparty_id"),
        "transactions",
        "wallets",
        ["counterparty_id"],
        ["id"],
        ondelete="RESTRICT",
    )
    op.drop_column("transactions", "counterparty_uuid")
    op.drop_index("ix_wallets_created_at_uuid", table_name="wallets")
