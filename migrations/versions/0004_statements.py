"""Statements: files of a wallet's entries, written in the background.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("format", sa.String(length=4), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column(
            "state", sa.String(length=10), server_default="pending", nullable=False
        ),
        sa.Column(
            "rows_written", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opening_balance", sa.Numeric(), nullable=True),
        sa.Column("closing_balance", sa.Numeric(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "from_at < to_at", name=op.f("ck_statements_period_in_order")
        ),
        sa.CheckConstraint(
            "after_seq >= 0 AND after_seq <= last_seq",
            name=op.f("ck_statements_seqs_in_order"),
        ),
        sa.CheckConstraint(
            "format IN ('csv', 'json', 'pdf')", name=op.f("ck_statements_format_known")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'ready', 'failed', 'expired')",
            name=op.f("ck_statements_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statements")),
        sa.UniqueConstraint(
            "wallet_id",
            "from_at",
            "to_at",
            "format",
            name=op.f("uq_statements_wallet_id_from_at_to_at_format"),
        ),
    )
    op.create_index(
        "ix_statements_unfinished",
        "statements",
        ["created_at"],
        postgresql_where=sa.text("state IN ('pending', 'running')"),
    )
    op.create_index(
        "ix_statements_expires_at",
        "statements",
        ["expires_at"],
        postgresql_where=sa.text("state = 'ready'"),
    )


def downgrade() -> None:
    op.drop_table("statements")
