"""How gunicorn serves the service: a few processes, each with a greenlet a connection.

Greenlets, because threads would contend for the interpreter: on two cores two workers
of 32 threads did little more than half of what these do (docs/benchmarks.md).
"""

import errno
import gc
import multiprocessing
import os
import resource
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.ggevent import GeventWorker

# Nothing is imported from wallet_app: what the master process holds, its workers
# inherit, and a reload would go on with the old code.
bind = "127.0.0.1:8000"
workers = int(os.environ.get("WALLET_WORKERS") or max(2, os.cpu_count() or 2))
worker_connections = 1000
backlog = 2048
keepalive = 30
timeout = 60
BODY_TIMEOUT_S = 30
SEND_TIMEOUT_S = 30
graceful_timeout = 30
# The one in C, where it could be built.
http_parser = "auto"
accesslog = None
errorlog = "-"
control_socket_disable = True
# The heartbeat file of a worker must not wait for a busy disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None

NOBODY = -1
MOST_WORKERS = 256
DECLINE_PAUSE_S = 0.0005
MOST_DECLINES = 50

# How many connections each worker holds, by its age; shared by all of them.
connections = multiprocessing.RawArray("i", [NOBODY] * MOST_WORKERS)

# A connection is an open file, and the usual limit of 1,024 leaves none for PostgreSQL.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))


class BalancedServer(StreamServer):
    """Accepts connections, and leaves a new one to a worker that has fewer.

    Clients keep their connections. Without this the first worker to wake up may take
    most of them, and the service has the speed of one processor.
    """

    def __init__(self, *args: Any, worker: "ConnectionWorker", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker = worker
        # A busy worker comes round seldom; what is too many for it, it declines.
        self.max_accept = 32
        self.declined = 0

    def do_read(self) -> Any:
        """The next connection, or None for now."""
        fewest = min(count for count in connections if count != NOBODY)
        if len(self.worker.clients) > fewest and self.declined < MOST_DECLINES:
            self.declined += 1
            self.stop_accepting()
            gevent.spawn_later(DECLINE_PAUSE_S, self.accept_again)
            return None
        self.declined = 0
        return super().do_read()

    def accept_again(self) -> None:
        if self.started:
            self.start_accepting()


class WholeResponse:
    """A client's socket that sends the head of a response together with its body.

    A send is the dearest thing that gunicorn does for an answer, and it would do two.
    A client that does not read what is sent is left.
    """

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.head: bytes | None = None
        self.has_begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def sendall(self, data: bytes) -> None:
        if self.has_begun:
            self.flush(data)
        else:
            self.has_begun = True
            self.head = data

    def sendfile(self, *args: Any, **kwargs: Any) -> Any:
        self.flush()
        return self.patiently(self.client.sendfile, *args, **kwargs)

    def flush(self, body: bytes = b"") -> None:
        head, self.head = self.head, None
        data = body if head is None else head + body
        if data:
            self.patiently(self.client.sendall, data)

    def patiently(self, send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return send(*args, **kwargs)
        except TimeoutError:
            # As if it had gone: gunicorn ends the connection without complaining.
            raise BrokenPipeError(errno.EPIPE, "the client does not read") from None


class PunctualBody:
    """A request's body that must be there in time.

    The head has `keepalive` to arrive; without this, a client that sends its body byte
    by byte would hold its connection for ever.
    """

    def __init__(self, req: Any) -> None:
        # The request has its body: a cycle would leave both to the garbage collector.
        self.req = weakref.proxy(req)
        self.body = req.body
        self.deadline = time.monotonic() + BODY_TIMEOUT_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self.body, name)

    def read(self, size: int | None = None) -> bytes:
        with gevent.Timeout(max(0.0, self.deadline - time.monotonic()), False):
            data: bytes = self.body.read(size)
            return data
        # What is still to come must not be taken for another request.
        self.req.force_close()
        raise NoMoreData(b"the rest of a slow body")


class ConnectionWorker(GeventWorker):
    """A gevent worker that counts its connections and ends the idle ones at its own."""

    def init_process(self) -> None:
        self.clients: dict[Any, socket.socket] = {}
        self.idle: set[Any] = set()
        self.count_clients()
        super().init_process()

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> BalancedServer:
        handle = partial(self.handle, listener)
        return BalancedServer(listener, handle=handle, spawn=spawn, worker=self)

    def count_clients(self) -> None:
        connections[self.age % MOST_WORKERS] = len(self.clients)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        me = gevent.getcurrent()
        self.clients[me] = client
        self.count_clients()
        try:
            super().handle(listener, client, addr)
        finally:
            del self.clients[me]
            self.count_clients()

    def handle_request(
        self, listener_name: Any, req: Any, sock: socket.socket, addr: Any
    ) -> None:
        response = WholeResponse(sock)
        req.body = PunctualBody(req)
        sock.settimeout(SEND_TIMEOUT_S)
        try:
            super().handle_request(listener_name, req, response, addr)
        finally:
            response.flush()
            sock.settimeout(None)
            # A client that is fast enough would never let the others have their turn.
            gevent.sleep(0)

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
        super().notify()
        if not self.alive:
            self.end_idle()

    def end_idle(self) -> None:
        """Read no more from the idle clients: what they have sent is still served."""
        for greenlet in self.idle:
            with suppress(OSError):
                self.clients[greenlet].shutdown(socket.SHUT_RD)


worker_class = ConnectionWorker


def post_worker_init(_worker: ConnectionWorker) -> None:
    """Collect garbage seldom, and without what lives as long as the process."""
    gc.collect()
    gc.freeze()
    # A request leaves few cycles behind, but makes many objects.
    gc.set_threshold(20_000, 10, 10)


def child_exit(_server: Any, worker: ConnectionWorker) -> None:
    """Nobody waits for a worker that is gone to take its share."""
    connections[worker.age % MOST_WORKERS] = NOBODY
