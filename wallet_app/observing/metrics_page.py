"""GET /metrics: what Prometheus reads."""

from typing import Any

from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from wallet_app.errors import NotFound
from wallet_app.observing.metrics import Metrics
from wallet_app.observing.state import DatabaseState

# What proxies add to the requests that they pass on.
FORWARDED = ("Forwarded", "X-Forwarded-For", "Via")


def init_app(app: Flask) -> Metrics:
    """Add the page; return what is to be told of the process's work."""
    metrics = Metrics()
    state = DatabaseState()

    def show() -> Response:
        # For who reaches this server itself: what comes by a proxy is from outside,
        # and must not learn how the business goes, however the proxy is set up.
        if any(name in request.headers for name in FORWARDED):
            raise NotFound()
        page: Any = b"".join(map(generate_latest, (metrics.collected(), state)))
        return Response(page, content_type=CONTENT_TYPE_LATEST)

    app.add_url_rule("/metrics", view_func=show, endpoint="metrics")
    return metrics
