"""The books watched: how far they are checked, and what did not agree.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def moment(name: str) -> sa.Column:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        server_default=sa.text("now()"),
        nullable=False,
    )


def number(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "books_sweeps",
        sa.Column("name", sa.String(length=20), nullable=False),
        moment("started_at"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        number("wallet_id"),
        number("seq"),
        sa.Column("balance", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "faulty", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        number("wallets"),
        number("entries"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_books_sweeps")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "books_mismatches",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        moment("found_at"),
        moment("seen_at"),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('history', 'transfer', 'version', 'balance')",
            name=op.f("ck_books_mismatches_kind_known"),
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"],
            ["wallets.id"],
            name=op.f("fk_books_mismatches_wallet_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_books_mismatches")),
        sa.UniqueConstraint(
            "wallet_id", "kind", name=op.f("uq_books_mismatches_wallet_id_kind")
        ),
    )
    op.create_index(
        "ix_books_mismatches_open",
        "books_mismatches",
        ["wallet_id"],
        postgresql_where=sa.text("cleared_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("books_mismatches")
    op.drop_table("books_sweeps")
