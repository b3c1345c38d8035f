"""A worker that is asked to end does not wait for clients who have nothing to say."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from serving.hanging_up import stop_hearing


class IdleEnds(GeventWorker):
    """Ends its idle connections: one that is kept would hold it for `keepalive`."""

    def init_process(self) -> None:
        self.clients: dict[Any, socket.socket] = {}
        self.idle: set[Any] = set()
        self.was_told = False
        super().init_process()

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        me = gevent.getcurrent()
        self.clients[me] = client
        try:
            super().handle(listener, client, addr)
        finally:
            del self.clients[me]

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Waits for a request: so long the client is idle."""
        me = gevent.getcurrent()
        self.idle.add(me)
        try:
            with super().timeout_ctx():
                yield
        finally:
            self.idle.discard(me)

    def notify(self) -> None:
        """Comes once a second, and at once when a worker is no longer alive."""
        super().notify()
        # For a second more, a client that does come learns it with its answer.
        if self.was_told:
            self.end_idle()
        self.was_told = not self.alive

    def end_idle(self) -> None:
        """Read no more from the idle clients: what they have sent is still served."""
        for greenlet in self.idle:
            stop_hearing(self.clients[greenlet])
