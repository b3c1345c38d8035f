"""Finding wallets and transactions over HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID

from wallet_app.database import reading
from wallet_app.errors import (
    InvalidRequest,
    PreconditionFailed,
    Unavailable,
    WalletNotFound,
)
from wallet_app.finding.schemas import (
    TransactionSearch,
    TransactionsFound,
    WalletPage,
    WalletQuery,
)
from wallet_app.finding.transaction_queries import find_entries
from wallet_app.finding.wallet_queries import BY_NAME, NEWEST_FIRST, find_wallets
from wallet_app.http.api import BODY_PROBLEMS, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.etags import (
    CHANGE_IF_MATCH,
    ETAG_HEADER,
    header_of,
    is_in_if_match,
)
from wallet_app.http.fields import Moment, Text, Uuid, moment_text
from wallet_app.http.pages import decode_position, read_seq
from wallet_app.http.schemas import DetailsGiven, WalletDetails
from wallet_app.http.scopes import Scope
from wallet_app.ledger import wallets

blp = WalletBlueprint(
    "finding",
    __name__,
    url_prefix="/api/v1",
    description="Find wallets and transactions",
)


@blp.route("/wallets", scope=Scope.WALLETS_READ)
@blp.arguments(WalletQuery, location="query")
@blp.problems(InvalidRequest, Unavailable)
@blp.response(200, WalletPage)
def list_wallets(query: dict[str, Any]) -> Any:
    """List wallets, newest first

    Filters combine. A page looks at a bounded number of wallets, so it may be short,
    or empty, though `has_more` is true: go on with its `next_cursor`, with the same
    filters and order.
    """
    return wallet_page(query)


def wallet_page(query: dict[str, Any]) -> dict[str, Any]:
    """The page that a loaded WalletQuery asks for."""
    limit, sort = query.pop("limit"), query.pop("sort")
    list_name = "wallets" if sort == NEWEST_FIRST else f"wallets by {sort}"
    read = read_name if sort == BY_NAME else read_moment
    after = decode_position(query.pop("cursor"), list_name, read)
    with reading() as connection:
        found = find_wallets(
            connection, caller().tenant_id, query, limit=limit, sort=sort, after=after
        )
    return found.page(list_name, place_text)


def place_text(place: tuple[Any, Any]) -> list[Any]:
    """A place of a list as plain JSON, for a cursor."""
    first, second = place
    return [
        moment_text(first) if isinstance(first, datetime) else first,
        str(second) if isinstance(second, UUID) else second,
    ]


def read_moment(place: Any) -> tuple[datetime, UUID]:
    created_at, uuid = place
    return Moment().deserialize(created_at), Uuid().deserialize(uuid)


def read_name(place: Any) -> tuple[str, UUID]:
    name, uuid = place
    return Text().deserialize(name), Uuid().deserialize(uuid)


def read_step(place: Any) -> tuple[datetime, int]:
    created_at, number = place
    return Moment().deserialize(created_at), read_seq(number)


@blp.route("/wallets/<uuid:uuid>", methods=["PATCH"], scope=Scope.WALLETS_WRITE)
@blp.arguments(DetailsGiven, example={"owner": "customer 4711", "labels": ["vip"]})
@blp.doc(parameters=[CHANGE_IF_MATCH])
@blp.problems(*BODY_PROBLEMS, WalletNotFound, PreconditionFailed)
@blp.response(200, WalletDetails, headers=ETAG_HEADER)
def change_wallet(body: dict[str, Any], uuid: UUID) -> Any:
    """Change what a wallet is found by

    Its owner, its name, its labels, its metadata: what is left out stays as it is, null
    takes it away, labels and metadata are replaced as a whole.
    """
    wallet = wallets.change(
        tenant_id=caller().tenant_id,
        uuid=uuid,
        changes=body,
        expected=is_in_if_match,
    )
    return wallet, 200, header_of(wallet)


@blp.route("/transactions", scope=Scope.WALLETS_READ)
@blp.arguments(TransactionSearch, location="query")
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, TransactionsFound)
def search_transactions(query: dict[str, Any]) -> Any:
    """Search the transactions of all wallets, newest first

    Filters combine. A page looks at a bounded number of transactions, so it may be
    short, or empty, though `has_more` is true: go on with its `next_cursor`, with the
    same filters.
    """
    return transaction_page(query)


def transaction_page(query: dict[str, Any]) -> dict[str, Any]:
    """The page that a loaded TransactionSearch asks for."""
    limit, wallet = query.pop("limit"), query.pop("wallet", None)
    list_name = "transactions" if wallet is None else "transactions of a wallet"
    after = decode_position(query.pop("cursor"), list_name, read_step)
    tenant_id = caller().tenant_id
    with reading() as connection:
        if wallet is not None:
            query["wallet_id"] = wallets.find(connection, tenant_id, wallet).id
        found = find_entries(connection, tenant_id, query, limit=limit, after=after)
    return found.page(list_name, place_text)
