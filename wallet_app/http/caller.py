"""Who makes the request that is being answered, or has given the command."""

from contextvars import ContextVar
from dataclasses import dataclass

from flask import g, has_request_context

from wallet_app.http.scopes import EVERY_SCOPE, Scope
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose wallets a request sees, by which key, and what it may do.

    Without a key: nobody was asked for one.
    """

    tenant_id: int = DEFAULT_TENANT_ID
    key_id: str | None = None
    scopes: frozenset[Scope] = EVERY_SCOPE


ANYBODY = Caller()
# Outside of requests: who has given a command, whose option names a tenant.
commanding: ContextVar[Caller] = ContextVar("commanding", default=ANYBODY)


def caller() -> Caller:
    """The request's caller; the default tenant where access is not controlled."""
    if not has_request_context():
        return commanding.get()
    known: Caller = g.get("caller", ANYBODY)
    return known
