"""Child processes that end together and do not outlive the process above them."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# Longer than gunicorn's graceful_timeout, after which it ends its requests itself.
STOP_TIMEOUT_SECONDS = 35
PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """A process in a session of its own, which a terminal's Ctrl-C does not reach."""

    name: str
    process: subprocess.Popen[bytes]

    def fate(self) -> str:
        """How a process that has ended did so."""
        code = self.process.returncode
        if code < 0:
            return f"{self.name} ended with signal {signal.Signals(-code).name}"
        return f"{self.name} ended with exit code {code}"

    def stop(self, deadline: float) -> None:
        """Wait for a process that was asked to end, then end its whole group."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(commands: Mapping[str, list[str]]) -> Iterator[list[Child]]:
    """Start programs, and end them gracefully, all at once, on leaving."""
    children: list[Child] = []
    try:
        for name, command in commands.items():
            children.append(spawn(name, command))
        yield children
    finally:
        for child in children:
            child.process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for child in children:
            child.stop(deadline)


def spawn(name: str, command: list[str]) -> Child:
    """Start a child that ends when the launcher does, even one that is killed."""
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=ends_with(os.getpid()),  # noqa: PLW1509
    )
    return Child(name, process)


def ends_with(launcher_pid: int) -> Callable[[], None] | None:
    """What a child does, before it becomes its program, to end with the launcher."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_for_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != launcher_pid:
            os._exit(1)

    return ask_for_signal
