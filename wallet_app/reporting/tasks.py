"""What Celery runs. A task may be lost, doubled or killed: the next makes it good."""

from typing import Any
from uuid import UUID

from celery import shared_task
from psycopg import OperationalError as ConnectionLost
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.reporting import (
    broker_tables,
    heartbeat,
    hints,
    rollup,
    statement_writer,
    statements,
)

RETRIES: dict[str, Any] = {
    "autoretry_for": (OperationalError, PoolTimeout, ConnectionLost),
    "retry_backoff": True,
    "retry_backoff_max": 60,
    "retry_jitter": True,
    "max_retries": 5,
}
STATEMENT_LIMITS: dict[str, Any] = {"soft_time_limit": 900, "time_limit": 960}


@shared_task(**RETRIES)
def roll_up(after_id: int = 0) -> None:
    """Count new transactions into the rollups, for a while; more of it takes a hint."""
    next_after_id = rollup.roll_up_for(rollup.MAX_RUN_S, after_id)
    if next_after_id is None:
        heartbeat.note(heartbeat.ROLLUP)
    else:
        hints.send(hints.ROLL_UP, next_after_id)


@shared_task(**RETRIES, **STATEMENT_LIMITS)
def write_statement(statement_id: str) -> None:
    """Write the file of a statement, unless somebody else does."""
    statement_writer.write(UUID(statement_id))


@shared_task(**RETRIES)
def resume_statements() -> None:
    """Send hints for statements that wait, or whose worker is gone."""
    for statement_id in statements.due():
        if not hints.send(hints.WRITE_STATEMENT, str(statement_id)):
            break


@shared_task(**RETRIES)
def clean_up() -> None:
    """Delete statements whose time is over, and forget workers that are gone."""
    statement_writer.expire()
    heartbeat.forget_old()


@shared_task(**RETRIES)
def prune_broker() -> None:
    """Delete the messages that the PostgreSQL broker has delivered."""
    broker_tables.prune()
