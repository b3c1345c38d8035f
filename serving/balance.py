"""A new connection goes to the worker that has the fewest."""

import multiprocessing
from functools import partial
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

NOBODY = -1
MOST_WORKERS = 256
DECLINE_PAUSE_S = 0.0005
MOST_DECLINES = 50

# How many connections each worker holds, by its age; shared by all of them.
connections = multiprocessing.RawArray("i", [NOBODY] * MOST_WORKERS)


class BalancedServer(StreamServer):
    """Accepts connections, and leaves a new one to a worker that has fewer.

    Clients keep their connections. Without this the first worker to wake up may take
    most of them, and the service has the speed of one processor.
    """

    def __init__(self, *args: Any, worker: "Balanced", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker = worker
        # A busy worker comes round seldom; what is too many for it, it declines.
        self.max_accept = 32
        self.declined = 0

    def do_read(self) -> Any:
        """The next connection, or None for now."""
        fewest = min(count for count in connections if count != NOBODY)
        mine = connections[self.worker.age % MOST_WORKERS]
        if mine > fewest and self.declined < MOST_DECLINES:
            self.declined += 1
            self.stop_accepting()
            gevent.spawn_later(DECLINE_PAUSE_S, self.accept_again)
            return None
        self.declined = 0
        return super().do_read()

    def accept_again(self) -> None:
        if self.started:
            self.start_accepting()


class Balanced(GeventWorker):
    """Counts its connections where the other workers see it."""

    def init_process(self) -> None:
        connections[self.age % MOST_WORKERS] = 0
        super().init_process()

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> BalancedServer:
        handle = partial(self.handle, listener)
        return BalancedServer(listener, handle=handle, spawn=spawn, worker=self)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        connections[self.age % MOST_WORKERS] += 1
        try:
            super().handle(listener, client, addr)
        finally:
            connections[self.age % MOST_WORKERS] -= 1


def forget(worker: Any) -> None:
    """Nobody waits for a worker that is gone to take its share."""
    connections[worker.age % MOST_WORKERS] = NOBODY
