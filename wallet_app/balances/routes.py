"""Wallets over HTTP: create, read, and their histories."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from flask import Response, current_app, request

from wallet_app.balances import queries
from wallet_app.balances.group_read import GroupRead
from wallet_app.balances.schemas import (
    BalanceQuery,
    NewWallet,
    TransactionPage,
    TransactionQuery,
)
from wallet_app.database import reading
from wallet_app.errors import (
    InvalidRequest,
    Unavailable,
    WalletExists,
    WalletNotFound,
)
from wallet_app.http.api import BODY_PROBLEMS, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.etags import ETAG_HEADER, header_of, tag_of
from wallet_app.http.pages import decode_position, page_of, read_seq
from wallet_app.http.schemas import WalletBalance, WalletDetails
from wallet_app.http.scopes import Scope
from wallet_app.ledger import wallets

blp = WalletBlueprint(
    "wallets",
    __name__,
    url_prefix="/api/v1/wallets",
    description="Wallets, balances and histories",
)

IF_NONE_MATCH_PARAMETER = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The ETag of an earlier read: answers 304 if nothing has changed",
    "schema": {"type": "string"},
}
NOT_MODIFIED = {"description": "The wallet is as the ETag in If-None-Match says"}

THE_WALLETS_CALLS = {
    name: {"operationId": name, "parameters": {"uuid": "$response.body#/uuid"}}
    for name in (
        "get_wallet",
        "get_balance",
        "change_wallet",
        "list_transactions",
        "post_operation",
        "get_statistics",
        "list_summaries",
        "create_statement",
    )
}


@blp.route("", methods=["POST"], scope=Scope.WALLETS_WRITE)
@blp.arguments(NewWallet, example={"currency": "USD"})
@blp.doc(responses={201: {"links": THE_WALLETS_CALLS}})
@blp.problems(*BODY_PROBLEMS, WalletExists)
@blp.response(201, WalletDetails, headers={"Location": {"schema": {"type": "string"}}})
def create_wallet(body: dict[str, Any]) -> Any:
    """Create a wallet

    With a `uuid` of your own a retry is safe: it answers with the same wallet and
    `Idempotent-Replayed: true`.
    """
    try:
        uuid, created = wallets.create(tenant_id=caller().tenant_id, **body)
    except wallets.WalletClashError as clash:
        raise WalletExists(str(clash)) from None
    headers = {"Location": f"{blp.url_prefix}/{uuid}"}
    if not created:
        headers["Idempotent-Replayed"] = "true"
    with reading() as connection:
        return wallets.find(connection, caller().tenant_id, uuid), 201, headers


@blp.route("/<uuid:uuid>", scope=Scope.WALLETS_READ)
@blp.doc(parameters=[IF_NONE_MATCH_PARAMETER], responses={304: NOT_MODIFIED})
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(
    200,
    WalletDetails,
    headers=ETAG_HEADER,
)
def get_wallet(uuid: UUID) -> Any:
    """Read a wallet"""
    reader: GroupRead = current_app.extensions["wallet_reader"]
    wallet = reader.find((caller().tenant_id, uuid))
    headers = header_of(wallet)
    known = request.if_none_match if "If-None-Match" in request.headers else None
    # Weak, because a proxy that compresses weakens the tags.
    if known is not None and known.contains_weak(tag_of(wallet)):
        return Response(status=304, headers=headers)
    return wallet, 200, headers


@blp.route("/<uuid:uuid>/balance", scope=Scope.WALLETS_READ)
@blp.arguments(BalanceQuery, location="query")
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, WalletBalance)
def get_balance(query: dict[str, Any], uuid: UUID) -> Any:
    """Read a wallet's balance

    Now, or `at` a time that has passed: what is `available` is known of now only.
    """
    with reading() as connection:
        wallet = wallets.find(connection, caller().tenant_id, uuid)
        if "at" not in query:
            return wallet
        balance, held = queries.funds_at(connection, wallet, query["at"])
    return SimpleNamespace(
        uuid=wallet.uuid,
        balance=balance,
        held=held,
        available=None,
        currency=wallet.currency,
    )


@blp.route("/<uuid:uuid>/transactions", scope=Scope.WALLETS_READ)
@blp.arguments(TransactionQuery, location="query")
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, TransactionPage)
def list_transactions(query: dict[str, Any], uuid: UUID) -> Any:
    """List a wallet's transactions, newest first

    Filters combine. A page's `next_cursor` goes with the same filters and order.
    """
    limit, order = query.pop("limit"), query.pop("order")
    after_seq = decode_position(query.pop("cursor"), order, read_seq)
    with reading() as connection:
        wallet = wallets.find(connection, caller().tenant_id, uuid)
    entries = wallets.read_history(
        wallet.id,
        wallet.version,
        lambda connection: queries.list_entries(
            connection,
            wallet.id,
            limit=limit + 1,
            order=order,
            after_seq=after_seq,
            filters=query,
        ),
    )
    return page_of(entries, limit, lambda entry: (order, entry.seq))
