"""One POST to a stranger's server: bounded in time and size, to checked addresses.

http.client knows no redirects and no proxies, which is what is wanted here.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Self
from urllib.parse import SplitResult

from wallet_app.webhooks import addresses

CONNECT_TIMEOUT_S = 5.0
# For everything: connecting, sending, and reading the answer.
TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 64 * 1024
MOST_ADDRESSES = 4
FAILURES = (OSError, http.client.HTTPException, ValueError)


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """Made once, for reading the certificates is slow."""
    return ssl.create_default_context()


class Deadline:
    """The time that one POST has in all."""

    def __init__(self) -> None:
        self.ends = time.monotonic() + TIMEOUT_S

    def left_s(self, most: float = TIMEOUT_S) -> float:
        left = min(most, self.ends - time.monotonic())
        if left <= 0:
            raise TimeoutError(f"no answer within {TIMEOUT_S:g} s")
        return left


class TimedSocket:
    """What http.client needs of a socket; a trickle of bytes renews no deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.deadline = Deadline()

    def sendall(self, data: Any) -> None:
        self.sock.settimeout(self.deadline.left_s())
        self.sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(TimedReader(self))

    def close(self) -> None:
        """http.client's, which comes before an answer without a length is read."""


class TimedReader(io.RawIOBase):
    """The bytes of one answer."""

    def __init__(self, timed: TimedSocket) -> None:
        self.timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.timed.sock.settimeout(self.timed.deadline.left_s())
        return self.timed.sock.recv_into(buffer)


class Connection(http.client.HTTPConnection):
    """On a socket that we have made: it never connects by itself."""

    auto_open = 0


class Endpoint:
    """A webhook's URL, with a connection that is made when needed, and kept."""

    def __init__(self, url: str, *, private: bool) -> None:
        self.url = url
        self.private = private
        self.connection: Connection | None = None
        self.timed: TimedSocket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.timed is not None:
            self.timed.sock.close()
        self.timed = self.connection = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """The answer's status; raises one of FAILURES."""
        # Once more, for the settings may have changed since it was registered.
        parts = addresses.parse(self.url, private=self.private)
        deadline = Deadline()
        was_kept = self.connection is not None
        try:
            try:
                return self.post_on(parts, deadline, body, headers)
            except ConnectionError:
                if not was_kept:
                    raise
                # The server has closed what was kept; that says nothing of this one.
                self.close()
                return self.post_on(parts, deadline, body, headers)
        except BaseException:
            self.close()
            raise

    def post_on(
        self,
        parts: SplitResult,
        deadline: Deadline,
        body: bytes,
        headers: Mapping[str, str],
    ) -> int:
        if self.connection is None or self.timed is None:
            self.timed = TimedSocket(connect(parts, deadline, private=self.private))
            self.connection = connection_on(self.timed, parts)
        self.timed.deadline = deadline
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.connection.request("POST", path, body, dict(headers))
        answer = self.connection.getresponse()
        answer.read(MAX_ANSWER_BYTES)
        if answer.will_close or not answer.isclosed():
            self.close()
        return answer.status


def connection_on(timed: TimedSocket, parts: SplitResult) -> Connection:
    default_port = addresses.PORTS[parts.scheme]
    port = default_port if parts.port is None else parts.port
    connection = Connection(parts.hostname or "", port)
    # The Host header leaves it out.
    connection.default_port = default_port
    connection.sock = timed
    return connection


def connect(parts: SplitResult, deadline: Deadline, *, private: bool) -> socket.socket:
    """A socket to the URL's host, whose certificate must be that of its name."""
    host = parts.hostname or ""
    port = addresses.PORTS[parts.scheme] if parts.port is None else parts.port
    sock = dial(host, port, deadline, private=private)
    if parts.scheme == "http":
        return sock
    try:
        sock.settimeout(deadline.left_s())
        return tls().wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def dial(host: str, port: int, deadline: Deadline, *, private: bool) -> socket.socket:
    """Connect to one of the host's addresses, all of which have been checked."""
    failure: OSError = OSError(f"{host} has no address")
    found = addresses.resolve(host, port, private=private)
    for family, address in found[:MOST_ADDRESSES]:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.left_s(CONNECT_TIMEOUT_S))
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
