"""What keeps the workers' own house in order, and how often any task is retried."""

from typing import Any

from celery import shared_task
from psycopg import OperationalError as ConnectionLost
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.background import broker_tables, heartbeat

RETRIES: dict[str, Any] = {
    "autoretry_for": (OperationalError, PoolTimeout, ConnectionLost),
    "retry_backoff": True,
    "retry_backoff_max": 60,
    "retry_jitter": True,
    "max_retries": 5,
}


@shared_task(**RETRIES)
def forget_workers() -> None:
    """Forget workers that have been gone for long."""
    heartbeat.forget_old()


@shared_task(**RETRIES)
def prune_broker() -> None:
    """Delete the messages that the PostgreSQL broker has delivered."""
    broker_tables.prune()
