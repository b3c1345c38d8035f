"""Traces, with OpenTelemetry: a span for each request, one for each batch of them,
and one for each attempt to deliver a webhook.

Made by hand: OpenTelemetry's own way of watching Flask costs a sixth of a request even
where it samples nothing. Which requests are sampled, and where spans go, is said by the
OTEL_* variables: https://opentelemetry.io/docs/specs/otel/configuration/
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from uuid import UUID

from flask import g
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from wallet_app.errors import request_id
from wallet_app.ledger.observer import Observer, Times
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.observing.requests import Answer
from wallet_app.observing.traceparent import HEADER, TraceParent, of_request
from wallet_app.webhooks.delivering import Headers, Trace
from wallet_app.webhooks.settling import Attempt


def export_in_batches() -> SpanProcessor:
    """To the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, from time to time."""
    return BatchSpanProcessor(OTLPSpanExporter())


class Tracing(Observer):
    """The spans of this process, and which of the ledger's callers have one."""

    def __init__(
        self, make_processor: Callable[[], SpanProcessor] = export_in_batches
    ) -> None:
        self.make_processor = make_processor
        # The sampled callers that wait, by the id() of their units.
        self.waiting: dict[int, Span] = {}

    @cached_property
    def provider(self) -> TracerProvider:
        """Made for the first request: its thread would not survive a fork."""
        name = os.environ.get("OTEL_SERVICE_NAME", "wallet")
        provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
        provider.add_span_processor(self.make_processor())
        return provider

    @cached_property
    def tracer(self) -> Tracer:
        return self.provider.get_tracer("wallet_app")

    def begin(self) -> None:
        """A request's span, which belongs to the client's trace, if there is one."""
        trace = of_request()
        context = None if trace is None else context_of(trace)
        span = self.tracer.start_span("request", context, SpanKind.SERVER)
        if span.is_recording():
            here = g._get_current_object()
            here.span = span
            here.trace = trace_parent_of(span)

    def end(self, answer: Answer) -> None:
        span = span_of_request()
        if span is None:
            return
        span.update_name(f"{answer.method} {answer.route}")
        span.set_attributes(
            {
                "http.request.method": answer.method,
                "http.route": answer.route,
                "http.response.status_code": answer.status,
                "wallet.outcome": answer.outcome,
                "wallet.request_id": request_id(),
            }
        )
        if answer.wallet is not None:
            span.set_attribute("wallet.uuid", str(answer.wallet))
        if answer.status >= 500:
            span.set_status(Status(StatusCode.ERROR, answer.outcome))
        span.end()

    def submitted(self, unit: Unit) -> None:
        span = span_of_request()
        if span is not None:
            self.waiting[id(unit)] = span

    def answered(self, unit: Unit, outcomes: Sequence[Outcome] | None) -> None:
        self.waiting.pop(id(unit), None)

    def posted(self, units: Sequence[Unit], times: Times) -> None:
        """A span for the batch, in the first sampled caller's trace; links to all."""
        spans = [self.waiting[id(unit)] for unit in units if id(unit) in self.waiting]
        if not spans:
            return
        at = time.time() - time.perf_counter()
        span = self.tracer.start_span(
            "post a batch",
            set_span_in_context(spans[0]),
            links=[Link(one.get_span_context()) for one in spans],
            start_time=int((at + times.began) * 1e9),
            attributes={
                "wallet.batch.operations": sum(len(unit.operations) for unit in units),
                "wallet.batch.lock_ms": (times.locked - times.began) * 1000,
                "wallet.batch.commit_ms": (times.committed - times.written) * 1000,
            },
        )
        span.end(int((at + times.committed) * 1e9))

    @contextmanager
    def deliveries(self) -> Iterator[Trace]:
        """What traces the deliveries of a run; its last spans are sent at its end."""
        try:
            # The tracer is made here, and not by several threads that send at once.
            yield partial(trace_delivery, self.tracer)
        finally:
            # A worker's process ends without atexit, which would see to that.
            self.provider.force_flush()


def trace_delivery(
    tracer: Tracer, delivery_id: UUID, make_attempt: Callable[[Headers], Attempt]
) -> Attempt:
    """Make an attempt in a span of its own, which the receiver is told."""
    with tracer.start_as_current_span(
        "deliver a webhook",
        kind=SpanKind.CLIENT,
        attributes={"wallet.delivery": str(delivery_id)},
    ) as span:
        attempt = make_attempt({HEADER: trace_parent_of(span).header()})
        if attempt.status is not None:
            span.set_attribute("http.response.status_code", attempt.status)
        if not attempt.succeeded:
            span.set_status(Status(StatusCode.ERROR, attempt.error))
    return attempt


def trace_parent_of(span: Span) -> TraceParent:
    known = span.get_span_context()
    return TraceParent(
        f"{known.trace_id:032x}", f"{known.span_id:016x}", known.trace_flags.sampled
    )


def span_of_request() -> Span | None:
    """The current request's, if it is sampled."""
    span: Span | None = g._get_current_object().get("span")
    return span


def context_of(trace: TraceParent) -> Context:
    remote = SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if trace.sampled else 0),
    )
    return set_span_in_context(NonRecordingSpan(remote))
