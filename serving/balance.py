"""A new connection goes to the worker that has the fewest."""

import multiprocessing
from functools import partial
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

NOBODY = -1
# Added to what a worker holds that takes no more: nobody leaves a connection to it.
LEAVING = 1_000_000
MOST_WORKERS = 256
DECLINE_PAUSE_S = 0.0005
MOST_DECLINES = 50
# As many as the kernel holds for us: gunicorn's `backlog`.
MOST_AT_THE_END = 2048

# How many connections each worker holds, by its age; shared by all of them.
connections = multiprocessing.RawArray("i", [NOBODY] * MOST_WORKERS)


class Balanced(GeventWorker):
    """Leaves a new connection to a worker that has fewer.

    Clients keep their connections. Of many that come to idle workers at once the first
    to wake up may take all, and the service has the speed of one processor.
    """

    def init_process(self) -> None:
        self.place = self.age % MOST_WORKERS
        connections[self.place] = 0
        super().init_process()

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> StreamServer:
        handle = partial(self.handle, ListenerName(listener))
        return BalancedServer(listener, handle=handle, spawn=spawn, place=self.place)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        try:
            super().handle(listener, client, addr)
        finally:
            connections[self.place] -= 1


class ListenerName:
    """What gunicorn asks a listener for, also when that has been closed.

    Without an answer it would end connections that it has accepted, and not served.
    """

    def __init__(self, listener: Any) -> None:
        self.name = listener.getsockname()

    def getsockname(self) -> Any:
        return self.name


def has_too_many(own: int, fewest: int) -> bool:
    """Whether a worker leaves the next connection to the one that has the fewest.

    An eighth more does no harm. Workers that are busy take turns of many milliseconds;
    one connection a turn, the last of many that come at once would wait half a second.
    """
    return own > fewest + fewest // 8


class BalancedServer(StreamServer):
    """Accepts a connection when it is this worker's turn, or nobody else takes it."""

    def __init__(self, *args: Any, place: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.place = place
        # A busy worker comes round seldom; what is too many for it, it declines.
        self.max_accept = 32
        self.declined = 0

    def do_read(self) -> Any:
        """The next connection, or None for now."""
        fewest = min(count for count in connections if count != NOBODY)
        if (
            has_too_many(connections[self.place], fewest)
            and self.declined < MOST_DECLINES
        ):
            self.declined += 1
            self.stop_accepting()
            gevent.spawn_later(DECLINE_PAUSE_S, self.accept_again)
            return None
        self.declined = 0
        accepted = super().do_read()
        # Now, and not when its greenlet begins: the next is accepted before that.
        connections[self.place] += bool(accepted)
        return accepted

    def close(self) -> None:
        """Listen no more. Who is connected already is served, and not cut off."""
        if not self.closed:
            connections[self.place] += LEAVING
            self.accept_the_last()
        super().close()

    def accept_the_last(self) -> None:
        for _ in range(MOST_AT_THE_END):
            accepted = super().do_read()
            if not accepted:
                return
            connections[self.place] += 1
            self.do_handle(*accepted)

    def accept_again(self) -> None:
        if self.started:
            self.start_accepting()


def forget(worker: Any) -> None:
    """Nobody waits for a worker that is gone to take its share."""
    connections[worker.age % MOST_WORKERS] = NOBODY
