"""What requests that move money share: from their headers to an operation of the
ledger, from its outcome to an answer, and how the API's description tells of both."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid5

from flask import current_app, request
from uuid_utils.compat import uuid7

from wallet_app.database.outages import is_outage
from wallet_app.errors import (
    BY_CODE,
    BalanceLimitExceeded,
    CurrencyNotConfigured,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    LimitExceeded,
    PreconditionFailed,
    Unavailable,
    WalletError,
    WalletNotActive,
    WalletNotFound,
)
from wallet_app.http import etags
from wallet_app.http.api import BODY_PROBLEMS
from wallet_app.http.caller import caller
from wallet_app.http.fields import parse_uuid
from wallet_app.ledger import posting
from wallet_app.ledger.group_commit import GroupCommit
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.posting import Outcome, Receipt, Unit
from wallet_app.ledger.rules import ZERO, Operation, Refusal

logger = logging.getLogger(__name__)

MAX_KEY_LENGTH = 255
KEY_NAMESPACE = UUID("5a1f0f3c-6a3e-4d0a-9d5e-0c1b8f6f7e21")

MONEY_PROBLEMS = (
    *BODY_PROBLEMS,
    WalletNotFound,
    InsufficientFunds,
    BalanceLimitExceeded,
    LimitExceeded,
    WalletNotActive,
    CurrencyNotConfigured,
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
    # Quotes around it do not belong to it.
    "schema": {"type": "string", "maxLength": 255, "pattern": '^(?!""$).+$'},
}
IF_MATCH_PARAMETER = {
    "in": "header",
    "name": "If-Match",
    "description": "Refuses the operation if the wallet's ETag is another; without its"
    " revision (the part behind the dash), only if the version is",
    "schema": {
        "type": "string",
        "pattern": rf'^(\*|{etags.TAG_PATTERN}|"{etags.TAG_PATTERN}")$',
    },
}
DRY_RUN_PARAMETER = {
    "in": "query",
    "name": "dry_run",
    "description": "true: tells what would happen now, and does nothing. The answer has"
    " no transaction's id (0), and the ETag with which If-Match does exactly that",
    "schema": {"type": "boolean", "default": False},
}
MONEY_PARAMETERS = [KEY_PARAMETER, IF_MATCH_PARAMETER, DRY_RUN_PARAMETER]
DRY_RUN = {
    "Dry-Run": {
        "description": "true: nothing was done",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
MONEY_HEADERS = REPLAYED | DRY_RUN | etags.ETAG_HEADER
LOOK_UP = {
    "lookUp": {
        "operationId": "get_operation",
        "parameters": {"reference_id": "$response.body#/reference_id"},
    }
}


def ledger() -> GroupCommit:
    """The process's way to the ledger."""
    return current_app.extensions["ledger"]  # type: ignore[no-any-return]


def operation_from(
    body: dict[str, Any],
    *,
    operation_type: OperationType,
    wallet_uuid: UUID,
    target_uuid: UUID | None = None,
    parent_reference_id: UUID | None = None,
) -> Operation:
    """The operation that a request asks for, with its headers taken into account."""
    version, revision = etags.expected()
    return Operation(
        tenant_id=caller().tenant_id,
        operation_type=operation_type,
        wallet_uuid=wallet_uuid,
        target_uuid=target_uuid,
        # Without one, all that is left of a hold, or to be refunded.
        amount=body.get("amount") or ZERO,
        description=body["description"],
        reference_id=reference_from(body["reference_id"], key_from_header()),
        expected_version=version,
        expected_revision=revision,
        metadata=body["metadata"],
        parent_reference_id=parent_reference_id,
        final=body.get("final", False),
        expires_at=body.get("expires_at"),
        expected_refunded=body.get("expected_refunded"),
    )


@contextmanager
def nothing_posted() -> Iterator[None]:
    """Around what is looked up before: an outage says that nothing was applied."""
    try:
        yield
    except Exception as error:
        if not is_outage(error):
            raise
        logger.warning("database, before posting: %s", error)
        raise Unavailable(applied="no") from error


def is_dry_run() -> bool:
    """Whether the caller only wants to know what would happen."""
    # Most have no query, and parsing none costs as much as looking at one.
    if not request.environ.get("QUERY_STRING"):
        return False
    given = request.args.getlist("dry_run")
    if given not in (["true"], ["false"]):
        message = "Give dry_run=true or dry_run=false."
        raise InvalidRequest(message, errors={"dry_run": [message]})
    return given == ["true"]


def carry_out(operation: Operation) -> tuple[Receipt, dict[str, str]]:
    """Post it, or tell what would happen; raises its refusal. With the headers."""
    if not is_dry_run():
        receipt = receipt_of(ledger().submit(operation))
        return receipt, replay_header(receipt)
    preview = posting.preview(Unit((operation,)))
    receipt = receipt_of(preview.outcomes[0])
    wallet = preview.wallets[operation.wallet_keys[0]]
    headers = replay_header(receipt) | {"Dry-Run": "true"}
    return receipt, headers | etags.header_of(wallet)


def carry_out_unit(unit: Unit) -> tuple[list[Outcome], dict[str, str]]:
    """Post them, or tell what would happen. With the headers."""
    if not is_dry_run():
        return ledger().submit_unit(unit), {}
    return posting.preview(unit).outcomes, {"Dry-Run": "true"}


def key_from_header() -> UUID | None:
    """The Idempotency-Key as a reference, or None if there is none."""
    key = request.headers.get("Idempotency-Key")
    return None if key is None else key_to_uuid(key)


def reference_from(in_body: UUID | None, in_header: UUID | None) -> UUID:
    """The operation's reference: the body's, the header's, or a new one."""
    if in_body and in_header and in_body != in_header:
        message = "Give reference_id or Idempotency-Key, or the same UUID in both."
        raise InvalidRequest(message, errors={"reference_id": [message]})
    # Of version 7: new references grow with time, so their index stays warm.
    return in_body or in_header or uuid7()


def key_to_uuid(key: str) -> UUID:
    """An Idempotency-Key as a UUID: itself if it is one, else derived from its text."""
    text = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 0 < len(text) <= MAX_KEY_LENGTH:
        message = f"Give an Idempotency-Key of 1 to {MAX_KEY_LENGTH} characters."
        raise InvalidRequest(message, errors={"Idempotency-Key": [message]})
    return parse_uuid(text) or uuid5(KEY_NAMESPACE, text)


def receipt_of(outcome: Outcome) -> Receipt:
    """The receipt, or the refusal raised as the error that it names."""
    if isinstance(outcome, Refusal):
        raise error_of(outcome)
    return outcome


def error_of(refusal: Refusal, **facts: Any) -> WalletError:
    members: dict[str, Any] = {**refusal.facts, **facts}
    return BY_CODE[refusal.code](refusal.detail, **members)


def replay_header(receipt: Receipt) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if receipt.replayed else {}
