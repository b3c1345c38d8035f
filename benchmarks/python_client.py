"""A load generator for machines without wrk: one thread, sockets, no HTTP library.

    python -m benchmarks.python_client PORT CONNECTIONS SECONDS REQUESTS_FILE

Prints the outcome as one line of JSON.
"""

import itertools
import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.quantiles import quantile

LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
CHUNK_BYTES = 65536
# What is still under way after the time is up is waited for, but not for ever.
GRACE_SECONDS = 15


class Connection:
    """A connection that sends a request as soon as the one before it is answered."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The answer's status, or None if it is not there as a whole yet."""
        chunk = self.socket.recv(CHUNK_BYTES)
        if not chunk:
            raise ConnectionResetError
        self.received += chunk
        head_bytes = self.received.find(b"\r\n\r\n") + 4
        if head_bytes < 4:
            return None
        length = LENGTH.search(self.received, 0, head_bytes)
        body_bytes = int(length[1]) if length else 0
        if len(self.received) < head_bytes + body_bytes:
            return None
        return int(self.received[9:12])


class Load:
    """Keeps every connection busy until the time is up; counts and times answers."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.port = port
        self.requests = requests
        self.selector = selectors.DefaultSelector()
        self.latencies_ms: list[float] = []
        self.failed = 0

    def connect(self) -> None:
        connection = Connection(self.port)
        self.selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(self.requests))

    def disconnect(self, connection: Connection) -> None:
        self.selector.unregister(connection.socket)
        connection.socket.close()

    def run(self, connections: int, seconds: float) -> float:
        """Return the time that it took, in seconds."""
        start = time.perf_counter()
        for _ in range(connections):
            self.connect()
        while time.perf_counter() - start < seconds:
            for key, _ in self.selector.select(timeout=seconds):
                self.take(key.data, again=True)
        elapsed = time.perf_counter() - start
        self.drain()
        return elapsed

    def take(self, connection: Connection, *, again: bool) -> None:
        try:
            status = connection.receive()
            if status is None:
                return
            if again:
                now = time.perf_counter()
                self.latencies_ms.append((now - connection.sent_at) * 1000)
            self.failed += status != 200
            if again:
                connection.send(next(self.requests))
            else:
                self.disconnect(connection)
        except OSError:
            self.failed += 1
            self.disconnect(connection)
            if again:
                self.connect()

    def drain(self) -> None:
        """Wait for the last answers, so that no work is left to the next load."""
        end = time.perf_counter() + GRACE_SECONDS
        while self.selector.get_map() and time.perf_counter() < end:
            for key, _ in self.selector.select(timeout=1):
                self.take(key.data, again=False)
        self.failed += len(self.selector.get_map())


def read_requests(path: Path) -> list[bytes]:
    """Each line, which holds method, path and body with tabs between, as HTTP."""
    requests = []
    for line in path.read_bytes().splitlines():
        method, target, body = line.split(b"\t")
        requests.append(
            b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (method, target, len(body), body)
        )
    return requests


def main() -> None:
    port, connections, seconds = map(int, sys.argv[1:4])
    load = Load(port, itertools.cycle(read_requests(Path(sys.argv[4]))))
    elapsed = load.run(connections, seconds)
    outcome = {
        "requests": len(load.latencies_ms),
        "seconds": elapsed,
        "failed": load.failed,
        "p50_ms": quantile(load.latencies_ms, 0.5),
        "p99_ms": quantile(load.latencies_ms, 0.99),
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
