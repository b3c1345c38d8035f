"""How a greenlet waits for PostgreSQL.

psycopg asks before each statement whether the socket takes it. gevent's poll answers
through its loop, at 60 microseconds a time, and a posting asks a dozen times. Here the
kernel is asked first, and the greenlet parks only if there is nothing to do yet.
"""

import select
from time import monotonic
from typing import Any, TypeVar

import gevent
import gevent.socket
from gevent import monkey
from psycopg import OperationalError, errors, waiting
from psycopg.abc import PQGen

Result = TypeVar("Result")

# Those of the kernel, not gevent's.
poll: Any = monkey.get_original("select", "poll")

EVENTS = {
    waiting.WAIT_R: select.POLLIN,
    waiting.WAIT_W: select.POLLOUT,
    waiting.WAIT_RW: select.POLLIN | select.POLLOUT,
}
PARK: dict[int, Any] = {
    waiting.WAIT_R: gevent.socket.wait_read,
    waiting.WAIT_W: gevent.socket.wait_write,
    waiting.WAIT_RW: gevent.socket.wait_readwrite,
}
BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL


def install() -> None:
    """Let psycopg's connections wait like this, in this process."""
    waiting.wait = wait


def wait(
    gen: PQGen[Result],
    fileno: int,
    interval: float = 0.0,
    timeout: float | None = None,
) -> Result:
    """As psycopg.waiting.wait does: return what the generator returns.

    Raises psycopg's errors, among them its own when `timeout`, in seconds, is over.
    """
    until = None if timeout is None else monotonic() + timeout
    try:
        wanted = next(gen)
        socket = poll()
        socket.register(fileno, EVENTS[wanted])
        while True:
            if not (found := socket.poll(0)):
                park(fileno, wanted, interval, until)
                found = socket.poll(0)
            before, wanted = wanted, gen.send(ready(found))
            if wanted != before:
                socket.modify(fileno, EVENTS[wanted])
            if until is not None and monotonic() >= until:
                raise errors._WaitTimeout("wait timeout expired")
    except StopIteration as end:
        result: Result = end.value
        return result


def ready(found: list[tuple[int, int]]) -> int:
    """What psycopg calls the kernel's answer; raises OperationalError if it is bad."""
    if not found:
        return waiting.READY_NONE
    ((_, events),) = found
    answer: int = waiting.READY_R if events & select.POLLIN else waiting.READY_NONE
    if events & select.POLLOUT:
        answer |= waiting.READY_W
    if not answer and events & BROKEN:
        raise OperationalError("connection socket closed")
    return answer


def park(fileno: int, wanted: int, interval: float, until: float | None) -> None:
    """Let others have their turn until the socket is ready, or some time is over."""
    if until is not None:
        interval = max(0.0, min(interval, until - monotonic()))
    with gevent.Timeout(interval, False):
        PARK[wanted](fileno)
