"""Runs of the launcher: real processes, and a look at what they leave behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
START_SECONDS = 60
# Less than gunicorn's grace for idle connections, which must not count here.
END_SECONDS = 25


class Run:
    """A launcher at work, and what it has printed."""

    def __init__(
        self, instance_dir: Path, log: Path, *options: str, database_url: str = ""
    ) -> None:
        self.instance_dir = instance_dir
        self.log = log
        self.port = free_port()
        with log.open("w") as output:
            self.process = subprocess.Popen(
                launcher_command(self.port, *options),
                cwd=ROOT,
                env=environment(instance_dir, database_url),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        wait_for(lambda: "is ready" in self.output(), START_SECONDS, self.output)

    def output(self) -> str:
        return self.log.read_text()

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return str(answer.read().decode())

    def post(self, path: str, body: object) -> dict[str, object]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return dict(json.load(answer))

    def main_pid(self, program: str) -> int:
        """The pid of gunicorn's or of one of Celery's main processes."""
        child, *_ = [
            child.pid
            for child in psutil.Process(self.process.pid).children()
            if program in child.cmdline()
        ]
        return child

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(END_SECONDS)


def launcher_command(port: int, *options: str) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "wallet_app.standalone.launcher",
        "--port",
        str(port),
    ]
    return [*command, *options]


def environment(instance_dir: Path, database_url: str = "") -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
    return {
        **kept,
        "WALLET_INSTANCE_DIR": str(instance_dir),
        "WALLET_DATABASE_URL": database_url,
        "WALLET_WORKERS": "1",
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(
    condition: Callable[[], object], seconds: float, explain: Callable[[], object]
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)


def left_behind(instance_dir: Path) -> list[str]:
    """The programs of a run that are still there; each has the run's environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WALLET_INSTANCE_DIR") == str(instance_dir):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@contextmanager
def started(
    instance_dir: Path, log: Path, *options: str, database_url: str = ""
) -> Iterator[Run]:
    """A run that is ready, and that ends with the block in any case."""
    run = Run(instance_dir, log, *options, database_url=database_url)
    try:
        run.wait_until_ready()
        yield run
    finally:
        run.process.terminate()
        run.process.wait(END_SECONDS)


def launch_in_vain(
    instance_dir: Path, port: int, *options: str, database_url: str = ""
) -> str:
    """What a launcher that cannot start says on its way out."""
    finished = subprocess.run(
        launcher_command(port, *options),
        cwd=ROOT,
        env=environment(instance_dir, database_url),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    return finished.stderr
