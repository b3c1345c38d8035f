"""The Flask application class."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response

from wallet_app.http import headers


class WalletApp(Flask):
    """A Flask application without asynchronous views: none has to be looked for."""

    def wsgi_app(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer, with the headers that have been noted for the answer."""
        noted = headers.of_environment(environ)

        def start(status: str, own: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, own + noted, *error)

        return super().wsgi_app(environ, start)

    def make_default_options_response(self) -> Response:
        """Which methods a path has, without the type of a body that is not there."""
        response = super().make_default_options_response()
        response.status_code = 204
        del response.headers["Content-Type"]
        return response

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func
