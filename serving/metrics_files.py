"""The files through which gunicorn's workers share what Prometheus is told.

prometheus_client keeps a file for each process and kind of figure in this folder, and
adds them up when somebody asks. It is not imported here: the workers would inherit it,
with locks from before gevent.
"""

import glob
import os
import shutil
import tempfile
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
made: list[str] = []


def prepare() -> None:
    """Begin with an empty folder; if one is named, nobody else may use it."""
    if os.environ.get("WALLET_METRICS") != "on":
        return
    folder = os.environ.get(FOLDER)
    if not folder:
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        folder = tempfile.mkdtemp(prefix="wallet-metrics-", dir=memory)
        made.append(folder)
        os.environ[FOLDER] = folder
    # A gunicorn that takes over from another one, at work still, finds its files.
    elif "GUNICORN_PID" not in os.environ:
        Path(folder).mkdir(parents=True, exist_ok=True)
        remove(folder, "*.db")


def forget(pid: int) -> None:
    """A worker is gone: what it had at work no longer counts, what it did does."""
    if FOLDER in os.environ:
        remove(os.environ[FOLDER], f"gauge_live*_{pid}.db")


def clean_up() -> None:
    """Remove the folder, if it was made here."""
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


def remove(folder: str, pattern: str) -> None:
    for path in glob.glob(os.path.join(glob.escape(folder), pattern)):
        os.unlink(path)
