"""Rollups: the statistics counted in the background.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wallet_rollups",
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "last_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallets.id"],
            name=op.f("fk_wallet_rollups_wallet_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_wallet_rollups")),
    )
    op.create_table(
        "wallet_totals",
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("operation_type", sa.String(length=20), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("smallest", sa.Numeric(), nullable=False),
        sa.Column("largest", sa.Numeric(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallet_rollups.wallet_id"],
            name=op.f("fk_wallet_totals_wallet_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "wallet_id", "operation_type", name=op.f("pk_wallet_totals")
        ),
    )


def downgrade() -> None:
    op.drop_table("wallet_totals")
    op.drop_table("wallet_rollups")
