"""The one-command start, with the real programs: all of it comes up, all of it ends."""

import json
import os
import shutil
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
import pytest

from wallet_app import embedded, launcher, processes
from wallet_app.config import Settings
from wallet_app.embedded_cluster import is_running

ROOT = Path(__file__).parents[1]
START_SECONDS = 60
END_SECONDS = 45


class Run:
    """A launcher at work, and what it has printed."""

    def __init__(self, instance_dir: Path, log: Path, database_url: str = "") -> None:
        self.instance_dir = instance_dir
        self.log = log
        self.port = free_port()
        with log.open("w") as output:
            self.process = subprocess.Popen(
                launcher_command(self.port),
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
        """The pid of gunicorn's or Celery's main process."""
        (child,) = [
            child.pid
            for child in psutil.Process(self.process.pid).children()
            if program in child.cmdline()
        ]
        return child

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(END_SECONDS)


def launcher_command(port: int) -> list[str]:
    return [sys.executable, "-m", "wallet_app.launcher", "--port", str(port)]


def environment(instance_dir: Path, database_url: str = "") -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
    return {
        **kept,
        "WALLET_INSTANCE_DIR": str(instance_dir),
        "WALLET_DATABASE_URL": database_url,
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
def started(instance_dir: Path, log: Path, database_url: str = "") -> Iterator[Run]:
    """A run that is ready, and that ends with the block in any case."""
    run = Run(instance_dir, log, database_url)
    try:
        run.wait_until_ready()
        yield run
    finally:
        run.process.terminate()
        run.process.wait(END_SECONDS)


def launch_in_vain(instance_dir: Path, port: int, database_url: str = "") -> str:
    """What a launcher that cannot start says on its way out."""
    finished = subprocess.run(
        launcher_command(port),
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


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run, with demo data, for the tests that let it live."""
    folder = tmp_path_factory.mktemp("service")
    with started(folder / "instance", folder / "log") as run:
        yield run


@pytest.fixture(scope="module")
def shared_instance_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all the runs that come to an end: only the first makes a database."""
    return tmp_path_factory.mktemp("ended") / "instance"


@pytest.fixture
def instance_dir(shared_instance_dir: Path) -> Iterator[Path]:
    """An instance folder, of which no test leaves a process."""
    yield shared_instance_dir
    assert left_behind(shared_instance_dir) == []


@pytest.mark.slow
def test_service_answers_with_its_documentation_and_demo_data(service: Run) -> None:
    assert json.loads(service.get("/readyz")) == {"status": "ok"}
    assert "swagger" in service.get("/docs").lower()
    assert "redoc" in service.get("/redoc").lower()
    assert json.loads(service.get("/api/v1/wallets"))["data"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_printed_curl_command_works_verbatim(service: Run) -> None:
    command = service.output()[service.output().index("curl -X POST") :]
    command = command[: command.index("\n\n")]
    assert f"http://localhost:{service.port}/api/v1/wallets/123e4567-" in command
    answer = subprocess.check_output(
        f"curl --fail --silent {command.removeprefix('curl')}", shell=True
    )
    assert json.loads(answer)["amount"] == "1000.00"


@pytest.mark.slow
def test_second_run_is_refused_while_the_first_is_at_work(service: Run) -> None:
    message = launch_in_vain(service.instance_dir, free_port())
    assert f"Another `make run` is running here, pid {service.process.pid}" in message


@pytest.mark.slow
def test_taken_port_is_named_before_anything_starts(
    service: Run, tmp_path: Path
) -> None:
    message = launch_in_vain(tmp_path, service.port)
    assert f"Cannot listen on 127.0.0.1 port {service.port}" in message
    assert "make run PORT=" in message
    assert not (tmp_path / "pg").exists()


@pytest.mark.slow
def test_signals_leave_no_process_and_the_next_run_finds_the_money(
    instance_dir: Path, tmp_path: Path
) -> None:
    with started(instance_dir, tmp_path / "log") as run:
        wallet = run.post("/api/v1/wallets", {"currency": "USD"})["uuid"]
        deposit = {"operation_type": "DEPOSIT", "amount": 7}
        run.post(f"/api/v1/wallets/{wallet}/operation", deposit)
        assert run.end(signal.SIGINT) == 0
        assert left_behind(instance_dir) == []
    with started(instance_dir, tmp_path / "log") as run:
        balance = json.loads(run.get(f"/api/v1/wallets/{wallet}/balance"))
        assert balance["balance"] == "7.00"
        assert run.end(signal.SIGTERM) == 0
        assert left_behind(instance_dir) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the children")
def test_killed_launcher_leaves_no_web_server_and_no_worker(
    instance_dir: Path, tmp_path: Path
) -> None:
    with started(instance_dir, tmp_path / "log") as run:
        run.process.kill()
        run.process.wait()

        def only_postgresql() -> bool:
            return all("postgres" in name for name in left_behind(instance_dir))

        wait_for(only_postgresql, END_SECONDS, lambda: left_behind(instance_dir))
    # The next user takes the database over, and ends it.
    embedded.start(instance_dir / "pg").stop()


@pytest.mark.slow
@pytest.mark.parametrize("program", ["gunicorn", "celery"])
def test_dead_child_ends_everything(
    instance_dir: Path, tmp_path: Path, program: str
) -> None:
    with started(instance_dir, tmp_path / "log") as run:
        os.kill(run.main_pid(program), signal.SIGKILL)
        assert run.process.wait(END_SECONDS) == 1
        assert "ended with signal SIGKILL" in run.output()


@pytest.mark.slow
def test_configured_database_is_used_and_left_running(
    instance_dir: Path, tmp_path: Path
) -> None:
    with embedded.start(tmp_path / "pg") as server:
        with started(instance_dir, tmp_path / "log", server.url) as run:
            assert "Starting PostgreSQL" not in run.output()
            assert run.end(signal.SIGTERM) == 0
        assert is_running(tmp_path / "pg")


def test_database_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "DATABASE_TIMEOUT_SECONDS", 0)
    url = f"postgresql+psycopg://me:secret@127.0.0.1:{free_port()}/wallet"
    with (
        pytest.raises(launcher.LaunchError, match="WALLET_DATABASE_URL") as caught,
        launcher.database(Settings(database_url=url)),
    ):
        pass
    assert "secret" not in str(caught.value)


def test_database_url_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    message = launch_in_vain(tmp_path, free_port(), database_url="nonsense")
    assert "WALLET_DATABASE_URL cannot be used" in message


def test_unusable_instance_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(launcher.LaunchError, match="Set WALLET_INSTANCE_DIR"),
        launcher.only_run(tmp_path / "file" / "instance"),
    ):
        pass


def test_failing_step_is_named() -> None:
    with pytest.raises(
        launcher.LaunchError, match="The migration ended with exit code 3"
    ):
        launcher.run_to_end("The migration", [sys.executable, "-c", "exit(3)"])


def test_service_that_never_gets_ready_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launcher, "READY_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(launcher.LaunchError, match="was not ready after"):
        launcher.wait_until_ready("127.0.0.1", free_port(), [])


def test_stubborn_process_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT_SECONDS", 0.5)
    pids = tmp_path / "pids"
    stubborn = f"""
        trap '' TERM
        sleep 60 &
        echo $$ $! > {pids}
        wait
    """
    with processes.running({"The stubborn one": ["bash", "-c", stubborn]}):
        wait_for(lambda: pids.exists() and pids.read_text(), 10, list)
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.read_text().split())
