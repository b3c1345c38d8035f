"""Refunds over HTTP."""

from typing import Any
from uuid import UUID

from wallet_app.database import settled
from wallet_app.errors import (
    ExceedsRefundable,
    NotRefundable,
    OperationNotFound,
    RefundedChanged,
)
from wallet_app.http.api import WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.money_requests import (
    LOOK_UP,
    MONEY_HEADERS,
    MONEY_PARAMETERS,
    MONEY_PROBLEMS,
    carry_out,
    nothing_posted,
    operation_from,
)
from wallet_app.http.scopes import Scope
from wallet_app.ledger.operation_types import OperationType
from wallet_app.refunds import queries
from wallet_app.refunds.schemas import NewRefund, RefundOperation, answer_of

blp = WalletBlueprint(
    "refunds", __name__, url_prefix="/api/v1", description="Money on its way back"
)


@blp.route(
    "/operations/<uuid:reference_id>/refund",
    methods=["POST"],
    scope=Scope.OPERATIONS_WRITE,
)
@blp.arguments(
    NewRefund, example={"amount": "10.00", "description": "One of ten came broken"}
)
@blp.doc(
    parameters=MONEY_PARAMETERS,
    responses={200: {"links": LOOK_UP}},
)
@blp.problems(
    *MONEY_PROBLEMS,
    OperationNotFound,
    NotRefundable,
    ExceedsRefundable,
    RefundedChanged,
)
@blp.response(200, RefundOperation, headers=MONEY_HEADERS)
def refund_operation(body: dict[str, Any], reference_id: UUID) -> Any:
    """Give back what an operation has moved, or part of it

    In parts, until nothing is left. A transfer's money goes back from who got it, of
    whose wallet `If-Match` speaks. `reason` stands for `description`.
    """
    with nothing_posted(), settled() as connection:
        original = queries.find(connection, caller().tenant_id, reference_id)
    wallet_uuid, target_uuid = original.wallets
    operation = operation_from(
        body,
        operation_type=OperationType.REFUND,
        wallet_uuid=wallet_uuid,
        target_uuid=target_uuid,
        parent_reference_id=reference_id,
    )
    receipt, headers = carry_out(operation)
    return answer_of(receipt), 200, headers
