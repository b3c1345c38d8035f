"""Limits of wallets: the largest balance and operation, velocity.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def of_wallet(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["wallet_id", "tenant_id"],
        ["wallets.id", "wallets.tenant_id"],
        name=f"fk_{table}_wallet_id_tenant_id",
        ondelete="CASCADE",
    )


def upgrade() -> None:
    op.create_table(
        "wallet_limits",
        sa.Column("wallet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("maximum_balance", sa.Numeric(), nullable=True),
        sa.Column("largest_operation", sa.Numeric(), nullable=True),
        sa.CheckConstraint(
            "maximum_balance >= 0 AND largest_operation > 0",
            name=op.f("ck_wallet_limits_limits_positive"),
        ),
        of_wallet("wallet_limits"),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_wallet_limits")),
    )
    op.create_table(
        "wallet_velocities",
        sa.Column("wallet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period", sa.String(length=5), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("max_count", sa.BigInteger(), nullable=True),
        sa.Column("max_amount", sa.Numeric(), nullable=True),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "count", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("amount", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "period IN ('hour', 'day', 'month')",
            name=op.f("ck_wallet_velocities_period_known"),
        ),
        sa.CheckConstraint(
            "max_count > 0 AND max_amount > 0 AND count >= 0 AND amount >= 0",
            name=op.f("ck_wallet_velocities_velocity_positive"),
        ),
        of_wallet("wallet_velocities"),
        sa.PrimaryKeyConstraint(
            "wallet_id", "period", name=op.f("pk_wallet_velocities")
        ),
        postgresql_with={"fillfactor": 50},
    )


def downgrade() -> None:
    limited = sa.text("SELECT FROM wallets WHERE limited LIMIT 1")
    if op.get_bind().execute(limited).first():
        raise RuntimeError("Wallets have limits: take them away first.")
    op.drop_table("wallet_velocities")
    op.drop_table("wallet_limits")
