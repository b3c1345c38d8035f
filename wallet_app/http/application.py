"""The Flask application class."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Request, Response
from werkzeug.routing import MapAdapter

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

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match a request's path, whichever host it was sent to."""
        if request is None:
            return super().create_url_adapter(request)
        environ = request.environ
        return self.url_map.bind(
            environ.get("HTTP_HOST", "localhost"),
            script_name=request.root_path,
            url_scheme=request.scheme,
            default_method=request.method,
            path_info=environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
            query_args=environ["QUERY_STRING"],
        )

    def make_default_options_response(self) -> Response:
        """Which methods a path has, without the type of a body that is not there."""
        response = super().make_default_options_response()
        response.status_code = 204
        del response.headers["Content-Type"]
        return response

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func
