"""The broker's tables in PostgreSQL, where kombu never deletes a message."""

from sqlalchemy import text

from wallet_app.database import transaction
from wallet_app.database.conflicts import repeated

ROWS_A_STATEMENT = 10_000
# Delivered messages only. SKIP LOCKED: a message that is being delivered comes later.
PRUNE = text(
    "DELETE FROM kombu_message WHERE id IN ("
    " SELECT id FROM kombu_message WHERE visible = false"
    " ORDER BY id LIMIT :rows FOR UPDATE SKIP LOCKED)"
)


@repeated
def prune() -> int:
    """Delete delivered messages, a bounded number; return how many."""
    with transaction() as connection:
        result = connection.execute(PRUNE, {"rows": ROWS_A_STATEMENT})
        return result.rowcount
