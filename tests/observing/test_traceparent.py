"""https://www.w3.org/TR/trace-context/#traceparent-header"""

import pytest

from wallet_app.observing import traceparent
from wallet_app.observing.traceparent import TraceParent, parse

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        # Flags that are not known yet.
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"00-{TRACE}-{SPAN}-02", False),
        # Later versions may have more to say.
        (f"01-{TRACE}-{SPAN}-01-what-comes", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_valid_header_is_read(header, sampled):
    assert parse(header) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01{'-more' * 100}",
    ],
)
def test_header_that_is_not_valid_is_ignored(header):
    assert parse(header) is None


def test_header_that_is_passed_on_says_the_same():
    for sampled in ("00", "01"):
        header = f"00-{TRACE}-{SPAN}-{sampled}"
        assert parse(header).header() == header


def test_message_to_a_worker_carries_the_requests_trace(app):
    headers = {}
    with app.test_request_context(headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}):
        traceparent.add_header(headers)
    assert headers == {"traceparent": f"00-{TRACE}-{SPAN}-01"}


def test_message_that_belongs_to_no_trace_carries_none(app):
    headers = {}
    traceparent.add_header(headers)
    with app.test_request_context(headers={"traceparent": "nonsense"}):
        traceparent.add_header(headers)
    assert headers == {}
