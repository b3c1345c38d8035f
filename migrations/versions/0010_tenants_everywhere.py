"""Tenants everywhere: what there is belongs to the default one.

Runs while the release before goes on working: those who move money wait for a moment at
most, and what that release writes and asks for is the default tenant's. For its ON
CONFLICT clauses the unique keys without a tenant stay until the next revision: let there
be no second tenant before.

Revision ID: 0010
Revises: 0009
"""

from wallet_app.database.schema_changes import (
    build_index,
    build_unique,
    drop_constraint,
    patiently,
    quickly,
    step_by_step,
)

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = (
    "wallets",
    "transactions",
    "journal",
    "feed",
    "wallet_rollups",
    "service_currencies",
    "service_days",
    "webhooks",
)
INDEXES = {
    "ix_wallets_tenant_id_created_at_uuid": "wallets (tenant_id, created_at, uuid)",
    "ix_wallet_rollups_tenant_id_last_seq": "wallet_rollups (tenant_id, last_seq)",
    "ix_webhooks_tenant_id": "webhooks (tenant_id)",
}
UNIQUE = {
    "uq_wallets_uuid_tenant_id": ("wallets", "uuid, tenant_id"),
    "uq_wallets_id_tenant_id": ("wallets", "id, tenant_id"),
    "uq_transactions_reference_id_tenant_id": (
        "transactions",
        "reference_id, tenant_id",
    ),
}
# Small tables: one lock will do.
OF_THE_SERVICE = {
    "service_currencies": "currency",
    "service_days": "currency, day, operation_type",
}
# In the order in which postings lock them; all at once, for a lesser lock that is raised
# later would wait for postings that wait for it.
BOTH = "LOCK TABLE wallets, transactions IN ACCESS EXCLUSIVE MODE"


def upgrade() -> None:
    with step_by_step():
        for table in TABLES:
            # A constant is kept beside the table: no row is written.
            quickly(
                f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS"
                " tenant_id integer DEFAULT 1 NOT NULL"
            )
        quickly(
            "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS"
            " events_dropped_to bigint DEFAULT 0 NOT NULL"
        )
        for name, place in INDEXES.items():
            build_index(name, place)
        for name, (table, columns) in UNIQUE.items():
            build_unique(name, table, columns)
        drop_constraint("uq_transactions_reference_id", "transactions")
        add_foreign_keys()
        # Only the relay waits for this one; the money goes to the journal.
        patiently(
            "CREATE INDEX IF NOT EXISTS ix_feed_tenant_id_position"
            " ON feed (tenant_id, position)"
        )
        for table, columns in OF_THE_SERVICE.items():
            # First, so that ON CONFLICT finds one at every moment.
            quickly(
                f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS uq_{table}",
                f"ALTER TABLE {table} ADD CONSTRAINT uq_{table} UNIQUE ({columns})",
            )
            change_key(table, f"tenant_id, {columns}")


def add_foreign_keys() -> None:
    drop_constraint("fk_wallets_tenant_id", "wallets")
    quickly(
        "ALTER TABLE wallets ADD CONSTRAINT fk_wallets_tenant_id"
        " FOREIGN KEY (tenant_id) REFERENCES tenants (id) NOT VALID"
    )
    patiently("ALTER TABLE wallets VALIDATE CONSTRAINT fk_wallets_tenant_id")
    refer(
        "fk_transactions_wallet_id_tenant_id", "wallet_id, tenant_id", "id, tenant_id"
    )
    refer_no_more("fk_transactions_wallet_id")


def refer(name: str, columns: str, to: str) -> None:
    """Let transactions refer to wallets; nobody waits while the rows are checked."""
    quickly(
        BOTH,
        f"ALTER TABLE transactions DROP CONSTRAINT IF EXISTS {name}",
        f"ALTER TABLE transactions ADD CONSTRAINT {name} FOREIGN KEY ({columns})"
        f" REFERENCES wallets ({to}) ON DELETE RESTRICT NOT VALID",
    )
    patiently(f"ALTER TABLE transactions VALIDATE CONSTRAINT {name}")


def refer_no_more(name: str) -> None:
    quickly(BOTH, f"ALTER TABLE transactions DROP CONSTRAINT IF EXISTS {name}")


def change_key(table: str, columns: str) -> None:
    quickly(
        f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS pk_{table}",
        f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({columns})",
    )


def downgrade() -> None:
    """Fails where a second tenant has used a reference of the first one."""
    with step_by_step():
        build_unique("uq_transactions_reference_id", "transactions", "reference_id")
        refer("fk_transactions_wallet_id", "wallet_id", "id")
        refer_no_more("fk_transactions_wallet_id_tenant_id")
        drop_constraint("fk_wallets_tenant_id", "wallets")
        for table, columns in OF_THE_SERVICE.items():
            change_key(table, columns)
            drop_constraint(f"uq_{table}", table)
        for name, (table, _) in UNIQUE.items():
            drop_constraint(name, table)
        for table in TABLES:
            # Their indexes go with them.
            quickly(f"ALTER TABLE {table} DROP COLUMN IF EXISTS tenant_id")
        quickly("ALTER TABLE tenants DROP COLUMN IF EXISTS events_dropped_to")
