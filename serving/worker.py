"""The worker, put together of its parts."""

from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from serving.balance import Balanced
from serving.idle_ends import IdleEnds
from serving.slow_clients import SlowClients
from serving.whole_responses import WholeResponses


class Turns(GeventWorker):
    """A client that is fast enough would never let the others have their turn."""

    def handle_request(
        self, listener_name: Any, req: Any, sock: Any, addr: Any
    ) -> None:
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            gevent.sleep(0)


class Worker(Balanced, IdleEnds, Turns, SlowClients, WholeResponses):
    """gunicorn's gevent worker and what it lacks."""
