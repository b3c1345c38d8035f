"""The headers that every answer has: its id, and what browsers and caches may do.

What is added to a response's own headers is looked at twice, letter by letter; what is
noted here goes out as it is, and is made of nothing that a client sent unchecked.
"""

from typing import Any

from flask import Flask, Request, Response, request

from wallet_app.errors import request_id

# Money changes, and concerns nobody else: no cache keeps what is below this path.
MONEY = "/api/"
PAGES = {"api-docs.openapi_swagger_ui", "api-docs.openapi_redoc"}

NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
POLICY = "Content-Security-Policy"
ANYWHERE = [NO_SNIFFING, (POLICY, "default-src 'none'; frame-ancestors 'none'")]
ON_MONEY = [*ANYWHERE, ("Cache-Control", "no-store")]
# A page must not ask other hosts for anything, as ReDoc does for its makers' logo.
ON_PAGES = [
    NO_SNIFFING,
    (
        POLICY,
        "default-src 'self' 'unsafe-inline' data: blob:; worker-src blob:;"
        " frame-ancestors 'none'",
    ),
]
NOTED = "wallet.headers"


def of_environment(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """The list of what is noted for the answer to a request."""
    noted: list[tuple[str, str]] = environ.setdefault(NOTED, [])
    return noted


def note(this: Request, *headers: tuple[str, str]) -> None:
    """Have headers added to the answer, whatever becomes of the request."""
    this.environ[NOTED] += headers


def init_app(app: Flask) -> None:
    app.after_request(add_headers)


def add_headers(response: Response) -> Response:
    # The request itself: each use of the proxy would look it up again.
    this = request._get_current_object()  # type: ignore[attr-defined]
    if this.path.startswith(MONEY):
        more = ON_MONEY
        if response.direct_passthrough:
            # A file has come with a rule of its own.
            response.headers.remove("Cache-Control")
    else:
        more = ON_PAGES if this.endpoint in PAGES else ANYWHERE
    note(this, ("X-Request-ID", request_id()), *more)
    return response
