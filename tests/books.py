"""What must be true of the tables at every moment, whatever has happened."""

from sqlalchemy import text

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated

# Children first. DELETE, not a rolled back savepoint: commits and threads are real.
TABLES_IN_DELETE_ORDER = (
    "audit_log",
    "api_keys",
    "books_mismatches",
    "books_sweeps",
    "webhook_deliveries",
    "webhooks",
    "statements",
    "imports",
    "heartbeats",
    "service_currencies",
    "service_days",
    "feed",
    "feed_readers",
    "journal",
    "told_wallets",
    "wallet_days",
    "wallet_totals",
    "wallet_rollups",
    "refunds",
    "refunded_operations",
    "hold_steps",
    "holds",
    "transactions",
    "wallet_labels",
    "wallet_details",
    "wallets",
    "kombu_message",
)

WALLETS_THAT_DIFFER_FROM_THEIR_HISTORY = """
    SELECT wallets.uuid, balance, version, history.*
    FROM wallets
    LEFT JOIN (
        SELECT wallet_id, count(*) AS count, max(seq) AS last_seq,
               sum(balance_after - balance_before) AS total,
               max(created_at) AS last_at
        FROM transactions GROUP BY wallet_id
    ) AS history ON history.wallet_id = wallets.id
    WHERE version <> coalesce(history.count, 0)
       OR version <> coalesce(history.last_seq, 0)
       OR balance <> coalesce(history.total, 0)
       OR updated_at < history.last_at
"""
WALLETS_THAT_HOLD_WHAT_NO_HOLD_HAS = """
    SELECT wallets.uuid, wallets.held, open.rest FROM wallets
    LEFT JOIN (
        SELECT wallet_id, sum(amount - captured - released) AS rest,
               min(expires_at) AS first
        FROM holds WHERE status = 'open' GROUP BY wallet_id
    ) AS open ON open.wallet_id = wallets.id
    WHERE wallets.held <> coalesce(open.rest, 0)
       OR coalesce(wallets.next_expiry > open.first, open.first IS NOT NULL)
"""
HOLDS_THAT_DIFFER_FROM_THEIR_ENTRIES = """
    SELECT holds.id FROM holds LEFT JOIN (
        SELECT tenant_id, coalesce(parent_reference_id, reference_id) AS id,
               sum(CASE WHEN operation_type IN ('HOLD', 'HOLD_INCREASE') THEN amount
                        ELSE 0 END) AS amount,
               sum(CASE WHEN operation_type = 'CAPTURE' THEN amount ELSE 0 END)
                   AS captured,
               sum(held_after - held_before) AS rest, max(seq) AS last_seq
        FROM transactions
        WHERE operation_type IN ('HOLD', 'HOLD_INCREASE', 'HOLD_EXTEND', 'CAPTURE',
                                 'VOID', 'EXPIRY')
        GROUP BY 1, 2
    ) AS history ON history.id = holds.id AND history.tenant_id = holds.tenant_id
    LEFT JOIN hold_steps AS last
    ON last.wallet_id = holds.wallet_id AND last.seq = history.last_seq
    WHERE (history.amount, history.captured, history.rest)
          IS DISTINCT FROM (holds.amount, holds.captured,
                            holds.amount - holds.captured - holds.released)
       OR (last.hold_id, last.status, last.amount, last.captured, last.released,
           last.closed_by, last.expires_at)
          IS DISTINCT FROM (holds.id, holds.status, holds.amount, holds.captured,
                            holds.released, holds.closed_by, holds.expires_at)
"""
ORIGINALS_THAT_DIFFER_FROM_THEIR_REFUNDS = """
    SELECT * FROM (
        SELECT tenant_id, parent_reference_id AS reference_id, sum(amount) AS refunded,
               count(*) AS times
        FROM transactions
        WHERE operation_type IN ('REFUND_OUT', 'REFUND_IN')
          AND reference_id IS NOT NULL
        GROUP BY 1, 2
    ) AS history
    FULL JOIN refunded_operations AS noted USING (tenant_id, reference_id)
    LEFT JOIN transactions AS original USING (tenant_id, reference_id)
    LEFT JOIN (
        SELECT tenant_id, refund_of AS reference_id, max(refunded) AS refunded,
               count(*) AS times
        FROM refunds GROUP BY 1, 2
    ) AS steps USING (tenant_id, reference_id)
    WHERE history.refunded IS DISTINCT FROM noted.refunded
       OR steps.refunded IS DISTINCT FROM noted.refunded
       OR steps.times IS DISTINCT FROM history.times
       OR noted.amount IS DISTINCT FROM original.amount
       OR noted.refunded > original.amount
"""
STEPS_THAT_DO_NOT_CHAIN = """
    SELECT * FROM (
        SELECT *,
               row_number() OVER steps AS place,
               lag(balance_after, 1, 0.0) OVER steps AS left_by_previous,
               lag(held_after, 1, 0.0) OVER steps AS held_by_previous,
               lag(created_at) OVER steps AS previous_at
        FROM transactions WINDOW steps AS (PARTITION BY wallet_id ORDER BY seq)
    ) AS step
    WHERE seq <> place
       OR balance_before <> left_by_previous
       OR held_before <> held_by_previous
       OR created_at < previous_at
"""
TRANSFERS_WITHOUT_TWO_MATCHING_ENTRIES = """
    SELECT transfer_id FROM transactions JOIN wallets ON wallets.id = wallet_id
    WHERE transfer_id IS NOT NULL
    GROUP BY transfer_id, wallets.tenant_id
    HAVING count(*) <> 2
        OR count(DISTINCT amount) <> 1
        OR string_agg(operation_type, ',' ORDER BY operation_type)
           NOT IN ('TRANSFER_IN,TRANSFER_OUT', 'CAPTURE,CAPTURE_IN',
                   'REFUND_IN,REFUND_OUT')
        OR min(wallet_id) = max(wallet_id)
        OR min(uuid::text) <> min(counterparty_uuid::text)
        OR max(uuid::text) <> max(counterparty_uuid::text)
        OR sum(balance_after - balance_before) <> 0
        OR count(reference_id) <> 1
        OR bool_or(reference_id <> transfer_id)
"""
# A transaction's tenant is its wallet's, and no money goes from one to another.
TENANTS_THAT_MEET = """
    SELECT transactions.id FROM transactions JOIN wallets ON wallets.id = wallet_id
    WHERE transactions.tenant_id <> wallets.tenant_id
    UNION ALL
    SELECT min(id) FROM transactions WHERE transfer_id IS NOT NULL
    GROUP BY transfer_id, tenant_id HAVING count(*) <> 2
    UNION ALL
    SELECT min(id) FROM transactions WHERE reference_id IS NOT NULL
    GROUP BY reference_id, tenant_id HAVING count(*) <> 1
    UNION ALL
    SELECT wallets.id FROM wallet_rollups JOIN wallets ON wallets.id = wallet_id
    WHERE wallet_rollups.tenant_id <> wallets.tenant_id
"""
# An event's tenant is its wallet's.
EVENTS_OF_ANOTHER_TENANT = """
    SELECT told.* FROM (
        SELECT tenant_id, unnest(wallet_ids) AS wallet_id FROM journal
        UNION ALL SELECT tenant_id, unnest(wallet_ids) FROM feed
    ) AS told JOIN wallets ON wallets.id = wallet_id
    WHERE told.tenant_id <> wallets.tenant_id
"""
# Each entry is told of once: in the journal, or with a position in the feed; or it came
# past the journal, which a note of its wallet says.
ENTRIES_NOT_TOLD_OF_ONCE = """
    WITH told AS (
        SELECT e.* FROM journal, unnest(wallet_ids, seqs) AS e (wallet_id, seq)
        WHERE kind = 'posted'
        UNION ALL
        SELECT e.* FROM feed, unnest(wallet_ids, seqs) AS e (wallet_id, seq)
        WHERE kind = 'posted'
    )
    SELECT coalesce(told.wallet_id, posted.wallet_id), coalesce(told.seq, posted.seq)
    FROM told FULL JOIN transactions AS posted
    ON posted.wallet_id = told.wallet_id AND posted.seq = told.seq
    GROUP BY 1, 2 HAVING count(told.seq) <> 1 OR count(posted.seq) <> 1
"""
EVENTS_OUT_OF_PLACE = """
    WITH places AS (
        SELECT position, kind, wallet_id, seq,
               row_number() OVER (ORDER BY position, place) AS expected_position,
               position + place - 1 AS event_position,
               row_number() OVER (PARTITION BY wallet_id, kind
                                  ORDER BY position, place) AS expected_seq
        FROM feed, unnest(wallet_ids, seqs) WITH ORDINALITY AS e (wallet_id, seq, place)
    )
    SELECT * FROM places
    WHERE event_position <> expected_position
       OR (kind = 'posted' AND seq <> expected_seq)
"""


