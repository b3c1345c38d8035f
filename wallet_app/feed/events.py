"""Events: what the feed's rows tell, one by one, as the API shows it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Select,
    bindparam,
    func,
    select,
    text,
)

from wallet_app.database import AnyRow
from wallet_app.feed.readers import FEED
from wallet_app.http.schemas import TransactionDetails, WalletDetails
from wallet_app.ledger import told
from wallet_app.ledger.entries import SELECT_ENTRIES, read_entry
from wallet_app.ledger.journal import CHANGED, CREATED, POSTED
from wallet_app.ledger.rules import Entry
from wallet_app.ledger.sql import TRANSACTIONS, WALLETS, unnested
from wallet_app.ledger.wallets import TENANT

WALLET_CREATED = "wallet.created"
TRANSACTION_POSTED = "transaction.posted"
# By the kind of the feed's row.
TYPES = {
    CREATED: WALLET_CREATED,
    POSTED: TRANSACTION_POSTED,
    **{kind: f"wallet.{kind}" for kind in CHANGED},
}

AFTER = bindparam("after", type_=BigInteger)
LIMIT = bindparam("limit", type_=BigInteger)
WALLET = WalletDetails()
TRANSACTION = TransactionDetails()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; it never changes, and neither does its position."""

    position: int
    type: str
    time: datetime
    wallet_uuid: UUID
    data: dict[str, Any]


def places() -> Select[Any]:
    """Position, kind, wallet and seq of a tenant's events behind a position, in order.

    Through an index of the tenant's own rows: others cost nothing.
    """
    # The row that holds the next event may begin before it.
    begin = select(func.max(FEED.position)).where(
        FEED.tenant_id == TENANT, FEED.position <= AFTER + 1
    )
    rows = (
        select(FEED.position, FEED.kind, FEED.wallet_ids, FEED.seqs)
        .where(
            FEED.tenant_id == TENANT,
            FEED.position >= func.coalesce(begin.scalar_subquery(), 0),
        )
        .order_by(FEED.position)
        .limit(LIMIT)
        .subquery("part")
    )
    each = (
        func.unnest(rows.c.wallet_ids, rows.c.seqs)
        .table_valued("wallet_id", "seq", with_ordinality="place", name="each")
        .render_derived()
    )
    position = rows.c.position + each.c.place - 1
    return (
        select(position.label("position"), rows.c.kind, each.c.wallet_id, each.c.seq)
        .join_from(rows, each, text("true"))
        .where(position > AFTER)
        .order_by(text("1"))
        .limit(LIMIT)
    )


PLACES = places()

# With a filter, so many events are looked at for a page at most.
MOST_LOOKED_AT = 2000
SPOTS = unnested("spot", {"wallet_id": BigInteger, "seq": BigInteger})
THESE_ENTRIES = SELECT_ENTRIES.join(
    SPOTS,
    (TRANSACTIONS.wallet_id == SPOTS.c.wallet_id) & (TRANSACTIONS.seq == SPOTS.c.seq),
)
IDS = bindparam("ids", type_=ARRAY(BigInteger))
THESE_WALLETS = select(
    WALLETS.id, WALLETS.uuid, WALLETS.currency, WALLETS.created_at
).where(WALLETS.id == func.any(IDS))


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order; `end` is the last position that was looked at for them."""

    events: list[Event]
    end: int
    has_more: bool


def read_page(
    connection: Connection,
    tenant_id: int,
    *,
    after: int,
    limit: int,
    types: Collection[str] | None = None,
    wallet_id: int | None = None,
) -> Page:
    """Up to `limit` of a tenant's events behind a position that pass the filters."""
    filtered = types is not None or wallet_id is not None
    most = MOST_LOOKED_AT if filtered else limit
    place = {"tenant_id": tenant_id, "after": after, "limit": most + 1}
    looked_at = connection.execute(PLACES, place).all()
    passing = [
        place
        for place in looked_at[:most]
        if (types is None or TYPES[place.kind] in types)
        and wallet_id in (None, place.wallet_id)
    ]
    end = looked_at[:most][-1].position if looked_at else after
    has_more = len(looked_at) > most
    if len(passing) > limit:
        passing, has_more = passing[:limit], True
        end = passing[-1].position
    return Page(read_events(connection, passing), end, has_more)


def read_events(connection: Connection, places: Sequence[AnyRow]) -> list[Event]:
    """The events at these rows of PLACES."""
    posted = [place for place in places if place.kind == POSTED]
    spots = {
        "spot_wallet_id": [place.wallet_id for place in posted],
        "spot_seq": [place.seq for place in posted],
    }
    rows = connection.execute(THESE_ENTRIES, spots) if posted else ()
    entries = {(row.wallet_id, row.seq): read_entry(row) for row in rows}
    others = [place for place in places if place.kind != POSTED]
    created = [place.wallet_id for place in others if place.seq is None]
    found = connection.execute(THESE_WALLETS, {"ids": created}) if created else ()
    wallets = {row.id: row for row in found}
    seqs = [place.seq for place in others if place.seq is not None]
    told_wallets = told.find(connection, seqs)

    def event_at(place: AnyRow) -> Event:
        if place.kind == POSTED:
            return posted_event(place.position, entries[place.wallet_id, place.seq])
        if place.seq is None:
            return created_event(place.position, wallets[place.wallet_id])
        return told_event(place.position, TYPES[place.kind], told_wallets[place.seq])

    return [event_at(place) for place in places]


def posted_event(position: int, entry: Entry) -> Event:
    return Event(
        position=position,
        type=TRANSACTION_POSTED,
        time=entry.created_at,
        wallet_uuid=entry.wallet_uuid,
        data=TRANSACTION.dump(entry),
    )


def created_event(position: int, wallet: AnyRow) -> Event:
    """A wallet of which nothing was said, as it was then."""
    then = {
        "uuid": wallet.uuid,
        "balance": Decimal(0),
        "held": Decimal(0),
        "available": Decimal(0),
        "currency": wallet.currency,
        "status": "active",
        "blocks": None,
        "version": 0,
        "created_at": wallet.created_at,
        "updated_at": wallet.created_at,
    }
    return Event(
        position=position,
        type=WALLET_CREATED,
        time=wallet.created_at,
        wallet_uuid=wallet.uuid,
        data=WALLET.dump(then),
    )


def told_event(position: int, event_type: str, wallet: AnyRow) -> Event:
    """Whatever the wallet has become, the event stays."""
    is_new = event_type == WALLET_CREATED
    return Event(
        position=position,
        type=event_type,
        time=wallet.created_at if is_new else wallet.told_at,
        wallet_uuid=wallet.uuid,
        data=WALLET.dump(wallet),
    )
