"""A client that sends one request after another does not keep a worker to itself."""

from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker


class Turns(GeventWorker):
    """Lets the other clients have their turn after each request of one.

    A greenlet that finds its next request there goes on without them, for ever, and
    without the heartbeat for which the master waits.
    """

    def handle_request(
        self, listener_name: Any, req: Any, sock: Any, addr: Any
    ) -> None:
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            gevent.sleep(0)
