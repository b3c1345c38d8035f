"""Is the process alive, can it serve, and do the background workers keep up?"""

import logging
from typing import Any

import marshmallow as ma
from sqlalchemy.exc import SQLAlchemyError

from wallet_app import database
from wallet_app.background import heartbeat
from wallet_app.errors import Unavailable
from wallet_app.http.api import WalletBlueprint
from wallet_app.http.fields import Moment
from wallet_app.http.lean import LeanSchema

logger = logging.getLogger(__name__)
blp = WalletBlueprint("health", __name__, description="For probes")
NOBODY = heartbeat.Seen(0, None, None)
LATE_AFTER_S = 60


class Health(LeanSchema):
    """Good news; anything else is a problem document."""

    status = ma.fields.String(metadata={"example": "ok"})


class Readiness(LeanSchema):
    """Money can be moved. `degraded`: only what Celery prepares is late."""

    status = ma.fields.String(
        validate=ma.validate.OneOf(["ok", "degraded"]), metadata={"example": "ok"}
    )
    workers = ma.fields.Integer(
        metadata={"description": "Background workers seen lately", "example": 2}
    )
    last_rollup_at = Moment(allow_none=True)
    rollup_lag_seconds = ma.fields.Float(
        allow_none=True,
        metadata={
            "description": "How long ago that was: reports stay exact, but get slower",
            "example": 2.5,
        },
    )


@blp.route("/healthz")
@blp.response(200, Health)
def healthz() -> Any:
    """Is the process alive?"""
    return {"status": "ok"}


@blp.route("/readyz")
@blp.problems(Unavailable)
@blp.response(200, Readiness)
def readyz() -> Any:
    """Can it serve? Asks the database

    Background workers that are late or gone show as `degraded`, with status 200:
    money moves without them.
    """
    database.ping()
    try:
        seen = heartbeat.read()
    except SQLAlchemyError as error:
        logger.warning("the heartbeats cannot be read: %s", error)
        seen = NOBODY
    lag = seen.rollup_lag_seconds
    on_time = seen.workers > 0 and lag is not None and lag < LATE_AFTER_S
    return {
        "status": "ok" if on_time else "degraded",
        "workers": seen.workers,
        "last_rollup_at": seen.last_rollup_at,
        "rollup_lag_seconds": None if lag is None else round(lag, 3),
    }
