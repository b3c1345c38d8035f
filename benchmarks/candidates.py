"""What takes the load: gunicorn servers, and PostgreSQL by itself."""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.database import ROOT, used_by
from benchmarks.workloads import Workload
from wallet_app.standalone.processes import running

START_TIMEOUT_SECONDS = 60
WRK_TIMEOUT_SECONDS = 15
WRK_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a load generator saw; `failed`: not answered with 200."""

    requests: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Server:
    """A gunicorn and its workers."""

    name: str
    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """What the workers have used."""
        return sum(used_by(worker) for worker in self.process.children())

    def load(self, workload: Workload, seconds: int) -> Outcome:
        """Keep the server busy for a time."""
        with tempfile.NamedTemporaryFile("w", suffix=".requests") as file:
            file.write("".join(f"{request}\n" for request in workload.requests))
            file.flush()
            command = client_command(
                self.port, workload.connections, seconds, file.name
            )
            finished = subprocess.run(
                command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
            )
        return Outcome(**json.loads(finished.stdout.splitlines()[-1]))


def client_name() -> str:
    """Which load generator is used."""
    return "wrk" if shutil.which("wrk") else "benchmarks/python_client.py"


def client_command(
    port: int, connections: int, seconds: int, requests_file: str
) -> list[str]:
    wrk = shutil.which("wrk")
    if wrk is None:
        values = [str(value) for value in (port, connections, seconds)]
        client = [sys.executable, "-m", "benchmarks.python_client"]
        return [*client, *values, requests_file]
    return [
        *(wrk, "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{seconds}s", "--timeout", f"{WRK_TIMEOUT_SECONDS}s"),
        *("--script", str(WRK_SCRIPT), f"http://127.0.0.1:{port}", "--"),
        requests_file,
    ]


@contextmanager
def serve(
    name: str,
    app: str,
    database_url: str,
    *,
    options: Sequence[str] = (),
    **settings: str | int,
) -> Iterator[Server]:
    """A gunicorn with the project's configuration; settings are WALLET_<NAME>s.

    `options` of gunicorn's command line go before the configuration's.
    """
    values = {"database_url": database_url, **settings}
    environment = [f"WALLET_{key.upper()}={value}" for key, value in values.items()]
    port = free_port()
    gunicorn = [
        *(sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py")),
        *("--chdir", str(ROOT), "--bind", f"127.0.0.1:{port}"),
        *("--log-level", "warning", *options, app),
    ]
    with running({name: ["env", *environment, *gunicorn]}) as (child,):
        wait_for_answer(port)
        yield Server(name, port, psutil.Process(child.process.pid))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_answer(port: int) -> None:
    """Wait until the server answers whatever it be; raises TimeoutError."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse()
            return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise TimeoutError("The server did not start: its messages are above.")
