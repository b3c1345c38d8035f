"""Changed wallets are told of from now on: see CAN_BE_TOLD in wallet_app/ledger/told.py.

Revision ID: 0022
Revises: 0021

After the processes of the release before are gone: they know no such event, and would
fail at it or take the wallet for a new one.
"""

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """That it is applied is all."""


def downgrade() -> None:
    """From now on they are told of no more."""
