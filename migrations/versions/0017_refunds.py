"""Refunds: what has been given back of an operation.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def key() -> tuple[sa.Column, ...]:
    return (
        sa.Column("reference_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
    )


def number(name: str) -> sa.Column:
    return sa.Column(name, sa.Numeric(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "refunded_operations",
        *key(),
        number("amount"),
        number("refunded"),
        sa.CheckConstraint(
            "refunded >= 0 AND refunded <= amount",
            name=op.f("ck_refunded_operations_no_more_than_the_original"),
        ),
        sa.PrimaryKeyConstraint(
            "reference_id", "tenant_id", name=op.f("pk_refunded_operations")
        ),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "refunds",
        *key(),
        sa.Column("refund_of", sa.Uuid(), nullable=False),
        number("refunded"),
        number("asked_amount"),
        sa.ForeignKeyConstraint(
            ["refund_of", "tenant_id"],
            ["refunded_operations.reference_id", "refunded_operations.tenant_id"],
            name="fk_refunds_refund_of_tenant_id",
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("reference_id", "tenant_id", name=op.f("pk_refunds")),
        sa.UniqueConstraint(
            "refund_of",
            "tenant_id",
            "refunded",
            name=op.f("uq_refunds_refund_of_tenant_id_refunded"),
        ),
    )


def downgrade() -> None:
    used = sa.text("SELECT FROM refunded_operations LIMIT 1")
    if op.get_bind().execute(used).first():
        raise RuntimeError("The release before knows no refunds.")
    op.drop_table("refunds")
    op.drop_table("refunded_operations")
