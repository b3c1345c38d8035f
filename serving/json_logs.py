"""gunicorn's own log in JSON, in the form that wallet_app/observing/logs.py has."""

import logging
from typing import Any

from gunicorn.glogging import Logger
from pythonjsonlogger.orjson import OrjsonFormatter


class JsonLogger(Logger):
    """One object a line.

    gunicorn's `logconfig_dict` would do it too, and makes it gather what an access log
    might say of each request, without one.
    """

    def _set_handler(
        self,
        log: logging.Logger,
        output: str | None,
        fmt: logging.Formatter,
        stream: Any = None,
    ) -> None:
        line = OrjsonFormatter(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
        super()._set_handler(log, output, line, stream)
