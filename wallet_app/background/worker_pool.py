"""Celery's pool of processes, made to outlive one that is killed.

Brokers without an event loop, such as PostgreSQL, make the pool hand out tasks through
a pipe that its processes read in turn, under a semaphore. One that is killed while it
waits for a task keeps the semaphore for ever, and no other gets a task again.
"""

import fcntl
import tempfile
from typing import Any

from billiard import pool
from celery.concurrency.prefork import TaskPool


class ProcessLock:
    """A lock between processes that the kernel takes back when its holder dies."""

    def __init__(self) -> None:
        # Inherited by a fork; a lock on it belongs to the process that has taken it.
        self.file = tempfile.TemporaryFile()  # noqa: SIM115

    def acquire(self, *_: Any) -> bool:
        fcntl.lockf(self.file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        fcntl.lockf(self.file, fcntl.LOCK_UN)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class PipePool(pool.Pool):
    """billiard's pool, with locks that die with their holders."""

    def _setup_queues(self) -> None:
        super()._setup_queues()  # type: ignore[misc]
        for queue in (self._inqueue, self._outqueue):  # type: ignore[attr-defined]
            queue._rlock = ProcessLock()
            queue._wlock = ProcessLock()


class Pool(TaskPool):
    """What `worker_pool` names."""

    BlockingPool = PipePool
