"""The errors a client can meet: each a code and a status; one handler makes the JSON.

The shape is RFC 9457's problem details, plus `code`, `request_id` and, for invalid
input, `errors` by field.
"""

import json
import logging
import os
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from wallet_app.database import is_outage

logger = logging.getLogger(__name__)
MAX_REQUEST_ID_LENGTH = 128


class WalletError(Exception):
    """Base of the family. `facts` become members of the problem document."""

    code: str = "internal_error"
    status: int = 500
    title: str = "Something went wrong inside the service"
    advice: str = "Report it with this request_id; the log has the details."

    def __init__(
        self, detail: str = "", *, headers: dict[str, str] | None = None, **facts: Any
    ) -> None:
        self.detail = detail or self.advice
        super().__init__(self.detail)
        self.headers = headers or {}
        self.facts = facts


class MalformedRequest(WalletError):
    code, status, title = "malformed_request", 400, "The request cannot be read"
    advice = "The request cannot be read; check its body and its headers."


class ApiKeyMissing(WalletError):
    code, status, title = "api_key_missing", 401, "The request has no API key"
    advice = "Send your key in the header Authorization: Bearer wk_live_..."


class ApiKeyMalformed(WalletError):
    code, status, title = "api_key_malformed", 401, "That cannot be an API key"
    advice = "The key is mistyped or cut off; copy it again, whole."


class ApiKeyUnknown(WalletError):
    """Of an unknown key and of a wrong secret: nobody learns which it was."""

    code, status, title = "api_key_unknown", 401, "No such API key is in use here"
    advice = "Check that the key belongs to this service, or ask for a new one."


class ApiKeyExpired(WalletError):
    code, status, title = "api_key_expired", 401, "The API key's time is over"
    advice = "Use the key that has replaced it, or ask for a new one."


class ApiKeyRevoked(WalletError):
    code, status, title = "api_key_revoked", 401, "The API key was revoked"
    advice = "Ask for a new key."


class InsufficientScope(WalletError):
    """Names the scopes that are missing."""

    code, status, title = "insufficient_scope", 403, "The API key may not do that"
    advice = "Use a key that has the scope."


class NotFound(WalletError):
    code, status, title = "not_found", 404, "Nothing is here"
    advice = "No such path; /docs lists the paths that there are."


class WalletNotFound(WalletError):
    code, status, title = "wallet_not_found", 404, "There is no such wallet"


class OperationNotFound(WalletError):
    code, status, title = "operation_not_found", 404, "There is no such operation"


class StatementNotFound(WalletError):
    code, status, title = "statement_not_found", 404, "There is no such statement"


class WebhookNotFound(WalletError):
    code, status, title = "webhook_not_found", 404, "There is no such webhook"


class DeliveryNotFound(WalletError):
    code, status, title = "delivery_not_found", 404, "There is no such delivery"


class KeyNotFound(WalletError):
    code, status, title = "key_not_found", 404, "There is no such API key"


class TenantNotFound(WalletError):
    code, status, title = "tenant_not_found", 404, "There is no such tenant"


class MethodNotAllowed(WalletError):
    code, status, title = "method_not_allowed", 405, "The path has no such method"
    advice = "This path does not take that method; see the Allow header."


class WalletExists(WalletError):
    code, status, title = "wallet_exists", 409, "The uuid belongs to another wallet"


class InsufficientFunds(WalletError):
    code, status = "insufficient_funds", 409
    title = "The wallet holds less than the amount"


class BalanceLimitExceeded(WalletError):
    code, status = "balance_limit_exceeded", 409
    title = "The balance would pass its limit"


class LimitExceeded(WalletError):
    """Names the limit, its value, what is left of it, and when more is."""

    code, status, title = "limit_exceeded", 409, "A limit of the wallet is in the way"


class WalletOverdrawn(WalletError):
    """Tells what the wallet has without what is held."""

    code, status = "wallet_overdrawn", 409
    title = "The wallet is below that minimum already"


class WalletNotActive(WalletError):
    code, status, title = "wallet_not_active", 409, "The wallet does not move money"


class WalletClosed(WalletError):
    code, status, title = "wallet_closed", 409, "The wallet is closed for good"


