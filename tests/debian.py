"""Debian packages that some tests and proofs need."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path


def need(program: str, *packages: str) -> None:
    """Install Debian packages, starting no service, unless their program is there."""
    # One at a time, though several ask at once; apt's own lock may be somebody else's.
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.which(program) is None:
            install(packages)


def install(packages: tuple[str, ...]) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    # A runlevel in which Debian starts no services.
    environment = ["env", "RUNLEVEL=1", "DEBIAN_FRONTEND=noninteractive"]
    apt = [*sudo, *environment, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    for step in (["update"], ["install", "--no-install-recommends", *packages]):
        subprocess.run([*apt, *step], check=True, capture_output=True)
