"""Celery workers as real processes, which can be killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent.parent


class Worker:
    """`celery worker` in a process group of its own."""

    def __init__(
        self,
        settings: dict[str, str],
        log: Path,
        *,
        name: str = "worker",
        queues: str = "rollups,statements",
        concurrency: int = 1,
        beat: bool = True,
        quiet: bool = False,
    ) -> None:
        self.log = log
        self.settings = settings
        schedule = log.with_suffix(f".{name}.schedule")
        self.command = [
            *(sys.executable, "-W", "ignore", "-m", "celery"),
            *(("--quiet",) if quiet else ()),
            *("--app", "celery_worker:celery", "worker"),
            *("--hostname", f"{name}@localhost", "--queues", queues),
            *("--concurrency", str(concurrency), "--loglevel", "INFO"),
            *(("--beat", "--schedule", str(schedule)) if beat else ()),
        ]
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def children(self) -> list[int]:
        """The processes that run the tasks (beat is a child of its own)."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            return sorted(child.pid for child in found)
        return []

    def kill(self) -> None:
        """As the system does it when memory is short: no good-bye."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def hold(self) -> None:
        """Stop every process of the worker where it is."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.kill()


@contextlib.contextmanager
def stopped_at_the_end(workers: Sequence[Worker]) -> Iterator[Sequence[Worker]]:
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def eventually(
    condition: Callable[[], Any], within_s: float = 30, message: str = ""
) -> Any:
    """Wait until the condition is true, and return what it gave."""
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, message or f"not within {within_s} s"
        time.sleep(0.1)
    return result
