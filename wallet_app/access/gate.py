"""The gate before the API: whoever calls below /api/ shows a key that may do it."""

import re
from collections.abc import Mapping

from flask import Flask, current_app, g, request

from wallet_app.access.key_text import MalformedKeyError
from wallet_app.access.known_keys import KnownKeys
from wallet_app.config import Settings
from wallet_app.database import connections
from wallet_app.errors import (
    ApiKeyExpired,
    ApiKeyMalformed,
    ApiKeyMissing,
    ApiKeyRevoked,
    ApiKeyUnknown,
    InsufficientScope,
)
from wallet_app.http.caller import Caller
from wallet_app.http.headers import MONEY
from wallet_app.http.scopes import Scope

BEARER = re.compile("bearer +", re.IGNORECASE)
REFUSALS = (ApiKeyUnknown, ApiKeyExpired, ApiKeyRevoked, InsufficientScope)


class ForgottenScopeError(RuntimeError):
    """A view below /api/ does not say what its callers need."""


def init_app(app: Flask, settings: Settings) -> None:
    """Guard the views that there are; raises ForgottenScopeError."""
    scopes = scopes_of(app)
    if settings.access == "keys":
        gate = Gate(scopes, KnownKeys(deadline_ms=settings.deadline_ms))
        app.extensions["gate"] = gate
        app.before_request(gate.admit)


def scopes_of(app: Flask) -> dict[str, Scope]:
    """Each guarded view's scope, by its endpoint."""
    scopes = {}
    for rule in app.url_map.iter_rules():
        scope = getattr(app.view_functions[rule.endpoint], "scope", None)
        if scope is not None:
            scopes[rule.endpoint] = scope
        elif rule.rule.startswith(MONEY):
            raise ForgottenScopeError(
                f"{rule.rule} ({rule.endpoint}) has no scope: name one in its route."
            )
    return scopes


class Gate:
    """Who may pass, and to which view."""

    def __init__(self, scopes: Mapping[str, Scope], keys: KnownKeys) -> None:
        self.scopes = scopes
        self.keys = keys

    def admit(self) -> None:
        """Find out who the caller is; raises why the request is refused."""
        # The request itself: each use of the proxy would look it up again.
        this = request._get_current_object()  # type: ignore[attr-defined]
        scope = self.scopes.get(this.endpoint)
        # A path that there is not is nobody's business either.
        if scope is None and not this.path.startswith(MONEY):
            return
        caller = self.caller_of(this.environ.get("HTTP_AUTHORIZATION", ""))
        if scope is not None and scope not in caller.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise InsufficientScope(
                f"The key lacks {scope}: use one that has it.",
                headers={"WWW-Authenticate": challenge},
                missing=[scope],
            )
        g.caller = caller

    def caller_of(self, authorization: str) -> Caller:
        """Whose key a header shows; raises why it is not admitted."""
        bearer = BEARER.match(authorization)
        if bearer is None:
            raise ApiKeyMissing
        try:
            return self.keys.admit(authorization[bearer.end() :])
        except MalformedKeyError:
            raise ApiKeyMalformed from None


def check_again() -> None:
    """Raise why the request's caller would not be let in any more, if so.

    For answers that last: a key may be revoked meanwhile.
    """
    gate: Gate | None = current_app.extensions.get("gate")
    if gate is not None:
        connections.start_clock(current_app)
        gate.admit()


def still_admitted() -> bool:
    """Whether the request's caller would be let in again."""
    try:
        check_again()
    except REFUSALS:
        return False
    return True
