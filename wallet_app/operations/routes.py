"""Operations over HTTP."""

from typing import Any
from uuid import UUID

from wallet_app.database import settled
from wallet_app.errors import (
    CurrencyMismatch,
    InvalidRequest,
    OperationNotFound,
    SameWallet,
    Unavailable,
)
from wallet_app.http import preferences
from wallet_app.http.api import WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.money_requests import (
    DRY_RUN,
    DRY_RUN_PARAMETER,
    KEY_PARAMETER,
    LOOK_UP,
    MONEY_HEADERS,
    MONEY_PARAMETERS,
    MONEY_PROBLEMS,
    carry_out,
    carry_out_unit,
    operation_from,
)
from wallet_app.http.money_schemas import OTHER_UUID
from wallet_app.http.preferences import PREFER_PARAMETER, PREFERENCE_APPLIED
from wallet_app.http.schemas import DEMO_UUID, TransactionDetails
from wallet_app.http.scopes import Scope
from wallet_app.ledger import posting, refunds
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.refund_rules import REFUNDABLE
from wallet_app.operations.answers import (
    batch_answer,
    minimal_answer,
    operation_answer,
    transfer_answer,
)
from wallet_app.operations.requests import raise_whole_refusal, unit_from
from wallet_app.operations.schemas import (
    BatchDetails,
    NewBatch,
    NewOperation,
    NewTransfer,
    OperationDetails,
    TransferDetails,
)

blp = WalletBlueprint(
    "operations",
    __name__,
    url_prefix="/api/v1",
    description="Requests that move money",
)

HISTORY = {
    "history": {
        "operationId": "list_transactions",
        "parameters": {"uuid": "$response.body#/wallet_uuid"},
    }
}
SOURCE_HISTORY = {
    "history": {
        "operationId": "list_transactions",
        "parameters": {"uuid": "$response.body#/outgoing/wallet_uuid"},
    }
}
BATCH_EXAMPLE = {
    "operations": [
        {"operation_type": "DEPOSIT", "wallet": DEMO_UUID, "amount": "100.00"},
        {
            "operation_type": "TRANSFER",
            "from_wallet": DEMO_UUID,
            "to_wallet": OTHER_UUID,
            "amount": "25.00",
        },
    ],
    "atomic": True,
}


@blp.route(
    "/wallets/<uuid:uuid>/operation", methods=["POST"], scope=Scope.OPERATIONS_WRITE
)
@blp.arguments(NewOperation, example={"operation_type": "DEPOSIT", "amount": "1000.00"})
@blp.doc(
    parameters=MONEY_PARAMETERS,
    responses={200: {"links": LOOK_UP | HISTORY}},
)
@blp.problems(*MONEY_PROBLEMS)
@blp.response(200, TransactionDetails, headers=MONEY_HEADERS)
def post_operation(body: dict[str, Any], uuid: UUID) -> Any:
    """Deposit or withdraw

    The answer is the transaction, durable when you read it. Send the same
    `reference_id` or `Idempotency-Key` again after a lost answer: it is never applied
    twice.
    """
    operation = operation_from(
        body, operation_type=OperationType[body["operation_type"]], wallet_uuid=uuid
    )
    receipt, headers = carry_out(operation)
    return receipt.entries[0], 200, headers


@blp.route("/transfers", methods=["POST"], scope=Scope.OPERATIONS_WRITE)
@blp.arguments(
    NewTransfer,
    example={"from_wallet": DEMO_UUID, "to_wallet": OTHER_UUID, "amount": "25.00"},
)
@blp.doc(
    parameters=MONEY_PARAMETERS,
    responses={200: {"links": LOOK_UP | SOURCE_HISTORY}},
)
@blp.problems(*MONEY_PROBLEMS, CurrencyMismatch, SameWallet)
@blp.response(200, TransferDetails, headers=MONEY_HEADERS)
def post_transfer(body: dict[str, Any]) -> Any:
    """Transfer between two wallets of one currency

    Both wallets change, or neither does. `If-Match` speaks of `from_wallet`.
    """
    operation = operation_from(
        body,
        operation_type=OperationType.TRANSFER,
        wallet_uuid=body["from_wallet"],
        target_uuid=body["to_wallet"],
    )
    receipt, headers = carry_out(operation)
    return transfer_answer(receipt), 200, headers


@blp.route("/operations/batch", methods=["POST"], scope=Scope.OPERATIONS_WRITE)
@blp.arguments(NewBatch, example=BATCH_EXAMPLE)
@blp.doc(parameters=[KEY_PARAMETER, DRY_RUN_PARAMETER, PREFER_PARAMETER])
@blp.problems(*MONEY_PROBLEMS, CurrencyMismatch, SameWallet)
@blp.response(200, BatchDetails, headers=DRY_RUN | PREFERENCE_APPLIED)
def post_batch(body: dict[str, Any]) -> Any:
    """Post up to 1,000 operations

    Each member has an outcome of its own. With `"atomic": true` the first refusal is
    the answer, with its `index`, and nothing is applied. An `Idempotency-Key` makes
    the whole batch safe to send again. `Prefer: return=minimal` asks for what counts.
    """
    unit = unit_from(body)
    outcomes, headers = carry_out_unit(unit)
    raise_whole_refusal(unit, outcomes)
    if not preferences.is_minimal():
        return batch_answer(unit.operations, outcomes), 200, headers
    return preferences.minimal(minimal_answer(unit.operations, outcomes), headers)


@blp.route("/operations/<uuid:reference_id>", scope=Scope.WALLETS_READ)
@blp.problems(OperationNotFound, InvalidRequest, Unavailable)
@blp.response(200, OperationDetails)
def get_operation(reference_id: UUID) -> Any:
    """Look an operation up by its reference

    404: it has not been applied. After a 503 it may yet be, for as long as the
    service's deadline for a request.
    """
    key = caller().tenant_id, reference_id
    with settled() as connection:
        receipt = posting.find_receipt(connection, key)
        if receipt is None:
            raise OperationNotFound(f"No operation has the reference {reference_id}.")
        of_it = None
        if receipt.entries[0].entry_type in REFUNDABLE:
            of_it = refunds.refunds_of(connection, key)
    return operation_answer(receipt, of_it)
