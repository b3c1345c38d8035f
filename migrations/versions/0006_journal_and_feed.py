"""The journal, the feed, and the service's currencies.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("wallet_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column(
            "seqs",
            postgresql.ARRAY(sa.BigInteger()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('posted', 'created', 'behind')",
            name=op.f("ck_journal_kind_known"),
        ),
        sa.CheckConstraint(
            "kind <> 'posted' OR cardinality(wallet_ids) = cardinality(seqs)",
            name=op.f("ck_journal_a_seq_for_each"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        postgresql_with={
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 5000,
        },
    )
    op.create_table(
        "feed",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fed_on", sa.Date(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("wallet_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("seqs", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("count > 0", name=op.f("ck_feed_count_positive")),
        sa.PrimaryKeyConstraint("position", "fed_on", name=op.f("pk_feed")),
        postgresql_partition_by="RANGE (fed_on)",
    )
    op.create_table(
        "feed_readers",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column(
            "position", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed_readers")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "service_currencies",
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column(
            "wallets", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("balance", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("currency", name=op.f("pk_service_currencies")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(op.f("ix_wallet_rollups_last_seq"), "wallet_rollups", ["last_seq"])
    take_over()


def take_over() -> None:
    """Begin with what there is: what is counted, and a note of what is not."""
    op.execute("INSERT INTO feed_readers (name) VALUES ('relay'), ('rollup')")
    op.execute(
        "INSERT INTO service_currencies (currency, wallets, balance)"
        " SELECT currency, count(*), coalesce(sum(counted.balance_after), 0)"
        " FROM wallets LEFT JOIN wallet_rollups ON wallet_rollups.wallet_id = wallets.id"
        " LEFT JOIN transactions AS counted ON counted.wallet_id = wallets.id"
        " AND counted.seq = wallet_rollups.last_seq GROUP BY currency"
    )
    op.execute(
        "INSERT INTO journal (kind, wallet_ids)"
        " SELECT 'behind', array_agg(id) FROM ("
        "  SELECT id, (row_number() OVER (ORDER BY id) - 1) / 500 AS part"
        "  FROM wallets LEFT JOIN wallet_rollups ON wallet_id = id"
        "  WHERE version > coalesce(last_seq, 0)"
        " ) AS uncounted GROUP BY part ORDER BY part"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_wallet_rollups_last_seq"), table_name="wallet_rollups")
    op.drop_table("service_currencies")
    op.drop_table("feed_readers")
    op.drop_table("feed")
    op.drop_table("journal")
