"""What the reports must say, counted afresh from the transactions alone."""

from typing import Any

from sqlalchemy import Connection, text

TOTALS = """
    SELECT wallet_id, operation_type, count(*), sum(amount), min(amount), max(amount),
           min(created_at), max(created_at)
    FROM transactions JOIN wallet_rollups USING (wallet_id)
    WHERE seq <= last_seq GROUP BY 1, 2 ORDER BY 1, 2
"""
DAYS = """
    SELECT wallet_id, (created_at AT TIME ZONE 'UTC')::date AS day, operation_type,
           count(*), sum(amount), min(balance_after), max(balance_after),
           min(seq), max(seq)
    FROM transactions JOIN wallet_rollups USING (wallet_id)
    WHERE seq <= last_seq GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
SERVICE_DAYS = """
    SELECT currency, (transactions.created_at AT TIME ZONE 'UTC')::date AS day,
           operation_type, count(*), sum(amount), wallets.tenant_id
    FROM transactions JOIN wallet_rollups USING (wallet_id)
    JOIN wallets ON wallets.id = wallet_id
    WHERE seq <= last_seq GROUP BY 1, 2, 3, 6 ORDER BY 6, 1, 2, 3
"""
# Of the wallets that the rollup knows of, what they held as far as it has counted.
SERVICE_CURRENCIES = """
    SELECT currency, count(*), coalesce(sum(balance_after), 0), wallets.tenant_id
    FROM wallets LEFT JOIN wallet_rollups ON wallet_rollups.wallet_id = wallets.id
    LEFT JOIN transactions ON transactions.wallet_id = wallets.id AND seq = last_seq
    WHERE wallets.id NOT IN (
        SELECT unnest(wallet_ids) FROM journal WHERE kind = 'created'
        UNION ALL SELECT unnest(wallet_ids) FROM feed WHERE kind = 'created'
        AND position > coalesce(
            (SELECT position FROM feed_readers WHERE name = 'rollup'), 0)
    ) GROUP BY 1, 4 ORDER BY 4, 1
"""
COUNTED = {
    "wallet_totals": (TOTALS, "wallet_id, operation_type"),
    "wallet_days": (DAYS, "wallet_id, day, operation_type"),
    "service_currencies": (SERVICE_CURRENCIES, "tenant_id, currency"),
    "service_days": (SERVICE_DAYS, "tenant_id, currency, day, operation_type"),
}


def differences(connection: Connection) -> dict[str, Any]:
    """The rollup tables that differ from a fresh count up to their last_seq."""
    found = {}
    for table, (recount, order) in COUNTED.items():
        stored = connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}"))
        expected = connection.execute(text(recount))
        if (stored := stored.all()) != (expected := expected.all()):
            found[table] = (stored, expected)
    return found
