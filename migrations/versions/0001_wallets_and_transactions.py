"""Wallets and their transactions.

Revision ID: 0001
Revises: -
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wallets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("balance", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "currency", sa.String(length=3), server_default="USD", nullable=False
        ),
        sa.Column(
            "status", sa.String(length=20), server_default="active", nullable=False
        ),
        sa.Column(
            "version", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('active', 'frozen')", name=op.f("ck_wallets_status_known")
        ),
        sa.CheckConstraint(
            "balance < 1000000000000000000", name=op.f("ck_wallets_balance_below_limit")
        ),
        sa.CheckConstraint(
            "balance >= 0", name=op.f("ck_wallets_balance_not_negative")
        ),
        sa.CheckConstraint(
            "version >= 0", name=op.f("ck_wallets_version_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallets")),
        sa.UniqueConstraint("uuid", name=op.f("uq_wallets_uuid")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "transactions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("operation_type", sa.String(length=20), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("balance_before", sa.Numeric(), nullable=False),
        sa.Column("balance_after", sa.Numeric(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("reference_id", sa.Uuid(), nullable=True),
        sa.Column("transfer_id", sa.Uuid(), nullable=True),
        sa.Column("counterparty_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "balance_after - balance_before = CASE WHEN operation_type IN ('DEPOSIT', 'TRANSFER_IN') THEN amount WHEN operation_type IN ('WITHDRAW', 'TRANSFER_OUT') THEN -amount END",
            name=op.f("ck_transactions_balance_moves_by_amount"),
        ),
        sa.CheckConstraint(
            "operation_type IN ('DEPOSIT', 'WITHDRAW', 'TRANSFER_OUT', 'TRANSFER_IN')",
            name=op.f("ck_transactions_operation_type_known"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transactions_amount_positive")),
        sa.CheckConstraint(
            "balance_after >= 0", name=op.f("ck_transactions_balance_not_negative")
        ),
        sa.CheckConstraint("seq > 0", name=op.f("ck_transactions_seq_positive")),
        sa.ForeignKeyConstraint(
            ["counterparty_id"],
            ["wallets.id"],
            name=op.f("fk_transactions_counterparty_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallets.id"],
            name=op.f("fk_transactions_wallet_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transactions")),
        sa.UniqueConstraint("reference_id", name=op.f("uq_transactions_reference_id")),
        sa.UniqueConstraint(
            "wallet_id", "seq", name=op.f("uq_transactions_wallet_id_seq")
        ),
    )
    op.create_index(
        op.f("ix_transactions_transfer_id"),
        "transactions",
        ["transfer_id"],
        unique=False,
        postgresql_where=sa.text("transfer_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_transactions_wallet_id_created_at_seq"),
        "transactions",
        ["wallet_id", "created_at", "seq"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("transactions")
    op.drop_table("wallets")