@repeated
def empty() -> None:
    """Delete everything."""
    with transaction() as connection:
        for table in TABLES_IN_DELETE_ORDER:
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("UPDATE tenants SET events_dropped_to = 0"))
        # The default tenant comes with the schema.
        connection.execute(text("DELETE FROM tenants WHERE id <> 1"))


def check() -> None:
    """Every wallet is what its gap-free history adds up to."""
    with reading() as session:
        for statement in (
            WALLETS_THAT_DIFFER_FROM_THEIR_HISTORY,
            STEPS_THAT_DO_NOT_CHAIN,
            TRANSFERS_WITHOUT_TWO_MATCHING_ENTRIES,
            TENANTS_THAT_MEET,
            EVENTS_OF_ANOTHER_TENANT,
            ORIGINALS_THAT_DIFFER_FROM_THEIR_REFUNDS,
            WALLETS_THAT_HOLD_WHAT_NO_HOLD_HAS,
            HOLDS_THAT_DIFFER_FROM_THEIR_ENTRIES,
        ):
            assert session.execute(text(statement)).all() == []


def contents() -> list[tuple[str, ...]]:
    """A fingerprint of all that is stored about money."""
    with reading() as session:
        return [
            tuple(session.execute(text(f"SELECT {table}::text FROM {table}")).scalars())
            for table in ("wallets", "transactions")
        ]
