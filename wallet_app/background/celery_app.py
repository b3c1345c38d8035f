"""Celery, made from the Flask application, in whose context its tasks run."""

import os
from functools import partial
from typing import Any

from celery import Celery, Task
from celery.signals import (
    worker_process_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from flask import Flask
from kombu.transport import virtual
from kombu.transport.sqlalchemy import Channel, Transport
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InternalError, PendingRollbackError, SQLAlchemyError

from wallet_app.background import ending, hints
from wallet_app.background.heartbeat import Pulse
from wallet_app.config import Settings
from wallet_app.database import db
from wallet_app.database.connections import (
    PatientConnection,
    connect,
    connect_options,
    part_from_useless_links,
)

# Rooms with tasks; each has them in a module of that name.
ROOMS = (
    *("background", "books", "feed", "holds", "imports", "statistics", "statements"),
    "webhooks",
)
RELAY_INTERVAL_S = 1
RESUME_INTERVAL_S = 10
PRUNE_INTERVAL_S = 60
# How soon a worker takes the deliveries up again that another has left.
DELIVER_INTERVAL_S = 5
SWEEP_INTERVAL_S = 20
TIDY_INTERVAL_S = 10
CLEAN_UP_INTERVAL_S = 15 * 60
# Beside money requests, whose processes have 0.
NICENESS = 10
# PostgreSQL as broker is looked into once a second: what expired sooner might be found
# too late every time.
LEAST_EXPIRY_S = 5.0


class TablesChannel(Channel):
    """kombu's channel to PostgreSQL, but one that recovers from an outage."""

    def _engine_from_config(self) -> Engine:
        engine: Engine = super()._engine_from_config()
        part_from_useless_links(engine)
        return engine

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        try:
            return super()._get(queue)
        except SQLAlchemyError:
            # kombu commits, whatever has happened: the session would stay broken.
            self.session.rollback()
            raise


Transport.Channel = TablesChannel
# kombu leaves its own errors out for PostgreSQL. Beat, whose channel is closed after an
# attempt to send has failed, would then never open another, and never send again. Nor
# does it know what a standby says (25006), and what its own COMMIT after a lost link
# leads to: a worker would end.
MISSING_ERRORS: Any = (InternalError, PendingRollbackError)
Transport.connection_errors += virtual.Transport.connection_errors + MISSING_ERRORS


def init_app(app: Flask, settings: Settings, database_url: str) -> None:
    """Make the Celery application and keep it in app.extensions["celery"]."""

    class AppContextTask(Task):  # type: ignore[type-arg]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery = Celery("wallet", task_cls=AppContextTask)
    celery.conf.update(
        broker_url=settings.broker_url or f"sqla+{database_url}",
        broker_transport_options=transport_options(settings, database_url),
        broker_connection_timeout=2,
        broker_connection_retry_on_startup=True,
        # A worker outlives any outage of its broker.
        broker_connection_max_retries=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_pool="wallet_app.background.worker_pool:Pool",
        # The state of the reports lives in our tables; messages are hints.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_soft_time_limit=240,
        task_time_limit=300,
        task_default_queue="rollups",
        # A large statement must not delay the rollups, nor either of them a webhook.
        task_routes={
            hints.WRITE_STATEMENT: {"queue": "statements"},
            hints.POST_IMPORT: {"queue": "statements"},
            "wallet_app.books.tasks.sweep": {"queue": "statements"},
            "wallet_app.webhooks.tasks.deliver": {"queue": "webhooks"},
        },
        imports=[f"wallet_app.{room}.tasks" for room in ROOMS],
        beat_schedule=schedule(settings),
        timezone="UTC",
    )
    celery.set_default()
    app.extensions["celery"] = celery
    connect_signals(app)


def transport_options(settings: Settings, database_url: str) -> dict[str, Any]:
    """A pool of its own for PostgreSQL; short waits, soon given up, for all."""
    patience = {
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.2,
    }
    if settings.broker_url is None:
        pool = {"pool_size": 2, "max_overflow": 2, "pool_timeout": 2}
        creator = partial(connect_to_tables, settings, database_url)
        return {**patience, **pool, "pool_pre_ping": True, "creator": creator}
    if settings.broker_url.startswith("redis"):
        # Longer than any task runs: an unacknowledged message comes again after it.
        return {
            **patience,
            "socket_connect_timeout": 2,
            "socket_timeout": 5,
            "visibility_timeout": 20 * 60,
        }
    return {**patience, "read_timeout": 5, "write_timeout": 5}


def connect_to_tables(settings: Settings, database_url: str) -> PatientConnection:
    """A connection for the broker, which is no exception from a request's deadline."""
    return connect(
        **connect_options(database_url) | {"application_name": "wallet-broker"},
        prepare_threshold=None if settings.transaction_pooling else 5,
    )


def schedule(settings: Settings) -> dict[str, Any]:
    """What beat sends."""
    entries = {
        "roll-up": entry("statistics.tasks.roll_up", settings.rollup_interval_seconds),
        "relay-journal": entry("feed.tasks.relay_journal", RELAY_INTERVAL_S),
        "prune-feed": entry("feed.tasks.prune_feed", CLEAN_UP_INTERVAL_S),
        "resume-statements": entry(
            "statements.tasks.resume_statements", RESUME_INTERVAL_S
        ),
        "expire-statements": entry(
            "statements.tasks.expire_statements", CLEAN_UP_INTERVAL_S
        ),
        "resume-imports": entry("imports.tasks.resume_imports", RESUME_INTERVAL_S),
        "clean-up-imports": entry(
            "imports.tasks.clean_up_imports", CLEAN_UP_INTERVAL_S
        ),
        "deliver-webhooks": entry("webhooks.tasks.deliver", DELIVER_INTERVAL_S),
        "tidy-holds": entry("holds.tasks.tidy", TIDY_INTERVAL_S),
        "sweep-books": entry("books.tasks.sweep", SWEEP_INTERVAL_S),
        "clean-up-webhooks": entry("webhooks.tasks.clean_up", PRUNE_INTERVAL_S),
        "forget-workers": entry("background.tasks.forget_workers", CLEAN_UP_INTERVAL_S),
    }
    if settings.broker_url is None:
        entries["prune-broker"] = entry(
            "background.tasks.prune_broker", PRUNE_INTERVAL_S
        )
    return entries


def entry(task: str, every_s: float) -> dict[str, Any]:
    """A message that waits until the next is due is stale: it expires before that.

    Of those that are sent more often than the broker is asked, a few may wait.
    """
    return {
        "task": f"wallet_app.{task}",
        "schedule": every_s,
        "options": {"expires": max(every_s * 0.9, LEAST_EXPIRY_S)},
    }


def connect_signals(app: Flask) -> None:
    """Every worker process gives way, with fresh connections; a pulse in the parent."""
    pulses: list[Pulse] = []

    def start_pulse(sender: Any, **_: Any) -> None:
        pulses.append(Pulse(app, sender.hostname))
        pulses[-1].start()

    def stop_pulses(**_: Any) -> None:
        for pulse in pulses:
            pulse.stop()

    worker_process_init.connect(lambda **_: forget_connections(app), weak=False)
    worker_process_init.connect(lambda **_: os.nice(NICENESS), weak=False)
    worker_ready.connect(start_pulse, weak=False)
    worker_shutting_down.connect(lambda **_: ending.announce(), weak=False)
    worker_shutdown.connect(stop_pulses, weak=False)


def forget_connections(app: Flask) -> None:
    """A connection from before the fork belongs to the parent: leave it open there."""
    with app.app_context():
        for own in db.engines.values():
            own.dispose(close=False)
    for engine, _ in Channel._engines.values():
        engine.dispose(close=False)