class WalletNotEmpty(WalletError):
    """Tells the balance, and what of it is held."""

    code, status, title = "wallet_not_empty", 409, "There is money in the wallet"


class HoldNotFound(WalletError):
    code, status, title = "hold_not_found", 404, "There is no such hold"


class ExceedsHold(WalletError):
    code, status, title = "exceeds_hold", 409, "The hold has less left"


class HoldAlreadyCaptured(WalletError):
    code, status, title = "hold_already_captured", 409, "The hold was captured"


class HoldAlreadyVoided(WalletError):
    code, status, title = "hold_already_voided", 409, "The hold was voided"


class HoldAlreadyExpired(WalletError):
    code, status, title = "hold_already_expired", 409, "The hold has expired"


class NotRefundable(WalletError):
    code, status, title = "not_refundable", 409, "That is nothing to be refunded"


class ExceedsRefundable(WalletError):
    """Tells what is left to be refunded, and what has been."""

    code, status, title = "exceeds_refundable", 409, "Less is left to be refunded"


class RefundedChanged(WalletError):
    """Tells what has been refunded."""

    code, status, title = "refunded_changed", 409, "Another sum has been refunded"


class NotAnExtension(WalletError):
    code, status, title = "not_an_extension", 409, "The hold would end no later"


class CurrencyNotConfigured(WalletError):
    code, status = "currency_not_configured", 409
    title = "The service does not know the wallet's currency any more"


class StatementNotReady(WalletError):
    """Says after how many seconds to ask again."""

    code, status, title = "statement_not_ready", 409, "The statement is being written"

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail, headers={"Retry-After": "2"}, **facts)


class StatementFailed(WalletError):
    code, status, title = "statement_failed", 409, "The statement was not written"


class StatementExpired(WalletError):
    code, status, title = "statement_expired", 410, "The statement's time is over"


class ImportNotFound(WalletError):
    code, status, title = "import_not_found", 404, "There is no such import"


class ImportNotReady(WalletError):
    """Says after how many seconds to ask again."""

    code, status, title = "import_not_ready", 409, "The import is being posted"

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail, headers={"Retry-After": "2"}, **facts)


class ImportExpired(WalletError):
    code, status, title = "import_expired", 410, "The import's time is over"


class EventsExpired(WalletError):
    """Says with which position to begin."""

    code, status, title = "events_expired", 410, "The events are kept no more"


class WebhookDisabled(WalletError):
    code, status, title = "webhook_disabled", 409, "The webhook is disabled"


class TooManyWebhooks(WalletError):
    code, status, title = "too_many_webhooks", 409, "There are as many as there may be"


class AccessIsOpen(WalletError):
    code, status, title = "access_is_open", 409, "Anybody could make keys here"
    advice = (
        "Set WALLET_ACCESS=keys first, and make a key with the scope admin by "
        "`flask wallet keys create`."
    )


class TooManyKeys(WalletError):
    code, status, title = "too_many_keys", 409, "There are as many as there may be"


class KeyNotActive(WalletError):
    code, status, title = "key_not_active", 409, "The API key is revoked or expired"


class TenantExists(WalletError):
    code, status, title = "tenant_exists", 409, "The name belongs to another tenant"


class PreconditionFailed(WalletError):
    code, status, title = "precondition_failed", 412, "The wallet has changed"


class BodyTooLarge(WalletError):
    code, status, title = "body_too_large", 413, "The body is over the limit"
    advice = "Send a smaller body, or split a batch."


class UnsupportedMediaType(WalletError):
    code, status = "unsupported_media_type", 415
    title = "The body must be application/json"
    advice = "Send JSON with the header Content-Type: application/json."


class InvalidRequest(WalletError):
    code, status, title = "validation_failed", 422, "The request is not valid"
    advice = "Correct the request and send it again."


class InvalidAmount(WalletError):
    code, status, title = "invalid_amount", 422, "The amount does not fit the currency"


class IdempotencyKeyReused(WalletError):
    code, status = "idempotency_key_reused", 422
    title = "The key belongs to another operation"


class CurrencyMismatch(WalletError):
    code, status, title = "currency_mismatch", 422, "The wallets' currencies differ"


