"""How gunicorn serves the service: a few processes, each with a greenlet a connection.

Greenlets, because threads would contend for the interpreter: on two cores two workers
of 32 threads did little more than half of what these do (docs/benchmarks.md).
"""

import gc
import os
import resource
from pathlib import Path
from typing import Any

from serving import balance, metrics_files

bind = "127.0.0.1:8000"
workers = int(os.environ.get("WALLET_WORKERS") or max(2, os.cpu_count() or 2))
# The master imports it, and with it nothing of the application.
worker_class = "serving.worker.Worker"
worker_connections = 1000
backlog = 2048
keepalive = 30
timeout = 60
graceful_timeout = 30
# The one in C, where it could be built.
http_parser = "auto"
accesslog = None
errorlog = "-"
if os.environ.get("WALLET_LOG_FORMAT") == "json":
    logger_class = "serving.json_logs.JsonLogger"
control_socket_disable = True
# The heartbeat file of a worker must not wait for a busy disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None

# A connection is an open file, and the usual limit of 1,024 leaves none for PostgreSQL.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))


def on_starting(_server: Any) -> None:
    metrics_files.prepare()


def post_worker_init(_worker: Any) -> None:
    """Collect garbage seldom, and without what lives as long as the process."""
    gc.collect()
    gc.freeze()
    # A request leaves few cycles behind, but makes many objects.
    gc.set_threshold(20_000, 10, 10)


def child_exit(_server: Any, worker: Any) -> None:
    balance.forget(worker)
    metrics_files.forget(worker.pid)


def on_exit(_server: Any) -> None:
    metrics_files.clean_up()
