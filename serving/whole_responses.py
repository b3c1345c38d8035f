"""An answer goes out in one piece."""

import socket
from typing import Any

from gunicorn.workers.ggevent import GeventWorker


class WholeResponse:
    """A client's socket that sends the head of a response together with its body."""

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
        return self.client.sendfile(*args, **kwargs)

    def flush(self, body: bytes = b"") -> None:
        head, self.head = self.head, None
        data = body if head is None else head + body
        if data:
            self.client.sendall(data)


class WholeResponses(GeventWorker):
    """Sends once for an answer: gunicorn would twice, and wake its client twice."""

    def handle_request(
        self, listener_name: Any, req: Any, sock: Any, addr: Any
    ) -> None:
        response = WholeResponse(sock)
        try:
            super().handle_request(listener_name, req, response, addr)
        finally:
            response.flush()
