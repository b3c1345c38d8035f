"""The tables and queues of the PostgreSQL broker, which kombu would make itself.

Made here, because two processes that start at once would both try to.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("queue_id_sequence")))
    op.execute(sa.schema.CreateSequence(sa.Sequence("message_id_sequence")))
    queues = op.create_table(
        "kombu_queue",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(200), unique=True),
    )
    op.create_table(
        "kombu_message",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("visible", sa.Boolean(), index=True),
        sa.Column("timestamp", sa.DateTime(), index=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column(
            "queue_id",
            sa.Integer(),
            sa.ForeignKey("kombu_queue.id", name="FK_kombu_message_queue"),
        ),
        sa.Index("ix_kombu_message_timestamp_id", "timestamp", "id"),
    )
    for name in ("rollups", "statements", "celery"):
        next_id = sa.func.nextval("queue_id_sequence")
        op.execute(queues.insert().values(id=next_id, name=name))


def downgrade() -> None:
    op.drop_table("kombu_message")
    op.drop_table("kombu_queue")
    op.execute(sa.schema.DropSequence(sa.Sequence("message_id_sequence")))
    op.execute(sa.schema.DropSequence(sa.Sequence("queue_id_sequence")))
