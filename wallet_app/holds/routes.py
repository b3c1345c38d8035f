"""Holds over HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID

from wallet_app.database import reading, settled
from wallet_app.errors import (
    CurrencyMismatch,
    ExceedsHold,
    HoldAlreadyCaptured,
    HoldAlreadyExpired,
    HoldAlreadyVoided,
    HoldNotFound,
    InvalidRequest,
    NotAnExtension,
    SameWallet,
    Unavailable,
    WalletNotFound,
)
from wallet_app.holds import queries
from wallet_app.holds.schemas import (
    HoldCapture,
    HoldExtension,
    HoldIncrease,
    HoldOperation,
    HoldPage,
    HoldQuery,
    HoldVoid,
    NewHold,
    WalletHoldQuery,
    answer_of,
)
from wallet_app.http.api import WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.fields import Moment, Uuid, moment_text
from wallet_app.http.money_requests import (
    LOOK_UP,
    MONEY_HEADERS,
    MONEY_PARAMETERS,
    MONEY_PROBLEMS,
    carry_out,
    nothing_posted,
    operation_from,
)
from wallet_app.http.pages import decode_position, page_of
from wallet_app.http.schemas import HoldDetails
from wallet_app.http.scopes import Scope
from wallet_app.ledger import wallets
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.rules import Hold

blp = WalletBlueprint(
    "holds", __name__, url_prefix="/api/v1", description="Money that is promised"
)

ENDED = (HoldNotFound, HoldAlreadyCaptured, HoldAlreadyVoided, HoldAlreadyExpired)
LINKS = {200: {"links": LOOK_UP}}
THE_HOLDS_CALLS = {
    name: {
        "operationId": name,
        "parameters": {"hold_id": "$response.body#/hold/id"},
    }
    for name in ("get_hold", "capture_hold", "void_hold")
}


@blp.route("/wallets/<uuid:uuid>/holds", methods=["POST"], scope=Scope.OPERATIONS_WRITE)
@blp.arguments(NewHold, example={"amount": "80.00"})
@blp.doc(
    parameters=MONEY_PARAMETERS, responses={201: {"links": LOOK_UP | THE_HOLDS_CALLS}}
)
@blp.problems(*MONEY_PROBLEMS)
@blp.response(
    201,
    HoldOperation,
    headers=MONEY_HEADERS | {"Location": {"schema": {"type": "string"}}},
)
def create_hold(body: dict[str, Any], uuid: UUID) -> Any:
    """Hold part of what a wallet has available

    Nobody else can spend it until it is captured, voided or expired. The hold's `id` is
    the operation's `reference_id`, so that a retry makes no second one.
    """
    operation = operation_from(
        body, operation_type=OperationType.HOLD, wallet_uuid=uuid
    )
    receipt, headers = carry_out(operation)
    location = f"{blp.url_prefix}/holds/{operation.reference_id}"
    headers |= {"Location": location}
    return answer_of(receipt, OperationType.HOLD), 201, headers


@blp.route(
    "/holds/<uuid:hold_id>/capture", methods=["POST"], scope=Scope.OPERATIONS_WRITE
)
@blp.arguments(HoldCapture, example={"amount": "30.00", "final": True})
@blp.doc(parameters=MONEY_PARAMETERS, responses=LINKS)
@blp.problems(*MONEY_PROBLEMS, *ENDED, ExceedsHold, CurrencyMismatch, SameWallet)
@blp.response(200, HoldOperation, headers=MONEY_HEADERS)
def capture_hold(body: dict[str, Any], hold_id: UUID) -> Any:
    """Take what is held

    In parts, until nothing is left or one is `final`.
    """
    return act_on(hold_id, body, OperationType.CAPTURE)


@blp.route("/holds/<uuid:hold_id>/void", methods=["POST"], scope=Scope.OPERATIONS_WRITE)
@blp.arguments(HoldVoid, example={"description": "Order 17 was cancelled"})
@blp.doc(parameters=MONEY_PARAMETERS, responses=LINKS)
@blp.problems(*MONEY_PROBLEMS, *ENDED)
@blp.response(200, HoldOperation, headers=MONEY_HEADERS)
def void_hold(body: dict[str, Any], hold_id: UUID) -> Any:
    """Give back what is still held"""
    return act_on(hold_id, body, OperationType.VOID)


@blp.route(
    "/holds/<uuid:hold_id>/extend", methods=["POST"], scope=Scope.OPERATIONS_WRITE
)
@blp.arguments(HoldExtension, example={"expires_at": "2027-01-31T12:00:00Z"})
@blp.doc(parameters=MONEY_PARAMETERS, responses=LINKS)
@blp.problems(*MONEY_PROBLEMS, *ENDED, NotAnExtension)
@blp.response(200, HoldOperation, headers=MONEY_HEADERS)
def extend_hold(body: dict[str, Any], hold_id: UUID) -> Any:
    """Let a hold expire later"""
    return act_on(hold_id, body, OperationType.HOLD_EXTEND)


@blp.route(
    "/holds/<uuid:hold_id>/increase", methods=["POST"], scope=Scope.OPERATIONS_WRITE
)
@blp.arguments(HoldIncrease, example={"amount": "20.00"})
@blp.doc(parameters=MONEY_PARAMETERS, responses=LINKS)
@blp.problems(*MONEY_PROBLEMS, *ENDED)
@blp.response(200, HoldOperation, headers=MONEY_HEADERS)
def increase_hold(body: dict[str, Any], hold_id: UUID) -> Any:
    """Hold more"""
    return act_on(hold_id, body, OperationType.HOLD_INCREASE)


def act_on(hold_id: UUID, body: dict[str, Any], operation_type: OperationType) -> Any:
    """Post an operation of a hold; the answer, the status and the headers."""
    with nothing_posted(), settled() as connection:
        hold = queries.find(connection, caller().tenant_id, hold_id)
    operation = operation_from(
        body,
        operation_type=operation_type,
        wallet_uuid=hold.wallet_uuid,
        target_uuid=body.get("to_wallet"),
        parent_reference_id=hold_id,
    )
    receipt, headers = carry_out(operation)
    return answer_of(receipt, operation_type), 200, headers


@blp.route("/holds/<uuid:hold_id>", scope=Scope.WALLETS_READ)
@blp.problems(HoldNotFound, InvalidRequest, Unavailable)
@blp.response(200, HoldDetails)
def get_hold(hold_id: UUID) -> Any:
    """Read a hold"""
    with reading() as connection:
        return queries.find(connection, caller().tenant_id, hold_id)


@blp.route("/wallets/<uuid:uuid>/holds", scope=Scope.WALLETS_READ)
@blp.arguments(WalletHoldQuery, location="query")
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, HoldPage)
def list_wallet_holds(query: dict[str, Any], uuid: UUID) -> Any:
    """List a wallet's holds, newest first"""
    return page(query, uuid)


@blp.route("/holds", scope=Scope.WALLETS_READ)
@blp.arguments(HoldQuery, location="query")
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, HoldPage)
def list_holds(query: dict[str, Any]) -> Any:
    """List holds, newest first"""
    return page(query, query["wallet"])


def page(query: dict[str, Any], wallet_uuid: UUID | None) -> dict[str, Any]:
    tenant_id, limit = caller().tenant_id, query["limit"]
    before = decode_position(query["cursor"], "holds", read_place)
    with reading() as connection:
        wallet_id = None
        if wallet_uuid is not None:
            wallet_id = wallets.find(connection, tenant_id, wallet_uuid).id
        rows = queries.list_holds(
            connection,
            tenant_id,
            limit=limit + 1,
            status=query["status"],
            wallet_id=wallet_id,
            before=before,
        )
    return page_of(rows, limit, lambda hold: ("holds", place_of(hold)))


def place_of(hold: Hold) -> list[str]:
    """A hold's place in the list, for a cursor."""
    return [moment_text(hold.created_at), str(hold.id)]


def read_place(position: Any) -> tuple[datetime, UUID]:
    created_at, hold_id = position
    return Moment().deserialize(created_at), Uuid().deserialize(hold_id)
