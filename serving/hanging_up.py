"""A client that is heard no more, while its answers still go out."""

import socket
from contextlib import suppress


def stop_hearing(client: socket.socket) -> None:
    """Let a client seem to have hung up after what it has sent already."""
    # By a twin: gevent's own shutdown throws an error into the greenlet that waits.
    with suppress(OSError), client.dup() as twin:
        twin.shutdown(socket.SHUT_RD)
