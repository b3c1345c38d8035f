"""PostgreSQL: the engine, its connections, and the one place for transactions."""

from wallet_app.database.engine import db, init_app, migrate
from wallet_app.database.outages import ConnectionLostError, is_outage
from wallet_app.database.pipelines import pipeline
from wallet_app.database.replica import read_copy
from wallet_app.database.transactions import (
    AnyRow,
    ping,
    reading,
    reading_first,
    settled,
    shared_connection,
    transaction,
)

__all__ = [
    "AnyRow",
    "ConnectionLostError",
    "db",
    "init_app",
    "is_outage",
    "migrate",
    "ping",
    "pipeline",
    "read_copy",
    "reading",
    "reading_first",
    "settled",
    "shared_connection",
    "transaction",
]