class SameWallet(WalletError):
    code, status, title = "same_wallet", 422, "A wallet cannot pay itself"


class RateLimited(WalletError):
    """Says after how many seconds to ask again."""

    code, status, title = "rate_limited", 429, "There were too many requests"
    advice = (
        "Wait as many seconds as Retry-After says; RateLimit-Policy has the limits."
    )

    def __init__(self, detail: str = "", *, retry_after_s: int, **facts: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)}, **facts)


class Unavailable(WalletError):
    """Try again later: says after how many seconds."""

    code, status, title = "try_again", 503, "The service cannot answer right now"
    advice = "The database did not answer in time; try again."

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail, headers={"Retry-After": "1"}, **facts)


class HttpError(WalletError):
    """What Flask and werkzeug raise on their own account."""

    def __init__(self, error: HTTPException) -> None:
        self.status = error.code or WalletError.status
        self.title = error.name
        self.code = error.name.lower().replace(" ", "_")
        super().__init__(error.description or error.name)


class ProblemInRouting(HTTPException):
    """Carries a problem through werkzeug's routing, which lets only its own pass."""

    def __init__(self, problem: WalletError) -> None:
        super().__init__()
        self.code = problem.status
        self.problem = problem


FAMILY: list[type[WalletError]] = [WalletError, *WalletError.__subclasses__()]
BY_CODE = {family.code: family for family in FAMILY if family is not HttpError}
BY_STATUS: dict[int, type[WalletError]] = {
    family.status: family
    for family in (
        MalformedRequest,
        NotFound,
        MethodNotAllowed,
        BodyTooLarge,
        UnsupportedMediaType,
        InvalidRequest,
    )
}


def init_app(app: Flask) -> None:
    """Answer every error with a problem document."""
    app.register_error_handler(Exception, handle)


def request_id() -> str:
    """The client's X-Request-ID, if it is short printable ASCII, or a new one."""
    # The object itself: each use of the proxy would look it up again.
    here = g._get_current_object()
    known: str | None = here.get("request_id")
    if known is None:
        given: str = request.environ.get("HTTP_X_REQUEST_ID", "")
        usable = 0 < len(given) <= MAX_REQUEST_ID_LENGTH and given.isascii()
        here.request_id = known = given if usable and given.isprintable() else new_id()
    return known


def new_id() -> str:
    return os.urandom(16).hex()


def handle(error: Exception) -> Response:
    """Any exception as application/problem+json; unexpected ones are logged."""
    problem = as_wallet_error(error)
    g.problem = problem
    if problem.status == WalletError.status:
        logger.error("request %s failed", request_id(), exc_info=error)
    response = Response(
        # ASCII, because a client's field name may be a lone surrogate.
        json.dumps(problem_document(problem)),
        problem.status,
        content_type="application/problem+json",
    )
    response.headers.update(problem.headers)
    if problem.status == ApiKeyMissing.status:
        response.headers["WWW-Authenticate"] = challenge(problem)
    return response


def challenge(problem: WalletError) -> str:
    """What RFC 6750 says beside a 401: an error only if there was a key."""
    if isinstance(problem, ApiKeyMissing):
        return 'Bearer realm="wallet"'
    error = f'error="invalid_token", error_description="{problem.title}"'
    return f'Bearer realm="wallet", {error}'


def as_wallet_error(error: Exception) -> WalletError:
    """Translate what Flask and SQLAlchemy raise."""
    if isinstance(error, WalletError):
        return error
    if isinstance(error, HTTPException):
        return from_http_exception(error)
    if is_outage(error):
        logger.warning("request %s: database: %s", request_id(), error)
        return Unavailable()
    return WalletError()


def from_http_exception(error: HTTPException) -> WalletError:
    if isinstance(error, ProblemInRouting):
        return error.problem
    if error.code not in BY_STATUS:
        return HttpError(error)
    allowed = getattr(error, "valid_methods", None)
    headers = {"Allow": ", ".join(allowed)} if allowed else {}
    return BY_STATUS[error.code](headers=headers)


def problem_document(problem: WalletError) -> dict[str, Any]:
    return {
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.path,
        "code": problem.code,
        "request_id": request_id(),
        **problem.facts,
    }
