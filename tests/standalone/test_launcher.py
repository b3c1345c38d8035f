"""The one-command start, with the real programs: all of it comes up."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from runs import Run, free_port, launch_in_vain, started, wait_for

from wallet_app.config import Settings
from wallet_app.standalone import launcher, processes


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Run]:
    """A run, with demo data, for the tests that let it live."""
    with started(folder / "service", folder / "service.log") as run:
        yield run


@pytest.mark.slow
def test_service_answers_with_its_documentation_and_demo_data(service: Run) -> None:
    # Degraded until the first rollup has come to its end.
    assert json.loads(service.get("/readyz"))["status"] in {"ok", "degraded"}
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

    def all_gone() -> bool:
        return not any(psutil.pid_exists(int(pid)) for pid in pids.read_text().split())

    wait_for(all_gone, 10, pids.read_text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_service_without_keys_listens_on_loopback(host: str) -> None:
    launcher.refuse_open_address(host, Settings())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7", "2001:db8::1"])
def test_service_without_keys_listens_nowhere_else(host: str) -> None:
    with pytest.raises(launcher.LaunchError, match="WALLET_ACCESS=keys make run HOST="):
        launcher.refuse_open_address(host, Settings())
    launcher.refuse_open_address(host, Settings(access="keys"))


def test_open_address_is_refused_before_anything_starts(tmp_path: Path) -> None:
    message = launch_in_vain(tmp_path, free_port(), "--host", "0.0.0.0")
    assert "Anybody who reaches 0.0.0.0 could move money" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_first_lines_say_who_gets_in(service: Run) -> None:
    assert "open: no key is asked; only this machine reaches it" in service.output()


def test_with_keys_it_is_said_how_to_make_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    launcher.welcome("127.0.0.1", 8000, Settings(access="keys"))
    printed = capsys.readouterr().out
    assert "flask --app wsgi wallet keys create" in printed
    assert "Authorization: Bearer" in printed
    assert "open:" not in printed
