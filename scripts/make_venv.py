"""Make .venv with the locked dependencies; do nothing when it is up to date."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "complete"
LOCK_FILE = ROOT / ".venv.lock"
INPUTS = ("requirements.lock", "requirements-dev.lock", "requirements-fast.lock")
OLDEST_PYTHON = (3, 11)


def say(message: str) -> None:
    """Print at once, also when make's output is a pipe."""
    print(message, flush=True)


def fingerprint() -> str:
    """Hash everything that decides what belongs into the environment."""
    digest = hashlib.sha256()
    # The path counts as well: the scripts of a venv that was moved do not run.
    for part in (sys.version, sys.base_prefix, str(VENV)):
        digest.update(part.encode() + b"\0")
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


def is_current(wanted: str) -> bool:
    """Tell whether a finished environment for these inputs is already there."""
    try:
        return STAMP.read_text() == wanted and (VENV / "bin" / "python").exists()
    except OSError:
        return False


@contextlib.contextmanager
def only_one() -> Iterator[int]:
    """Hold the lock that keeps two makes off the same environment."""
    with LOCK_FILE.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another make is setting up .venv: waiting for it to finish.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


def run(command: list[str], lock: int, output: int | None = None) -> int:
    """Run one step of the installation; its exit code."""
    # The child inherits the lock, so that it is not free while pip still writes.
    return subprocess.run(
        command, cwd=ROOT, pass_fds=[lock], stdout=output, stderr=output, check=False
    ).returncode


def must_run(command: list[str], lock: int, advice: str) -> None:
    """Run a step that cannot be done without, or leave with advice."""
    code = run(command, lock)
    if code != 0:
        sys.exit(f"\n{advice}\n(exit code {code})")


def install(lock: int) -> None:
    """Make the environment from scratch and install everything that is locked."""
    # When root makes it, the embedded PostgreSQL runs from it as another user.
    os.umask(0o022)
    must_run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        lock,
        "The virtual environment could not be made. On Debian and Ubuntu the missing "
        "part is in a package: apt-get install python3-venv",
    )
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pip += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    # The locks are complete; a pip that resolves extras again may look past their pins.
    locked = [*pip, "--no-build-isolation", "--no-deps", "--require-hashes"]
    locked += ["--requirement"]
    advice = (
        "pip could not install the dependencies: its message is above. Check the "
        "network connection and the free disk space, then run make setup again."
    )
    must_run([*locked, "requirements-dev.lock"], lock, advice)
    must_run([*pip, "--no-build-isolation", "--no-deps", "-e", "."], lock, advice)
    if run([*locked, "requirements-fast.lock"], lock, subprocess.DEVNULL) != 0:
        say(
            "Going on without gunicorn's C parser, which makes it a little faster: "
            "building it takes a C compiler and Python's headers (python3-dev)."
        )


def main() -> None:
    """Bring .venv up to date."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            "Python {}.{} or newer is needed, this is {}.{} ({}). Name another one: "
            "make setup PYTHON=python3.12".format(
                *OLDEST_PYTHON, *sys.version_info[:2], sys.executable
            )
        )
    # Ended by make, subprocess.run() kills the step that is under way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.pop("PYTHONHOME", None)
    os.environ.pop("PYTHONPATH", None)
    wanted = fingerprint()
    if is_current(wanted):
        say(".venv is up to date: nothing to do.")
        return
    with only_one() as lock:
        if is_current(wanted):
            say(".venv is up to date: nothing to do.")
            return
        say("Making .venv with the locked dependencies (a minute or so) ...")
        started = time.monotonic()
        install(lock)
        STAMP.write_text(wanted)
        say(f".venv is ready ({time.monotonic() - started:.0f} s).")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
