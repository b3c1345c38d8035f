"""What keeps the workers' own house in order, and how often any task is retried."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from celery import shared_task

from wallet_app.background import broker_tables, heartbeat
from wallet_app.database import is_outage

Parameters = ParamSpec("Parameters")


class OutageError(Exception):
    """The database is away; what the task has to do is still written down there."""


RETRIES: dict[str, Any] = {
    "autoretry_for": (OutageError,),
    # Given up, it is a line in the log and no traceback: beat sends the next.
    "throws": (OutageError,),
    "retry_backoff": True,
    "retry_backoff_max": 60,
    "retry_jitter": True,
    "max_retries": 5,
}


def task(**options: Any) -> Callable[[Callable[Parameters, None]], Any]:
    """Make a function a task that is tried again while the database is away."""

    def decorator(work: Callable[Parameters, None]) -> Any:
        @wraps(work)
        def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
            try:
                work(*args, **kwargs)
            except Exception as error:
                if not is_outage(error):
                    raise
                # Celery tells errors apart by their class alone.
                raise OutageError(str(error)) from error

        return shared_task(**RETRIES, **options)(run)

    return decorator


@task()
def forget_workers() -> None:
    """Forget workers that have been gone for long."""
    heartbeat.forget_old()


@task()
def prune_broker() -> None:
    """Delete the messages that the PostgreSQL broker has delivered."""
    broker_tables.prune()
