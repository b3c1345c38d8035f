"""Imports: files of operations, their lines, and what became of each.

Revision ID: 0020
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def number(name: str, first: int = 0) -> sa.Column:
    return sa.Column(
        name, sa.BigInteger(), server_default=sa.text(str(first)), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.Uuid(), nullable=True),
        sa.Column("format", sa.String(length=6), nullable=False),
        sa.Column("columns", sa.ARRAY(sa.String()), nullable=True),
        sa.Column(
            "state", sa.String(length=10), server_default="receiving", nullable=False
        ),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        number("size_bytes"),
        number("rows"),
        number("end_line", 1),
        number("next_line", 1),
        number("bytes_done"),
        number("applied"),
        number("replayed"),
        number("refused"),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column(
            "created_at", MOMENT, server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "format IN ('csv', 'ndjson')", name=op.f("ck_imports_format_known")
        ),
        sa.CheckConstraint(
            "state IN ('receiving', 'pending', 'running', 'finished', 'failed',"
            " 'cancelled', 'expired')",
            name=op.f("ck_imports_state_known"),
        ),
        sa.CheckConstraint(
            "applied >= 0 AND replayed >= 0 AND refused >= 0"
            " AND applied + replayed + refused <= rows",
            name=op.f("ck_imports_rows_add_up"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.UniqueConstraint(
            "tenant_id",
            "idempotency_key",
            name=op.f("uq_imports_tenant_id_idempotency_key"),
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        op.f("ix_imports_tenant_id_created_at_id"),
        "imports",
        ["tenant_id", "created_at", "id"],
    )
    for name, column, states in (
        ("unfinished", "created_at", "'receiving', 'pending', 'running'"),
        ("expires_at", "expires_at", "'finished', 'failed', 'cancelled'"),
    ):
        op.create_index(
            f"ix_imports_{name}",
            "imports",
            [column],
            postgresql_where=sa.text(f"state IN ({states})"),
        )
    for name in ("import_chunks", "import_outcomes"):
        op.create_table(
            name,
            sa.Column("import_id", sa.Uuid(), nullable=False),
            sa.Column("first_line", sa.BigInteger(), nullable=False),
            sa.Column("data", sa.LargeBinary(), nullable=False),
            sa.ForeignKeyConstraint(
                ["import_id"],
                ["imports.id"],
                name=op.f(f"fk_{name}_import_id"),
                ondelete="CASCADE",
            ),
            sa.PrimaryKeyConstraint("import_id", "first_line", name=op.f(f"pk_{name}")),
        )
        # Compressing them costs more than it saves: they are written and read once.
        op.execute(f"ALTER TABLE {name} ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("import_outcomes")
    op.drop_table("import_chunks")
    op.drop_table("imports")
