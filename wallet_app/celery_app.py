"""Celery, made from the Flask application: its tasks run in the application's context."""

from typing import Any

from celery import Celery, Task
from celery.signals import worker_process_init
from flask import Flask
from kombu.transport.sqlalchemy import Channel

from wallet_app.config import Settings
from wallet_app.database import db

PRUNE_INTERVAL_S = 60


def init_app(app: Flask, settings: Settings, database_url: str) -> None:
    """Make the Celery application and keep it in app.extensions["celery"]."""

    class AppContextTask(Task):  # type: ignore[type-arg]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery = Celery("wallet", task_cls=AppContextTask)
    celery.conf.update(
        broker_url=settings.broker_url or f"sqla+{database_url}",
        broker_transport_options={} if settings.broker_url else POOL_OF_ITS_OWN,
        broker_connection_retry_on_startup=True,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_soft_time_limit=240,
        task_time_limit=300,
        # The state of the reports lives in our tables; messages are hints.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        imports=["wallet_app.reporting.tasks"],
        beat_schedule=schedule(settings),
        timezone="UTC",
    )
    celery.set_default()
    app.extensions["celery"] = celery
    worker_process_init.connect(lambda **_: forget_connections(app), weak=False)


POOL_OF_ITS_OWN: dict[str, Any] = {
    "pool_size": 2,
    "max_overflow": 2,
    "pool_pre_ping": True,
    "connect_args": {"application_name": "wallet-broker", "connect_timeout": 5},
}


def schedule(settings: Settings) -> dict[str, Any]:
    """What beat sends; a message that waits longer than its interval is stale."""
    every = settings.rollup_interval_seconds
    entries = {
        "roll-up": {
            "task": "wallet_app.reporting.tasks.roll_up",
            "schedule": every,
            "options": {"queue": "rollups", "expires": every},
        }
    }
    if settings.broker_url is None:
        entries["prune-broker"] = {
            "task": "wallet_app.reporting.tasks.prune_broker",
            "schedule": PRUNE_INTERVAL_S,
            "options": {"queue": "rollups", "expires": PRUNE_INTERVAL_S},
        }
    return entries


def forget_connections(app: Flask) -> None:
    """A connection from before the fork belongs to the parent: leave it open there."""
    with app.app_context():
        db.engine.dispose(close=False)
    for engine, _ in Channel._engines.values():
        engine.dispose(close=False)
