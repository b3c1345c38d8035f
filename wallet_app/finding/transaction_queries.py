"""Which transactions there are, over all wallets of a tenant."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from wallet_app.finding import walks
from wallet_app.finding.walks import Found, Place, Walk, find
from wallet_app.ledger.entries import SELECT_ENTRIES, read_entry
from wallet_app.ledger.sql import TRANSACTIONS

# What each filter asks of an entry; those about time are served by every walk.
CONDITIONS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "operation_type": lambda entry, value: entry.c.operation_type == value,
    "min_amount": lambda entry, value: entry.c.amount >= value,
    "max_amount": lambda entry, value: entry.c.amount <= value,
    "wallet_id": lambda entry, value: entry.c.wallet_id == value,
    "metadata": lambda entry, value: holds(entry.c.metadata, value),
}


def holds(metadata: Any, part: Any) -> ColumnElement[bool]:
    return func.coalesce(metadata.contains(literal(part, JSONB)), text("false"))


def find_entries(
    connection: Connection,
    tenant_id: int,
    filters: Mapping[str, Any],
    *,
    limit: int,
    after: Place | None,
) -> Found:
    """Up to `limit` entries of a tenant's, newest first.

    `filters`: reference_id, those of CONDITIONS, since (inclusive) and until
    (exclusive); each may be absent. A wallet's are in the order of its seq.
    """
    walk, served = choose_walk(connection, tenant_id, filters)

    def whole(walked: Any) -> tuple[Select[Any], ColumnElement[bool]]:
        # Row by row by the key, whatever the planner thinks of how many there are.
        this = SELECT_ENTRIES.where(TRANSACTIONS.id == walked.c.key).limit(
            literal_column("1")
        )
        entry = this.lateral("entry")
        conditions = [
            CONDITIONS[name](entry, value)
            for name, value in filters.items()
            if name in CONDITIONS and name not in served
        ]
        rows = select(*entry.c).select_from(walked).join(entry, true())
        return rows, and_(true(), *conditions)

    found = find(connection, walk, whole, limit=limit, after=after)
    columns = len(SELECT_ENTRIES.selected_columns)
    return Found([read_entry(row[:columns]) for row in found.rows], found.end)


def choose_walk(
    connection: Connection, tenant_id: int, filters: Mapping[str, Any]
) -> tuple[Walk, set[str]]:
    """The index that leaves the least to look at, and the filters that it serves."""
    # The wallet is known to be the tenant's. Saying so would offer another index.
    if "wallet_id" in filters:
        whose, second = TRANSACTIONS.wallet_id == filters["wallet_id"], "seq"
    else:
        whose, second = TRANSACTIONS.tenant_id == tenant_id, "id"
    conditions = [whose]
    if "since" in filters:
        conditions.append(TRANSACTIONS.created_at >= filters["since"])
    if "until" in filters:
        conditions.append(TRANSACTIONS.created_at < filters["until"])
    if "reference_id" in filters:
        reference = filters["reference_id"]
        conditions.append(
            or_(
                TRANSACTIONS.reference_id == reference,
                TRANSACTIONS.transfer_id == reference,
            )
        )
    elif "metadata" in filters:
        rare = rare_ones(connection, conditions, filters["metadata"])
        if rare is not None:
            place = rare.created_at, rare[second]
            return Walk(rare.id, [], place), {"wallet_id", "metadata"}
    place = TRANSACTIONS.created_at, TRANSACTIONS[second]
    return Walk(TRANSACTIONS.id, conditions, place), {"wallet_id"}


def rare_ones(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], part: Any
) -> Any:
    """The columns of all that have this metadata, if a walk can look at all of them.

    Their index knows no order. None: so many have it that a walk soon meets some.
    """
    having = select(TRANSACTIONS.id, TRANSACTIONS.created_at, TRANSACTIONS.seq).where(
        *conditions, TRANSACTIONS.metadata.contains(literal(part, JSONB))
    )
    # A limit keeps the planner from a walk in order, which may find none in millions.
    most = having.limit(walks.MOST_LOOKED_AT + 1).subquery()
    count = connection.scalars(select(func.count()).select_from(most)).one()
    if count > walks.MOST_LOOKED_AT:
        return None
    return having.limit(2 * walks.MOST_LOOKED_AT).subquery("having").c
