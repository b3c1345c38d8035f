"""The traceparent header: which trace a call belongs to.

https://www.w3.org/TR/trace-context/
"""

import re
from dataclasses import dataclass
from typing import Any

from celery import Task, current_task
from celery.signals import before_task_publish
from flask import g, has_request_context, request

HEADER = "traceparent"
IN_ENVIRON = "HTTP_TRACEPARENT"
SHAPE = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
    r"(-.*)?"
)
LONGEST = 256
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A trace, and the span in it to which what comes next belongs; ids in hex."""

    trace_id: str
    span_id: str
    sampled: bool

    def header(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"


def parse(header: str | None) -> TraceParent | None:
    """What a header says; None if there is none, or it is not valid."""
    if not header or len(header) > LONGEST:
        return None
    found = SHAPE.fullmatch(header)
    # A later version may have more to say behind what this one knows.
    if found is None or (found[1] == "00" and found[5]):
        return None
    return TraceParent(found[2], found[3], bool(int(found[4], 16) & SAMPLED))


def of_request() -> TraceParent | None:
    """The request's: that of its own span, if that is sampled, or the client's."""
    here = g._get_current_object()
    if "trace" not in here:
        here.trace = parse(request.environ.get(IN_ENVIRON))
    trace: TraceParent | None = here.trace
    return trace


def of_task(task: Task[Any, Any]) -> TraceParent | None:
    """That of the request that has asked for the task."""
    return parse(task.request.get(HEADER))


def current() -> TraceParent | None:
    """The trace in which something is at work here."""
    if has_request_context():
        return of_request()
    return of_task(current_task) if current_task else None


def pass_on_to_tasks() -> None:
    """Let each message to a worker carry on the trace in which it is sent."""
    before_task_publish.connect(add_header, weak=False, dispatch_uid=HEADER)


def add_header(headers: dict[str, Any], **_: Any) -> None:
    trace = current()
    if trace is not None:
        headers[HEADER] = trace.header()
