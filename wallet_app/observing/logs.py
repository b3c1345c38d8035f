"""What is logged, and in which form; in JSON, an object a line."""

import logging
import logging.config
from typing import Any

from celery import current_task
from celery.signals import setup_logging
from flask import has_request_context

from wallet_app.config import Settings
from wallet_app.errors import request_id
from wallet_app.observing import traceparent

OURS = "wallet_app"
TEXT = {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
# serving/json_logs.py says the same for gunicorn.
JSON = {
    "()": "pythonjsonlogger.orjson.OrjsonFormatter",
    "fmt": ["levelname", "name", "message"],
    "rename_fields": {"levelname": "level", "name": "logger"},
    "timestamp": "time",
}


class Occasion(logging.Filter):
    """Adds for which request, or which task, something is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "request_id"):
            return True
        if has_request_context():
            record.request_id = request_id()
            trace = traceparent.of_request()
        elif current_task:
            record.task = current_task.name
            record.task_id = current_task.request.id
            trace = traceparent.of_task(current_task)
        else:
            return True
        if trace is not None:
            record.trace_id = trace.trace_id
        return True


def init_app(settings: Settings) -> None:
    """Log to the standard error output, unless somebody has set up logging before."""
    logging.getLogger(OURS).setLevel(settings.log_level)
    as_json = settings.log_format == "json"
    if not logging.getLogger().handlers:
        set_up(as_json=as_json)
    if as_json:
        # Celery sets up nothing if somebody else does.
        setup_logging.connect(set_up_celery, weak=False, dispatch_uid=OURS)


def set_up(*, as_json: bool, level: int | str = "WARNING") -> None:
    formatter: dict[str, Any] = JSON if as_json else TEXT
    handler: dict[str, Any] = {"class": "logging.StreamHandler", "formatter": "line"}
    if as_json:
        handler["filters"] = ["occasion"]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"occasion": {"()": Occasion}},
            "formatters": {"line": formatter},
            "handlers": {"errors": handler},
            "root": {"level": level, "handlers": ["errors"]},
        }
    )


def set_up_celery(loglevel: int | str, **_: Any) -> None:
    set_up(as_json=True, level=loglevel)
