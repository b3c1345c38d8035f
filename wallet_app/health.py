"""Is the process alive, and can it serve?"""

from typing import Any

import marshmallow as ma

from wallet_app import database
from wallet_app.errors import Unavailable
from wallet_app.http.api import WalletBlueprint

blp = WalletBlueprint("health", __name__, description="For probes")


class Health(ma.Schema):
    """Good news; anything else is a problem document."""

    status = ma.fields.String(metadata={"example": "ok"})


@blp.route("/healthz")
@blp.response(200, Health)
def healthz() -> Any:
    """Is the process alive?"""
    return {"status": "ok"}


@blp.route("/readyz")
@blp.problems(Unavailable)
@blp.response(200, Health)
def readyz() -> Any:
    """Can it serve? Asks the database"""
    database.ping()
    return {"status": "ok"}
