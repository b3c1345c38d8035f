"""Rollups: the statistics counted in the background, and who counts.

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
        sa.Column("wallet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "last_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "last_seq >= 0", name=op.f("ck_wallet_rollups_last_seq_not_negative")
        ),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_wallet_rollups")),
        postgresql_with={"fillfactor": 50},
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
        sa.CheckConstraint("count > 0", name=op.f("ck_wallet_totals_count_positive")),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallet_rollups.wallet_id"],
            name=op.f("fk_wallet_totals_wallet_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "wallet_id", "operation_type", name=op.f("pk_wallet_totals")
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "wallet_days",
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("operation_type", sa.String(length=20), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("lowest", sa.Numeric(), nullable=False),
        sa.Column("highest", sa.Numeric(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("count > 0", name=op.f("ck_wallet_days_count_positive")),
        sa.CheckConstraint(
            "first_seq <= last_seq", name=op.f("ck_wallet_days_seqs_in_order")
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallet_rollups.wallet_id"],
            name=op.f("fk_wallet_days_wallet_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "wallet_id", "day", "operation_type", name=op.f("pk_wallet_days")
        ),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "service_days",
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("operation_type", sa.String(length=20), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.CheckConstraint(
            "count >= 0", name=op.f("ck_service_days_count_not_negative")
        ),
        sa.PrimaryKeyConstraint(
            "currency", "day", "operation_type", name=op.f("pk_service_days")
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )


def downgrade() -> None:
    op.drop_table("heartbeats")
    op.drop_table("service_days")
    op.drop_table("wallet_days")
    op.drop_table("wallet_totals")
    op.drop_table("wallet_rollups")
