"""A clock that stands still, and a stand-in for keys where the real ones come."""

from types import SimpleNamespace

import pytest
from flask import abort, g, request
from flask.testing import FlaskClient

from wallet_app.http.caller import Caller
from wallet_app.limits import barred, limiting

PATH = "/api/v1/wallets"


@pytest.fixture
def clock(monkeypatch):
    """Its `now`, for the windows and for what is barred, moves when a test moves it."""
    clock = SimpleNamespace(now=1_800_000_000.0)
    clock.time = clock.monotonic = lambda: clock.now
    for module in (limiting, barred):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def limited(app, clock, make_app):
    """Make a client of a service with limits, which counts in its own memory."""

    def make(**limits):
        return make_app(**limits).test_client()

    return make


@pytest.fixture
def with_keys(app, clock, make_app):
    """The same with keys: any is valid but "wrong". `looked_up` has all that came."""

    def make(**limits):
        service = make_app(**limits)
        looked_up = []

        def ask_for_key():
            key = request.headers.get("Authorization", "").removeprefix("Bearer ")
            looked_up.append(key)
            if key in ("", "wrong"):
                abort(401)
            g.caller = Caller(key_id=key)

        hooks = service.before_request_funcs[None]
        hooks.insert(len(hooks) - bool(limits.get("rate_limit")), ask_for_key)
        client = FlaskClient(service, service.response_class)
        client.looked_up = looked_up
        return client

    return make


@pytest.fixture
def statuses():
    """Send so many requests; return their statuses."""

    def send(client, count, *, key=None, address="192.0.2.1", **headers):
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return [
            client.get(
                PATH, headers=headers, environ_base={"REMOTE_ADDR": address}
            ).status_code
            for _ in range(count)
        ]

    return send
