"""The Flask application class."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response


class WalletApp(Flask):
    """A Flask application without asynchronous views: none has to be looked for."""

    def make_default_options_response(self) -> Response:
        """Which methods a path has, without the type of a body that is not there."""
        response = super().make_default_options_response()
        response.status_code = 204
        del response.headers["Content-Type"]
        return response

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func
