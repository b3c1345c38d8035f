"""Holds: money of a wallet that is promised.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

OPEN = sa.text("status = 'open'")
GUARDS = {
    "no_more_than_held": "amount > 0 AND captured >= 0 AND released >= 0"
    " AND captured + released <= amount",
    "ended_if_nothing_is_left": "(status = 'open') = (captured + released < amount)",
    "captured_if_any_was": (
        "(status = 'captured') = (status <> 'open' AND captured > 0)"
    ),
    "status_known": "status IN ('open', 'captured', 'voided', 'expired')",
    "closed_by_known": "CASE WHEN status = 'open' THEN closed_by IS NULL"
    " ELSE closed_by IS NOT NULL"
    " AND closed_by IN ('capture', 'void', 'expiry') END",
}


def number(name: str) -> sa.Column:
    return sa.Column(name, sa.Numeric(), nullable=False)


def moment(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def state() -> tuple[sa.Column, ...]:
    return (
        number("amount"),
        number("captured"),
        number("released"),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("closed_by", sa.String(length=10), nullable=True),
        moment("expires_at", nullable=True),
        moment("updated_at"),
    )


def upgrade() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        *state(),
        sa.Column("description", sa.Text(), nullable=True),
        moment("created_at"),
        *(
            sa.CheckConstraint(condition, name=op.f(f"ck_holds_{name}"))
            for name, condition in GUARDS.items()
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id", "tenant_id"],
            ["wallets.id", "wallets.tenant_id"],
            name="fk_holds_wallet_id_tenant_id",
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", "tenant_id", name=op.f("pk_holds")),
        postgresql_with={"fillfactor": 70},
    )
    for name, columns, only_open in (
        ("ix_holds_due", ["wallet_id", "expires_at"], True),
        ("ix_holds_overdue", ["expires_at"], True),
        ("ix_holds_tenant_id_created_at_id", ["tenant_id", "created_at", "id"], False),
        ("ix_holds_wallet_id_created_at_id", ["wallet_id", "created_at", "id"], False),
        ("ix_holds_open", ["tenant_id", "created_at", "id"], True),
        ("ix_holds_wallet_open", ["wallet_id", "created_at", "id"], True),
    ):
        where = {"postgresql_where": OPEN} if only_open else {}
        op.create_index(name, "holds", columns, **where)
    op.create_table(
        "hold_steps",
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        *state(),
        number("asked_amount"),
        moment("asked_expires_at", nullable=True),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hold_id", "tenant_id"],
            ["holds.id", "holds.tenant_id"],
            name="fk_hold_steps_hold_id_tenant_id",
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("wallet_id", "seq", name=op.f("pk_hold_steps")),
    )


def downgrade() -> None:
    held = sa.text("SELECT FROM wallets WHERE held <> 0 LIMIT 1")
    if op.get_bind().execute(held).first():
        raise RuntimeError("Money is held: end all holds first.")
    op.drop_table("hold_steps")
    op.drop_table("holds")
