"""Operations over HTTP."""

from typing import Any
from uuid import UUID

from wallet_app.balances.schemas import TransactionDetails
from wallet_app.errors import (
    BalanceLimitExceeded,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidAmount,
    PreconditionFailed,
    WalletNotActive,
    WalletNotFound,
)
from wallet_app.http.api import BODY_PROBLEMS, WalletBlueprint
from wallet_app.operations.requests import (
    ledger,
    operation_from,
    receipt_of,
    replay_header,
)
from wallet_app.operations.schemas import NewOperation

blp = WalletBlueprint(
    "operations",
    __name__,
    url_prefix="/api/v1",
    description="Requests that move money",
)

MONEY_PROBLEMS = (
    *BODY_PROBLEMS,
    WalletNotFound,
    InsufficientFunds,
    BalanceLimitExceeded,
    WalletNotActive,
    PreconditionFailed,
    InvalidAmount,
    IdempotencyKeyReused,
)
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "true: an earlier call with this reference did it",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
KEY_PARAMETER = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Makes a retry safe, as `reference_id` in the body does",
    "schema": {"type": "string", "maxLength": 255},
}
IF_MATCH_PARAMETER = {
    "in": "header",
    "name": "If-Match",
    "description": "Refuses the operation if the wallet's ETag is another",
    "schema": {"type": "string"},
}


@blp.route("/wallets/<uuid:uuid>/operation", methods=["POST"])
@blp.arguments(NewOperation, example={"operation_type": "DEPOSIT", "amount": "1000.00"})
@blp.doc(parameters=[KEY_PARAMETER, IF_MATCH_PARAMETER])
@blp.problems(*MONEY_PROBLEMS)
@blp.response(200, TransactionDetails, headers=REPLAYED)
def post_operation(body: dict[str, Any], uuid: UUID) -> Any:
    """Deposit or withdraw

    The answer is the transaction, durable when you read it. Send the same
    `reference_id` or `Idempotency-Key` again after a lost answer: it is never applied
    twice.
    """
    operation = operation_from(body, wallet_uuid=uuid)
    receipt = receipt_of(ledger().submit(operation))
    return receipt.entries[0], 200, replay_header(receipt)
