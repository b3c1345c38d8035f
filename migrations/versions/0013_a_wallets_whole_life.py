"""Room in wallets and their histories for what is held, limits, and states.

Revision ID: 0013
Revises: 0012

Nothing is rewritten: the columns come with constants, the guards are checked after they
are there. Processes of the release before may go on meanwhile; let nobody hold money
until they are gone, because they do not know that it is not to be spent.
"""

import sqlalchemy as sa
from alembic import op

from wallet_app.database.schema_changes import (
    build_index,
    patiently,
    quickly,
    step_by_step,
)

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = {
    "wallets": (
        "held numeric NOT NULL DEFAULT 0",
        "minimum_balance numeric NOT NULL DEFAULT 0",
        "next_expiry timestamptz",
        "blocks varchar(3)",
        "limited boolean NOT NULL DEFAULT false",
        "revision bigint NOT NULL DEFAULT 0",
    ),
    "transactions": (
        "held_before numeric NOT NULL DEFAULT 0",
        "held_after numeric NOT NULL DEFAULT 0",
        "parent_reference_id uuid",
        "metadata jsonb",
    ),
}
IN = "'DEPOSIT', 'TRANSFER_IN'"
OUT = "'WITHDRAW', 'TRANSFER_OUT'"
# By table: the name of each guard, what it demands now, what it did before. They are few,
# because each statement on a table reads all of its guards.
GUARDS = {
    "wallets": {
        "available_not_negative": (
            "held >= 0 AND (balance - held >= 0 OR balance - held >= minimum_balance)",
            None,
        ),
        "balance_not_negative": (None, "balance >= 0"),
        "status_known": (
            "status = 'active' OR status = 'frozen'"
            " OR (status = 'closed' AND balance = 0)",
            "status IN ('active', 'frozen')",
        ),
    },
    "transactions": {
        # The last capture of a hold gives back what it leaves of it.
        "entry_adds_up": (
            "held_after >= 0 AND CASE"
            f" WHEN operation_type IN ({IN}, 'CAPTURE_IN', 'REFUND_IN')"
            " THEN balance_after - balance_before = amount"
            " AND held_after = held_before"
            f" WHEN operation_type IN ({OUT}, 'REFUND_OUT')"
            " THEN balance_after - balance_before = -amount"
            " AND held_after = held_before"
            " WHEN balance_after <> balance_before"
            " THEN operation_type IN ('CAPTURE')"
            " AND balance_after - balance_before = -amount"
            " AND held_after - held_before <= -amount"
            " WHEN operation_type IN ('HOLD', 'HOLD_INCREASE')"
            " THEN held_after - held_before = amount"
            " WHEN operation_type IN ('VOID', 'EXPIRY')"
            " THEN held_after - held_before = -amount"
            " ELSE operation_type IN ('HOLD_EXTEND') AND held_after = held_before END",
            None,
        ),
        # An overdraft may be agreed upon: the wallet's own guard knows of it.
        "balance_not_negative": (None, "balance_after >= 0"),
        "operation_type_known": (None, f"operation_type IN ({IN}, {OUT})"),
        "balance_moves_by_amount": (
            None,
            f"balance_after - balance_before = CASE WHEN operation_type IN ({IN})"
            f" THEN amount WHEN operation_type IN ({OUT}) THEN -amount END",
        ),
    },
}
PARENT_INDEX = "ix_transactions_parent_reference_id"


def guard(table: str, name: str, condition: str | None) -> None:
    """Replace a guard, or drop it."""
    full_name = f"ck_{table}_{name}"
    # What takes its place stands in the same transaction, or guards the same.
    dropped = (
        "\n-- squawk-ignore ban-drop-constraint\n"
        f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {full_name}"
    )
    if condition is None:
        quickly(dropped)
        return
    quickly(
        dropped,
        f"ALTER TABLE {table} ADD CONSTRAINT {full_name} CHECK ({condition}) NOT VALID",
    )
    patiently(f"ALTER TABLE {table} VALIDATE CONSTRAINT {full_name}")


def upgrade() -> None:
    with step_by_step():
        for table, columns in COLUMNS.items():
            added = ", ".join(f"ADD COLUMN IF NOT EXISTS {one}" for one in columns)
            quickly(f"ALTER TABLE {table} {added}")
        for table, guards in GUARDS.items():
            for name, (now, _) in guards.items():
                guard(table, name, now)
        build_index(
            PARENT_INDEX,
            "transactions (parent_reference_id) WHERE parent_reference_id IS NOT NULL",
        )


def downgrade() -> None:
    used = sa.text(
        "SELECT FROM wallets WHERE held <> 0 OR balance < 0 OR status = 'closed'"
        " UNION ALL SELECT FROM transactions WHERE operation_type <> ALL(:known) LIMIT 1"
    )
    known = ["DEPOSIT", "TRANSFER_IN", "WITHDRAW", "TRANSFER_OUT"]
    if op.get_bind().execute(used, {"known": known}).first():
        raise RuntimeError("The release before knows no holds, refunds and limits.")
    with step_by_step():
        patiently(f"DROP INDEX CONCURRENTLY IF EXISTS {PARENT_INDEX}")
        for table, guards in GUARDS.items():
            for name, (_, before) in guards.items():
                guard(table, name, before)
        for table, columns in COLUMNS.items():
            dropped = ", ".join(
                f"DROP COLUMN IF EXISTS {one.split()[0]}" for one in columns
            )
            quickly(f"ALTER TABLE {table} {dropped}")
