"""How gunicorn serves the service: a few processes, each with many threads."""

import gc
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# Nothing is imported from wallet_app: what the master process holds, its workers
# inherit, and a reload would go on with the old code.
bind = "127.0.0.1:8000"
workers = int(os.environ.get("WALLET_WORKERS") or max(2, os.cpu_count() or 2))
# Threads mostly wait for a group commit, which gets larger with them.
threads = int(os.environ.get("WALLET_THREADS") or 32)
worker_connections = 1000
backlog = 2048
keepalive = 30
timeout = 60
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


class BalancedWorker(ThreadWorker):
    """A thread worker that leaves a new connection to a worker that has fewer.

    Clients keep their connections. Without this the first worker to wake up may take
    all of them, and the service has the speed of one processor.
    """

    def init_process(self) -> None:
        self.declined = 0
        connections[self.age % MOST_WORKERS] = 0
        super().init_process()

    def notify(self) -> None:
        connections[self.age % MOST_WORKERS] = self.nr_conns
        super().notify()

    def accept(self, listener: Any) -> None:
        fewest = min(count for count in connections if count != NOBODY)
        if self.nr_conns > fewest and self.declined < MOST_DECLINES:
            self.declined += 1
            time.sleep(DECLINE_PAUSE_S)
            return
        self.declined = 0
        super().accept(listener)
        connections[self.age % MOST_WORKERS] = self.nr_conns


worker_class = BalancedWorker


def post_worker_init(_worker: ThreadWorker) -> None:
    """Leave what lives as long as the process out of every garbage collection."""
    gc.collect()
    gc.freeze()


def child_exit(_server: Any, worker: ThreadWorker) -> None:
    """Nobody waits for a worker that is gone to take its share."""
    connections[worker.age % MOST_WORKERS] = NOBODY
