"""A disk that can be filled: a tmpfs of a few hundred megabytes."""

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

SIZE_MIB = 512
BLOCK = bytes(64 * 1024)


@contextlib.contextmanager
def mounted() -> Iterator[Path | None]:
    """The folder of a new disk, or None where mounting one is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="wallet-disk-"))
    folder.chmod(0o755)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=755", "tmpfs", folder],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    try:
        yield folder if mount.returncode == 0 else None
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """No byte is free on the folder's disk meanwhile."""
    filler = folder / "filler"
    file = os.open(filler, os.O_CREAT | os.O_WRONLY)
    try:
        for size in (len(BLOCK), 4096, 1):
            write_until_full(file, BLOCK[:size])
        yield
    finally:
        os.close(file)
        filler.unlink()


def write_until_full(file: int, block: bytes) -> None:
    while True:
        try:
            os.write(file, block)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
