"""From a request to an operation of the ledger, and from its outcome to an answer."""

from typing import Any
from uuid import UUID, uuid5

from flask import current_app, request
from uuid_utils.compat import uuid7

from wallet_app.errors import BY_CODE, InvalidRequest
from wallet_app.http.fields import parse_uuid
from wallet_app.ledger.group_commit import GroupCommit
from wallet_app.ledger.posting import Outcome, Receipt
from wallet_app.ledger.rules import Operation, OperationType, Refusal

MAX_KEY_LENGTH = 255
KEY_NAMESPACE = UUID("5a1f0f3c-6a3e-4d0a-9d5e-0c1b8f6f7e21")


def ledger() -> GroupCommit:
    """The process's way to the ledger."""
    return current_app.extensions["ledger"]  # type: ignore[no-any-return]


def operation_from(
    body: dict[str, Any], *, wallet_uuid: UUID, target_uuid: UUID | None = None
) -> Operation:
    """The operation that a request asks for, with its headers taken into account."""
    return Operation(
        operation_type=OperationType[body["operation_type"]],
        wallet_uuid=wallet_uuid,
        target_uuid=target_uuid,
        amount=body["amount"],
        description=body["description"],
        reference_id=reference_from(body["reference_id"]),
        expected_version=expected_version(),
    )


def reference_from(body_reference: UUID | None) -> UUID:
    """The operation's reference: the body's, the header's, or a new one."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        # Of version 7: these grow with time, so their index stays warm.
        return body_reference or uuid7()
    from_key = key_to_uuid(key)
    if body_reference is not None and body_reference != from_key:
        message = "Give reference_id or Idempotency-Key, or the same UUID in both."
        raise InvalidRequest(message, errors={"reference_id": [message]})
    return from_key


def key_to_uuid(key: str) -> UUID:
    """An Idempotency-Key as a UUID: itself if it is one, else derived from its text."""
    text = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 0 < len(text) <= MAX_KEY_LENGTH:
        message = f"Give an Idempotency-Key of 1 to {MAX_KEY_LENGTH} characters."
        raise InvalidRequest(message, errors={"Idempotency-Key": [message]})
    return parse_uuid(text) or uuid5(KEY_NAMESPACE, text)


def expected_version() -> int | None:
    """The version in If-Match; None for no header or for *."""
    if "If-Match" not in request.headers:
        return None
    tags = request.if_match
    if tags.star_tag:
        return None
    versions = list(tags)
    if len(versions) != 1 or not versions[0].isascii() or not versions[0].isdecimal():
        message = 'Give the ETag of one read of the wallet, such as If-Match: "42".'
        raise InvalidRequest(message, errors={"If-Match": [message]})
    return int(versions[0])


def receipt_of(outcome: Outcome) -> Receipt:
    """The receipt, or the refusal raised as the error that it names."""
    if isinstance(outcome, Refusal):
        raise BY_CODE[outcome.code](outcome.detail, **outcome.facts)
    return outcome


def replay_header(receipt: Receipt) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if receipt.replayed else {}
