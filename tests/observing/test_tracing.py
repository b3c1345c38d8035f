"""Traces: a span a request, a span a batch, sent to a real receiver."""

import http.server
import subprocess
import sys
import threading

import pytest
from flask import g
from flask.testing import FlaskClient
from gunicorns import ROOT
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from ops import Crowd, deposit, wait_until

from wallet_app.observing import traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}


@pytest.fixture
def spans(monkeypatch):
    """Where the spans go."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    return InMemorySpanExporter()


@pytest.fixture
def traced(app, make_app, spans):
    app = make_app(tracing=True)
    # Ours would call for the API's description as well.
    app.test_client_class = FlaskClient
    app.extensions["tracing"].make_processor = lambda: SimpleSpanProcessor(spans)
    return app


@pytest.fixture
def web(traced):
    return traced.test_client()


def named(spans, name):
    return [one for one in spans.get_finished_spans() if one.name == name]


def post(web, wallet, kind="DEPOSIT", headers=SAMPLED):
    body = {"operation_type": kind, "amount": "1.00"}
    path = f"/api/v1/wallets/{wallet}/operation"
    return web.post(path, json=body, headers={**headers, "X-Request-ID": "mine"})


def test_span_tells_of_the_request(web, spans, make_wallet):
    wallet = make_wallet()
    post(web, wallet)
    (span,) = named(spans, "POST /api/v1/wallets/<uuid:uuid>/operation")
    assert span.kind is SpanKind.SERVER
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/wallets/<uuid:uuid>/operation",
        "http.response.status_code": 200,
        "wallet.outcome": "ok",
        "wallet.request_id": "mine",
        "wallet.uuid": str(wallet),
    }
    assert (span.context.trace_id, span.parent.span_id) == (
        int(TRACE, 16),
        int(SPAN, 16),
    )


def test_request_that_fails_is_marked(web, traced, spans, monkeypatch):
    def fail():
        raise RuntimeError("not foreseen")

    monkeypatch.setitem(traced.view_functions, "health.healthz", fail)
    web.get("/healthz", headers=SAMPLED)
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR


def test_request_that_is_not_sampled_leaves_no_span(web, spans, make_wallet):
    wallet = make_wallet()
    for headers in (NOT_SAMPLED, {}, {"traceparent": "nonsense"}):
        assert post(web, wallet, headers=headers).status_code == 200
    assert spans.get_finished_spans() == ()


def test_batch_is_linked_with_its_sampled_callers(traced, spans, make_wallet):
    wallet, ledger = make_wallet(), traced.extensions["ledger"]
    tracing = traced.extensions["tracing"]

    def submit(number):
        headers = SAMPLED if number % 2 else NOT_SAMPLED
        with traced.test_request_context(headers=headers):
            tracing.begin()
            ledger.submit(deposit(wallet, 1))
            return g.span.get_span_context().span_id if number % 2 else None

    callers = set(Crowd(traced, threads=8).together(submit, range(8))) - {None}
    batches = named(spans, "post a batch")
    linked = [link.context.span_id for one in batches for link in one.links]
    assert sorted(linked) == sorted(callers)
    for one in batches:
        assert one.parent.span_id == one.links[0].context.span_id
        assert len(one.links) <= one.attributes["wallet.batch.operations"]
        assert one.attributes["wallet.batch.commit_ms"] > 0
        assert one.start_time < one.end_time
    assert not tracing.waiting


def test_batch_without_a_sampled_caller_leaves_no_span(traced, web, spans, make_wallet):
    post(web, make_wallet(), headers=NOT_SAMPLED)
    assert named(spans, "post a batch") == []


def test_tasks_are_asked_for_in_the_requests_span(traced, web, spans):
    headers = {}

    def ask():
        traceparent.add_header(headers)
        return "asked"

    traced.add_url_rule("/ask", view_func=ask)
    web.get("/ask", headers=SAMPLED)
    (span,) = spans.get_finished_spans()
    assert headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"


def test_nothing_is_imported_that_is_off():
    program = (
        "import sys; from pathlib import Path; from wallet_app import create_app;"
        " from wallet_app.config import Settings;"
        " create_app(Settings(database_url='postgresql+psycopg://nobody@/nothing'));"
        " print([one for one in sys.modules"
        # redis-py imports a part of OpenTelemetry by itself, where it is installed.
        " if one.startswith(('opentelemetry.sdk.trace', 'prometheus_client'))])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout == "[]\n"


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans by OTLP over HTTP, as OpenTelemetry's collector does."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        assert self.headers["Content-Type"] == "application/x-protobuf"
        sent = ExportTraceServiceRequest.FromString(body)
        self.server.taken += [
            (resource.resource, span)
            for resource in sent.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.taken = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_workers_send_their_spans(app, serve, collector, make_wallet):
    """From both workers, while they serve, and the last ones when they end."""
    wallet = make_wallet()
    settings = {
        "WALLET_TRACING": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_SERVICE_NAME": "wallet-under-test",
    }
    body = {"operation_type": "DEPOSIT", "amount": "1.00"}
    path = f"/api/v1/wallets/{wallet}/operation"
    with serve(**settings) as served:
        served.wait_for_workers()
        for _ in range(20):
            assert served.call("POST", path, body)[0] == 200
        wait_until(lambda: len(of(collector, "post a batch")) == 20, 60)
        served.call("GET", "/readyz")
    assert of(collector, "GET /readyz")
    names = {
        value.value.string_value
        for resource, _ in collector.taken
        for value in resource.attributes
        if value.key == "service.name"
    }
    assert names == {"wallet-under-test"}


def of(collector, name):
    return [span for _, span in collector.taken if span.name == name]
