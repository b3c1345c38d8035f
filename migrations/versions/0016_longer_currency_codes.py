"""Codes of currencies may have 12 letters.

Revision ID: 0016
Revises: 0015

After the processes of the release before are gone: what they have prepared would be
refused, because PostgreSQL takes a column of another length for another result.
"""

import sqlalchemy as sa
from alembic import op

from wallet_app.database.schema_changes import quickly, step_by_step

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = ("wallets", "service_currencies", "service_days")


def set_length(length: int) -> None:
    for table in TABLES:
        # A longer limit is noted in the catalogue; neither rows nor indexes are read.
        quickly(
            "\n-- squawk-ignore changing-column-type\n"
            f"ALTER TABLE {table} ALTER currency TYPE varchar({length})"
        )


def upgrade() -> None:
    with step_by_step():
        set_length(12)


def downgrade() -> None:
    long_codes = sa.text("SELECT FROM wallets WHERE length(currency) > 3 LIMIT 1")
    if op.get_bind().execute(long_codes).first():
        raise RuntimeError("Wallets hold currencies with codes above 3 letters.")
    with step_by_step():
        set_length(3)
