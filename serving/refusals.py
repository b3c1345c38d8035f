"""What gunicorn refuses by itself, before it is a request for the application."""

import socket
from typing import Any

from gunicorn.workers.ggevent import GeventWorker

# As wallet_app/http/headers.py has them for money: what was asked for is not known.
HEADERS = (
    b"X-Content-Type-Options: nosniff\r\n"
    b"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    b"Cache-Control: no-store\r\n"
)


class Refusals(GeventWorker):
    """Gives gunicorn's own answers the headers that all others have."""

    def handle_error(
        self, req: Any, client: socket.socket, addr: Any, exc: BaseException
    ) -> None:
        super().handle_error(req, Refused(client), addr, exc)


class Refused:
    """A client's socket, on which gunicorn writes a whole answer at once."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def sendall(self, answer: bytes) -> None:
        status_line, end, rest = answer.partition(b"\r\n")
        self.client.sendall(status_line + end + HEADERS + rest)
