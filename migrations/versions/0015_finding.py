"""Finding: whose wallets are, what they are called; operations by time and metadata.

Revision ID: 0015
Revises: 0014

New tables, and indexes that are built while the service works: no row is written anew.
"""

from wallet_app.database.schema_changes import (
    build_index,
    patiently,
    quickly,
    step_by_step,
)

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# In the order of their foreign keys.
TABLES = {
    "wallet_details": (
        "wallet_id bigint NOT NULL",
        "tenant_id integer NOT NULL",
        "uuid uuid NOT NULL",
        "created_at timestamptz NOT NULL",
        "owner varchar(200)",
        "name varchar(200)",
        "labels varchar(64)[] NOT NULL DEFAULT '{}'",
        "metadata jsonb",
        "CONSTRAINT pk_wallet_details PRIMARY KEY (wallet_id)",
        "CONSTRAINT fk_wallet_details_wallet_id_tenant_id"
        " FOREIGN KEY (wallet_id, tenant_id) REFERENCES wallets (id, tenant_id)"
        " ON DELETE CASCADE",
    ),
    "wallet_labels": (
        "tenant_id integer NOT NULL",
        "label varchar(64) NOT NULL",
        "created_at timestamptz NOT NULL",
        "uuid uuid NOT NULL",
        "wallet_id bigint NOT NULL",
        "CONSTRAINT pk_wallet_labels PRIMARY KEY (tenant_id, label, created_at, uuid)",
        "CONSTRAINT fk_wallet_labels_wallet_id FOREIGN KEY (wallet_id)"
        " REFERENCES wallet_details (wallet_id) ON DELETE CASCADE",
    ),
}
# None on what an operation changes in a wallet.
INDEXES = {
    "ix_wallet_details_tenant_id_owner_created_at_uuid": "wallet_details"
    " (tenant_id, owner, created_at, uuid) WHERE owner IS NOT NULL",
    "ix_wallet_details_tenant_id_name_uuid": "wallet_details"
    " (tenant_id, name, uuid) WHERE name IS NOT NULL",
    "ix_wallet_labels_wallet_id": "wallet_labels (wallet_id)",
    "ix_wallets_tenant_id_currency_created_at_uuid": "wallets"
    " (tenant_id, currency, created_at, uuid)",
    "ix_wallets_tenant_id_status_created_at_uuid": "wallets"
    " (tenant_id, status, created_at, uuid) WHERE status <> 'active'",
    "ix_transactions_tenant_id_created_at_id": "transactions"
    " (tenant_id, created_at, id)",
    # Each posting keeps it up at once: none has to tidy what others have left.
    "ix_transactions_metadata": "transactions USING gin (metadata jsonb_path_ops)"
    " WITH (fastupdate = off) WHERE metadata IS NOT NULL",
}


def upgrade() -> None:
    with step_by_step():
        for name, members in TABLES.items():
            quickly(f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(members)})")
        for name, place in INDEXES.items():
            build_index(name, place)


def downgrade() -> None:
    with step_by_step():
        for name in INDEXES:
            patiently(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        for name in reversed(TABLES):
            quickly(f"DROP TABLE IF EXISTS {name}")
