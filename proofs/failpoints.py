"""`gunicorn proofs.failpoints:app`: a service that is killed exactly at its COMMIT.

It is the real service, with two functions of its ledger wrapped from outside. When
WALLET_INSTANCE_DIR holds a file that names a point, the first worker that comes to this
point kills itself with SIGKILL there, and leaves the keys of its transaction.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from wallet_app.ledger import posting
from wsgi import app

__all__ = ["app"]

FOLDER = Path(os.environ["WALLET_INSTANCE_DIR"])
real_pipeline, real_write = posting.pipeline, posting.write
# The keys that a connection's transaction has written, by the connection's id.
written: dict[int, list[str]] = {}


def write(
    connection: psycopg.Connection, batch: posting.Batch
) -> Iterable[tuple[Any, ...]]:
    if batch.entries:
        written[id(connection)] = [str(one.reference_id) for one in batch.entries]
    return real_write(connection, batch)


@contextlib.contextmanager
def pipeline(**options: Any) -> Iterator[psycopg.Connection]:
    with real_pipeline(**options) as connection:
        yield connection
        keys = written.pop(id(connection), [])
        if keys and is_armed("before"):
            send_all(connection)
            die("before", keys)
        if keys and is_armed("sent"):
            send_all(connection)
            connection.pgconn.send_query_params(b"COMMIT", None)
            connection.pgconn.flush()
            die("sent", keys)
    if keys:
        die("after", keys)


def send_all(connection: psycopg.Connection) -> None:
    """Have every statement of the transaction so far done by the server."""
    with connection.pipeline() as statements:
        statements.sync()


def is_armed(point: str) -> bool:
    return trigger(point).exists()


def trigger(point: str) -> Path:
    return FOLDER / f"failpoint-{point}"


def die(point: str, keys: list[str]) -> None:
    """End here, if the point is armed; only one worker finds it so."""
    mark = FOLDER / f"failpoint-{point}.{time.time_ns()}"
    with contextlib.suppress(FileNotFoundError):
        trigger(point).rename(mark)
        mark.write_text(" ".join(keys))
        os.kill(os.getpid(), signal.SIGKILL)


posting.pipeline, posting.write = pipeline, write
