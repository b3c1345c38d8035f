"""Which wallets there are, by what they are found by."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    any_,
    func,
    literal_column,
    select,
    text,
    true,
)

from wallet_app.finding.walks import Found, Place, Walk, find
from wallet_app.ledger.details import DETAILS, LABELS, details_of
from wallet_app.ledger.sql import WALLETS
from wallet_app.ledger.wallets import ONLY_WALLETS

BY_NAME = "name"
OLDEST_FIRST = "created_at"
NEWEST_FIRST = "-created_at"
# What each filter asks of a wallet and its details.
CONDITIONS: dict[str, Callable[[Any, Any, Any], ColumnElement[bool]]] = {
    "owner": lambda _, details, value: details.c.owner == value,
    "label": lambda _, details, value: any_(details.c.labels) == value,
    "status": lambda wallet, _, value: wallet.c.status == value,
    "currency": lambda wallet, _, value: wallet.c.currency == value,
    "min_balance": lambda wallet, _, value: wallet.c.balance >= value,
    "max_balance": lambda wallet, _, value: wallet.c.balance <= value,
    "since": lambda wallet, _, value: wallet.c.created_at >= value,
    "until": lambda wallet, _, value: wallet.c.created_at < value,
}


def find_wallets(
    connection: Connection,
    tenant_id: int,
    filters: Mapping[str, Any],
    *,
    limit: int,
    sort: str,
    after: Place | None,
) -> Found:
    """Up to `limit` of a tenant's wallets.

    `filters`: those of CONDITIONS, each of which may be absent; `since` (inclusive) and
    `until` (exclusive) are about created_at. By name come those that have one.
    """
    walk, served = choose_walk(tenant_id, filters, sort)

    def whole(walked: Any) -> tuple[Select[Any], ColumnElement[bool]]:
        # Row by row by the key, whatever the planner thinks of how many there are.
        this = ONLY_WALLETS.where(WALLETS.id == walked.c.key)
        wallet = this.limit(literal_column("1")).lateral("wallet")
        details = details_of(walked.c.key)
        conditions = [
            CONDITIONS[name](wallet, details, value)
            for name, value in filters.items()
            if name not in served
        ]
        rows = (
            select(*wallet.c, *details.c)
            .select_from(walked)
            .join(wallet, true())
            .outerjoin(details, true())
        )
        return rows, func.coalesce(and_(true(), *conditions), text("false"))

    return find(connection, walk, whole, limit=limit, after=after)


def choose_walk(
    tenant_id: int, filters: Mapping[str, Any], sort: str
) -> tuple[Walk, set[str]]:
    """The index that leaves the least to look at, and the filters that it serves."""
    if sort == BY_NAME:
        named = [DETAILS.tenant_id == tenant_id, DETAILS.name.is_not(None)]
        place = DETAILS.name, DETAILS.uuid
        return Walk(DETAILS.wallet_id, named, place, ascending=True), set()
    if "owner" in filters:
        table, key, own = DETAILS, DETAILS.wallet_id, DETAILS.owner
        served = "owner"
    elif "label" in filters:
        table, key, own, served = LABELS, LABELS.wallet_id, LABELS.label, "label"
    elif filters.get("status", "active") != "active":
        table, key, own, served = WALLETS, WALLETS.id, WALLETS.status, "status"
    else:
        table, key, own, served = WALLETS, WALLETS.id, WALLETS.currency, "currency"
    conditions = [table.tenant_id == tenant_id]
    if served in filters:
        conditions.append(own == filters[served])
    if served == "status":
        # The index holds no others, which the planner does not see in a parameter.
        conditions.append(text("status <> 'active'"))
    if "since" in filters:
        conditions.append(table.created_at >= filters["since"])
    if "until" in filters:
        conditions.append(table.created_at < filters["until"])
    walk = Walk(
        key,
        conditions,
        (table.created_at, table.uuid),
        ascending=sort == OLDEST_FIRST,
    )
    return walk, {served, "since", "until"}
