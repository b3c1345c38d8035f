"""How gunicorn serves the service: a few processes, each with many threads."""

import os
from pathlib import Path

# Nothing is imported from wallet_app: what the master process holds, its workers
# inherit, and a reload would go on with the old code.
bind = "127.0.0.1:8000"
workers = int(os.environ.get("WALLET_WORKERS") or max(2, os.cpu_count() or 2))
worker_class = "gthread"
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
