"""Deliveries are told with the trace of the attempt, where there is one."""

import re

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from ops import Crowd
from receivers import add, deliver_all, make_due, new_wallet

from wallet_app.observing import traceparent
from wallet_app.webhooks import delivering


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def traced(app, make_app, spans):
    traced = make_app(tracing=True, webhooks_private=True)
    tracing = traced.extensions["tracing"]
    tracing.make_processor = lambda: SimpleSpanProcessor(spans)
    return traced


@pytest.fixture
def deliver(traced, receiver):
    """Deliver, in a run that ends when so many have been told."""

    def run(monkeypatch, ended):
        monkeypatch.setattr(delivering.ending, "is_near", ended)
        Crowd(traced, 1).start(delivering.deliver_for, 20).result(30)

    with traced.app_context():
        add(receiver)
        yield run


def told(receiver, count):
    return lambda: len(receiver.headers) >= count


def test_receiver_is_told_the_span_of_its_attempt(
    deliver, receiver, spans, monkeypatch
):
    for _ in range(3):
        new_wallet()
    deliver(monkeypatch, told(receiver, 3))
    sent = {traceparent.parse(one["traceparent"]) for one in receiver.headers}
    ends = spans.get_finished_spans()
    assert len(sent) == len(ends) == 3
    assert {
        (f"{one.context.trace_id:032x}", f"{one.context.span_id:016x}") for one in ends
    } == {(one.trace_id, one.span_id) for one in sent}
    assert all(one.sampled for one in sent)
    for span in ends:
        assert (span.name, span.kind) == ("deliver a webhook", SpanKind.CLIENT)
        assert span.parent is None
        assert span.attributes["http.response.status_code"] == 200
    assert {span.attributes["wallet.delivery"] for span in ends} == {
        the_id for the_id, _ in receiver.told
    }


def test_attempt_that_fails_is_marked_and_the_next_is_another_span(
    deliver, receiver, spans, monkeypatch
):
    receiver.answer = lambda _id, times: 500 if times == 0 else 200
    new_wallet()

    def retried():
        make_due()
        return bool(receiver.told)

    deliver(monkeypatch, retried)
    failed, succeeded = spans.get_finished_spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["http.response.status_code"] == 500
    assert succeeded.status.status_code is StatusCode.UNSET
    (headers,) = receiver.headers
    assert traceparent.parse(headers["traceparent"]).span_id == (
        f"{succeeded.context.span_id:016x}"
    )


def test_what_is_not_sampled_says_so(deliver, receiver, spans, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    new_wallet()
    deliver(monkeypatch, told(receiver, 1))
    (headers,) = receiver.headers
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", headers["traceparent"])
    assert spans.get_finished_spans() == ()


def test_without_traces_nothing_is_told_of_one(webhook, receiver):
    new_wallet()
    deliver_all()
    (headers,) = receiver.headers
    assert "traceparent" not in headers
