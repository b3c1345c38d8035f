"""Debian packages that some tests and proofs need."""

import os
import subprocess


def install(package: str) -> None:
    """Install a Debian package without starting its service."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    # A runlevel in which Debian starts no services.
    environment = ["env", "RUNLEVEL=1", "DEBIAN_FRONTEND=noninteractive"]
    apt = [*sudo, *environment, "apt-get", "-q", "-y"]
    for step in (["update"], ["install", "--no-install-recommends", package]):
        subprocess.run([*apt, *step], check=True, capture_output=True)
