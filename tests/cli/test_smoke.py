import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from wallet_app.access import keys
from wallet_app.cli.smoke_steps import STEPS
from wallet_app.http.scopes import Scope


class Tampered:
    """The service, with a text in the answers of some paths replaced by another."""

    def __init__(self, app: Flask, path: str, old: str, new: str) -> None:
        self.app, self.path, self.old, self.new = app, path, old, new

    def __call__(self, environ: Any, start_response: Any) -> Any:
        response = Response.from_app(self.app, environ)
        if Request(environ).path.endswith(self.path):
            for name, value in list(response.headers):
                if self.old in f"{name}: {value}":
                    del response.headers[name]
            response.set_data(
                response.get_data(as_text=True).replace(self.old, self.new)
            )
        return response(environ, start_response)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def smoke(runner) -> Callable[..., Any]:
    def run(url: str, *options: str) -> Any:
        return runner.invoke(args=["wallet", "smoke", "--url", url, *options])

    return run


def test_healthy_service_passes_every_step(app, smoke):
    with serving(app) as url:
        result = smoke(url + "/")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.stdout
    assert lines[:-1] == [f"ok   {name}" for name, _ in STEPS]
    assert lines[-1] == f"All {len(STEPS)} steps passed."


def test_a_service_that_asks_for_a_key_gets_it(make_app, context, smoke, monkeypatch):
    key = keys.create(tenant_id=1, name="smoke", scopes=list(Scope))["key"]
    with serving(make_app(access="keys")) as url:
        assert "api_key_missing" in smoke(url).stdout
        assert smoke(url, "--key", key).exit_code == 0
        monkeypatch.setenv("WALLET_API_KEY", key)
        assert smoke(url).exit_code == 0


@pytest.mark.parametrize(
    ("path", "old", "new", "failing"),
    [
        ("/healthz", "ok", "no", "the service lives"),
        ("/readyz", "degraded", "no", "it reaches its database"),
        ("/openapi.json", '"3.1', '"3.0', "it describes itself"),
        ("/docs", 'src="/', 'src="https://cdn.example/', "the pages"),
        ("/redoc", "/static/", "/nowhere/", "the pages"),
        ("/wallets", "Location", "", "create a wallet"),
        ("/wallets", "Idempotent-Replayed", "", "create it again"),
        ("/operation", '"1000.00"', '"999.99"', "deposit 1000"),
        ("/operation", "Idempotent-Replayed", "", "withdraw it again"),
        ("/operation", '"seq":2', '"seq":3', "withdraw 500"),
        ("/operation", "idempotency_key_reused", "x", "the same reference_id"),
        ("/operation", '"0.01"', '"0.02"', "withdraw a cent too much"),
        ("/operation", "500.30", "500.31", "deposit 0.1 and 0.2"),
        ("/operation", "malformed_request", "x", "a body that is not JSON"),
        ("/transactions", '"seq":1', '"seq":0', "the history"),
        ("/transactions", '"has_more":false', '"has_more":true', "the history"),
        ("/transactions", '"data"', '"rows"', "the history"),
        ("/balance", "500.30", "500.29", "the balance"),
        ("/statistics", '"count":3', '"count":2', "the statistics"),
        ("/statistics", "500.30", "500.29", "the statistics"),
        ("/balance", '"held":"100.00"', '"held":"0.00"', "hold 100.00"),
        ("/void", "hold_already_captured", "x", "hold 100.00"),
        ("/limits", '"20.00"', "null", "a limit of 20.00"),
        ("/operation", "wallet_not_active", "x", "freeze it"),
        ("/close", '"closed"', '"active"', "close the second"),
    ],
)
def test_wrong_answer_fails_its_step(app, smoke, path, old, new, failing):
    with serving(Tampered(app, path, old, new)) as url:
        result = smoke(url)
    failures = [line for line in result.stdout.splitlines() if line[:4] == "FAIL"]
    assert result.exit_code == 1
    assert any(line.startswith(f"FAIL {failing}") for line in failures), failures
    assert all("expected" in line for line in failures)


def test_service_that_only_fails_fails_every_step(smoke):
    with serving(Response("down", 500)) as url:
        result = smoke(url)
    assert result.exit_code == 1
    assert result.stdout.count("FAIL") == len(STEPS)


def test_nobody_listening_ends_at_the_first_step(smoke):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = smoke(f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert result.stdout.count("FAIL") == 1
    assert "no answer" in result.stdout


def test_service_that_hangs_ends_after_the_timeout(smoke):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        result = smoke(url, "--timeout", "0.2")
    assert result.exit_code == 1
    assert "timed out" in result.stdout
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("url", ["localhost:8000", "file:///etc/passwd", "http://", ""])
def test_url_that_is_not_http_is_wrong_usage(smoke, url):
    assert smoke(url).exit_code == 2
