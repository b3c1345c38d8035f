"""The Flask application class."""

from collections.abc import Callable
from typing import Any

from flask import Flask


class WalletApp(Flask):
    """A Flask application without asynchronous views: none has to be looked for."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func
