"""Something is killed: all of the one-command start ends."""

import os
import signal
import sys
from pathlib import Path

import pytest
from runs import END_SECONDS, left_behind, started, wait_for

from wallet_app.standalone import embedded

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the children")
def test_killed_launcher_leaves_no_web_server_and_no_worker(
    instance_dir: Path, tmp_path: Path
) -> None:
    with started(instance_dir, tmp_path / "log", "--no-demo") as run:
        run.process.kill()
        run.process.wait()

        def only_postgresql() -> bool:
            return all("postgres" in name for name in left_behind(instance_dir))

        wait_for(only_postgresql, END_SECONDS, lambda: left_behind(instance_dir))
    # The next user takes the database over, and ends it.
    embedded.start(instance_dir / "pg").stop()


@pytest.mark.parametrize("program", ["gunicorn", "celery"])
def test_dead_child_ends_everything(
    instance_dir: Path, tmp_path: Path, program: str
) -> None:
    with started(instance_dir, tmp_path / "log", "--no-demo") as run:
        os.kill(run.main_pid(program), signal.SIGKILL)
        assert run.process.wait(END_SECONDS) == 1
        assert "ended with signal SIGKILL" in run.output()
