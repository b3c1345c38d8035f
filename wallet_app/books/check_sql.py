"""Adds histories up again, in one statement, and so in one snapshot."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Numeric,
    String,
    bindparam,
    select,
    text,
)

from wallet_app.ledger.operation_types import (
    INCOMING,
    OUTGOING,
    REFUNDS,
    OperationType,
)
from wallet_app.ledger.sql import WALLETS

# Entries that are never alone; a capture may lead out of the service.
PAIRED = [
    entry
    for operation in OperationType
    if len(operation.entry_types) == 2
    for field, entry in zip(operation.wallet_fields, operation.entry_types, strict=True)
    if field in operation.optional_fields or not operation.optional_fields
]

# The wallets that come next, with the numbers of their entries.
NEXT_WALLETS = (
    select(WALLETS.id, WALLETS.version)
    .where(WALLETS.id >= bindparam("wallet_id", type_=BigInteger))
    .order_by(WALLETS.id)
    .limit(bindparam("limit", type_=Integer))
)

# Each wallet with up to `most` of its entries behind a seq. What is wrong with an
# entry: its place in the gap-free row, what it begins with, what it adds; and of a
# transfer, that there is one other entry, which says the opposite. Of a refund: it is
# noted with what had been refunded before it, and the last with all that has been; so
# what is noted of an operation is what its refunds add up to.
CHECK_SQL = """
WITH span AS MATERIALIZED (
    SELECT wallets.id, wallets.uuid, wallets.balance, wallets.version, wallets.held,
           given.after_seq, given.after_balance,
           least(wallets.version, given.after_seq + given.most) AS to_seq
    FROM unnest(:wallet_ids, :after_seqs, :after_balances, :mosts)
         AS given (wallet_id, after_seq, after_balance, most)
    JOIN wallets ON wallets.id = given.wallet_id
), entry AS (
    SELECT span.uuid, span.after_seq, span.after_balance, posted.*,
           CASE WHEN operation_type = ANY(:incoming) THEN amount
                WHEN operation_type = ANY(:outgoing) THEN -amount ELSE 0 END AS added
    FROM span JOIN transactions AS posted
    ON posted.wallet_id = span.id
    AND posted.seq > span.after_seq AND posted.seq <= span.to_seq
), step AS (
    SELECT entry.wallet_id, entry.seq, entry.balance_after, entry.held_after,
           entry.seq = entry.after_seq + row_number() OVER steps
           AND balance_before = lag(balance_after, 1, after_balance) OVER steps
           AND balance_after = balance_before + added
           AND held_before = lag(held_after, 1, held_before) OVER steps AS follows,
           CASE WHEN transfer_id IS NULL THEN operation_type <> ALL(:paired)
                ELSE other.entries = 1 AND other.fitting = 1 END AS is_paired,
           CASE WHEN operation_type <> ALL(:refunds) OR reference_id IS NULL THEN true
                ELSE EXISTS (
               SELECT FROM refunds AS this
               JOIN refunded_operations AS original
               ON original.reference_id = this.refund_of
               AND original.tenant_id = this.tenant_id
               JOIN transactions AS moved
               ON moved.reference_id = this.refund_of
               AND moved.tenant_id = this.tenant_id AND moved.amount = original.amount
               WHERE this.reference_id = entry.reference_id
               AND this.tenant_id = entry.tenant_id
               AND this.refund_of = entry.parent_reference_id
               AND this.refunded - entry.amount = coalesce((
                   SELECT max(refunded) FROM refunds AS earlier
                   WHERE earlier.refund_of = this.refund_of
                   AND earlier.tenant_id = this.tenant_id
                   AND earlier.refunded < this.refunded), 0)
               AND (this.refunded = original.refunded OR EXISTS (
                   SELECT FROM refunds AS later JOIN transactions AS posted
                   ON posted.reference_id = later.reference_id
                   AND posted.tenant_id = later.tenant_id
                   WHERE later.refund_of = this.refund_of
                   AND later.tenant_id = this.tenant_id
                   AND later.refunded > this.refunded))
           ) END AS is_noted
    FROM entry
    LEFT JOIN LATERAL (
        SELECT count(*) AS entries,
               count(*) FILTER (
                   WHERE leg.wallet_id <> entry.wallet_id
                   AND CASE WHEN leg.operation_type = ANY(:incoming) THEN leg.amount
                            ELSE -leg.amount END = -entry.added
                   AND partner.uuid = entry.counterparty_uuid
                   AND leg.counterparty_uuid = entry.uuid
                   AND (leg.reference_id IS NULL) <> (entry.reference_id IS NULL)
                   AND coalesce(leg.reference_id, entry.reference_id)
                       = entry.transfer_id
               ) AS fitting
        FROM transactions AS leg JOIN wallets AS partner ON partner.id = leg.wallet_id
        WHERE leg.transfer_id = entry.transfer_id AND leg.id <> entry.id
    ) AS other ON entry.transfer_id IS NOT NULL
    WINDOW steps AS (PARTITION BY entry.wallet_id ORDER BY entry.seq)
), checked AS (
    SELECT wallet_id, count(*) AS entries,
           (array_agg(balance_after ORDER BY seq DESC))[1] AS balance,
           (array_agg(held_after ORDER BY seq DESC))[1] AS held,
           min(seq) FILTER (WHERE follows IS NOT TRUE) AS bad_seq,
           min(seq) FILTER (WHERE is_paired IS NOT TRUE) AS unpaired_seq,
           min(seq) FILTER (WHERE is_noted IS NOT TRUE) AS unnoted_seq
    FROM step GROUP BY wallet_id
)
SELECT span.id, span.uuid, span.balance, span.version, span.after_seq, span.to_seq,
       coalesce(checked.entries, 0) AS entries,
       coalesce(checked.balance, span.after_balance) AS history_balance,
       span.held, coalesce(checked.held, 0) AS history_held,
       coalesce((SELECT sum(amount - captured - released) FROM holds
                 WHERE wallet_id = span.id AND status = 'open'), 0) AS holds_rest,
       checked.bad_seq, checked.unpaired_seq, checked.unnoted_seq,
       EXISTS (SELECT FROM transactions
               WHERE wallet_id = span.id AND seq > span.version) AS goes_on
FROM span LEFT JOIN checked ON checked.wallet_id = span.id
ORDER BY span.id
"""
CHECK = text(CHECK_SQL).bindparams(
    *(bindparam(name, type_=ARRAY(BigInteger)) for name in ("wallet_ids", "mosts")),
    bindparam("after_seqs", type_=ARRAY(BigInteger)),
    bindparam("after_balances", type_=ARRAY(Numeric)),
    bindparam("incoming", list(INCOMING), type_=ARRAY(String)),
    bindparam("outgoing", list(OUTGOING), type_=ARRAY(String)),
    bindparam("paired", PAIRED, type_=ARRAY(String)),
    bindparam("refunds", list(REFUNDS), type_=ARRAY(String)),
)
