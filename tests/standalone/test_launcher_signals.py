"""The one-command start is asked to end: all of it ends, and keeps the money."""

import json
import signal
import socket
from pathlib import Path

import pytest
from runs import left_behind, started

from wallet_app.standalone import embedded
from wallet_app.standalone.embedded_cluster import is_running

pytestmark = pytest.mark.slow


def test_signals_leave_no_process_and_the_next_run_finds_the_money(
    instance_dir: Path, tmp_path: Path
) -> None:
    with started(instance_dir, tmp_path / "log", "--no-demo") as run:
        wallet = run.post("/api/v1/wallets", {"currency": "USD"})["uuid"]
        deposit = {"operation_type": "DEPOSIT", "amount": 7}
        run.post(f"/api/v1/wallets/{wallet}/operation", deposit)
        # A browser's idle connection does not keep the web server from ending.
        with socket.create_connection(("127.0.0.1", run.port)) as browser:
            browser.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert browser.recv(12) == b"HTTP/1.1 200"
            assert run.end(signal.SIGINT) == 0
        assert left_behind(instance_dir) == []
    with started(instance_dir, tmp_path / "log", "--no-demo") as run:
        balance = json.loads(run.get(f"/api/v1/wallets/{wallet}/balance"))
        assert balance["balance"] == "7.00"
        assert run.end(signal.SIGTERM) == 0
        assert left_behind(instance_dir) == []


def test_configured_database_is_used_and_left_running(
    instance_dir: Path, tmp_path: Path, folder: Path
) -> None:
    with embedded.start(folder / "pg") as server:
        with started(
            instance_dir, tmp_path / "log", "--no-demo", database_url=server.url
        ) as run:
            assert "Starting PostgreSQL" not in run.output()
            assert run.end(signal.SIGTERM) == 0
        assert is_running(folder / "pg")
