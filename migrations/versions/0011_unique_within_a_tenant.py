"""Keys are unique within a tenant only: the ones without a tenant go.

The release before tenants cannot create wallets or count behind this revision. To
replace it while it works: `flask db upgrade 0010`, replace it, `flask db upgrade`.

Revision ID: 0011
Revises: 0010
"""

from wallet_app.database.schema_changes import (
    build_index,
    build_unique,
    drop_constraint,
    patiently,
    quickly,
    step_by_step,
)

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OF_THE_SERVICE = {
    "service_currencies": "currency",
    "service_days": "currency, day, operation_type",
}
INDEXES = {
    "ix_wallets_created_at_uuid": "wallets (created_at, uuid)",
    "ix_wallet_rollups_last_seq": "wallet_rollups (last_seq)",
}


def upgrade() -> None:
    with step_by_step():
        drop_constraint("uq_wallets_uuid", "wallets")
        for table in OF_THE_SERVICE:
            drop_constraint(f"uq_{table}", table)
        for name in INDEXES:
            patiently(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def downgrade() -> None:
    """Fails where two tenants have a wallet with the same uuid."""
    with step_by_step():
        build_unique("uq_wallets_uuid", "wallets", "uuid")
        for table, columns in OF_THE_SERVICE.items():
            # What the rollup has counted of other tenants, it counts anew.
            quickly(f"ALTER TABLE {table} ADD CONSTRAINT uq_{table} UNIQUE ({columns})")
        for name, place in INDEXES.items():
            build_index(name, place)
