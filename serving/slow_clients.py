"""A client that is slow to send its body, or to read its answer, is left."""

import errno
import socket
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from serving.hanging_up import stop_hearing

BODY_TIMEOUT_S = 30
# More than a body's, whose reads it bounds as well.
SEND_TIMEOUT_S = 40


class SlowClients(GeventWorker):
    """Gives a request's body and each piece of its answer a time to get across.

    The head has gunicorn's `keepalive`; without this, a client that sends its body byte
    by byte, or reads none of what it gets, would hold its connection for ever.
    """

    def handle_request(
        self, listener_name: Any, req: Any, sock: socket.socket, addr: Any
    ) -> None:
        deadline = gevent.get_hub().loop.timer(BODY_TIMEOUT_S)
        deadline.start(end_body, req, sock)
        sock.settimeout(SEND_TIMEOUT_S)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            # As if it had gone: gunicorn ends the connection without complaining.
            raise BrokenPipeError(errno.EPIPE, "the client does not read") from None
        finally:
            deadline.close()
            sock.settimeout(None)


def end_body(req: Any, sock: socket.socket) -> None:
    """Read no more, as if the client had hung up; it still gets its answer."""
    # What comes yet must not be taken for another request.
    req.force_close()
    stop_hearing(sock)
