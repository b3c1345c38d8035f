"""Ways to a gunicorn: to its own port, or through an nginx before it."""

import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.candidates import Outcome, Server, free_port
from benchmarks.workloads import Workload

NGINX = """
daemon off; pid nginx.pid; error_log stderr crit; worker_processes auto;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_header_timeout 30s; client_body_timeout 30s; send_timeout 30s;
    upstream web {{ server 127.0.0.1:{upstream}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://web; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $host;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Way:
    """A candidate that looks how its clients are spread over gunicorn's workers."""

    name: str
    server: Server
    port: int
    spreads: dict[int, list[list[int]]] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        return self.server.cpu_seconds()

    def load(self, workload: Workload, seconds: int) -> Outcome:
        look = threading.Timer(seconds / 2, self.look, [workload.connections])
        look.start()
        outcome = replace(self.server, port=self.port).load(workload, seconds)
        look.join()
        return outcome

    def look(self, connections: int) -> None:
        self.spreads.setdefault(connections, []).append(sorted(self.held()))

    def held(self) -> list[int]:
        """How many connections each of the workers holds."""
        workers = self.server.process.children()
        connections = [worker.net_connections("tcp") for worker in workers]
        return [
            sum(one.laddr.port == self.server.port and bool(one.raddr) for one in found)
            for found in connections
        ]

    def spread(self, connections: int) -> str:
        columns = zip(*self.spreads[connections], strict=True)
        return " + ".join(f"{statistics.median(column):.0f}" for column in columns)


@contextmanager
def nginx(upstream: int) -> Iterator[int]:
    """The port of an unprivileged nginx before a port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="wallet-nginx-") as folder:
        # Started by root, its workers are nobody's.
        Path(folder).chmod(0o755)
        Path(folder, "nginx.conf").write_text(
            NGINX.format(upstream=upstream, port=port)
        )
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        with subprocess.Popen([program, "-p", folder, "-c", "nginx.conf"]) as process:
            try:
                yield port
            finally:
                process.terminate()
