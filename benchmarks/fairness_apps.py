"""The service, with a tenant that the wallet's uuid names; fair, and not."""

from uuid import UUID

from flask import Flask, g, request

from wallet_app import create_app
from wallet_app.http.caller import Caller


def wallet_of(tenant_id: int, number: int) -> UUID:
    """The tenant in front, for the application to find."""
    return UUID(fields=(tenant_id, 0, 0x4000, 0x80, 0, number))


def fair() -> Flask:
    app = create_app()

    @app.before_request
    def take_the_tenant_from_the_uuid() -> None:
        # Who sends batches is the first tenant, which is the default one.
        uuid = (request.view_args or {}).get("uuid")
        if uuid is not None:
            g.caller = Caller(tenant_id=uuid.fields[0])

    return app


def unfair() -> Flask:
    app = fair()
    # All that is queued is one batch, up to its bound.
    app.extensions["ledger"].fast.queue.share = 10**9
    return app
