"""One wallet under load, through real worker processes of gunicorn."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from ops import wait_until

ROOT = Path(__file__).parents[2]
CLIENTS = 32
OPERATIONS = 50
WORKERS = 2


class Caller(http.client.HTTPConnection):
    """A client with one kept-alive connection."""

    def __init__(self, port):
        super().__init__("127.0.0.1", port, timeout=30)

    def call(self, method, path, body=None, headers=None):
        """The answer's status and JSON."""
        data = None if body is None else json.dumps(body)
        self.request(
            method, path, data, {"Content-Type": "application/json"} | (headers or {})
        )
        answer = self.getresponse()
        return answer.status, json.loads(answer.read())


def get(port, path):
    with closing(Caller(port)) as caller:
        return caller.call("GET", path)


@pytest.fixture(scope="module")
def port(migrated_app, database_environment, tmp_path_factory):
    """The port of a gunicorn that serves the tests' own database."""
    port, folder = free_port(), tmp_path_factory.mktemp("gunicorn")
    log = folder / "gunicorn.log"
    command = [
        *(sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py"),
        *("--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS), "wsgi:app"),
    ]
    environment = os.environ | database_environment
    environment |= {"WALLET_INSTANCE_DIR": str(folder)}
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: is_up(server, port, log), seconds=60)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert "Traceback" not in log.read_text()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_up(server, port, log):
    assert server.poll() is None, log.read_text()
    try:
        return get(port, "/readyz")[0] == 200
    except OSError:
        return False


def crowd(port, work):
    """Do the work with every client at the same moment; return all results."""
    barrier = threading.Barrier(CLIENTS)

    def start(number):
        with closing(Caller(port)) as caller:
            barrier.wait(10)
            return work(number, caller)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [one for results in pool.map(start, range(CLIENTS)) for one in results]


def history(port, wallet):
    """The wallet's transactions, oldest first, page by page."""
    rows, cursor = [], ""
    while cursor is not None:
        path = f"/api/v1/wallets/{wallet}/transactions?order=asc&limit=100{cursor}"
        status, page = get(port, path)
        assert status == 200, page
        rows += page["data"]
        assert len(rows) <= CLIENTS * OPERATIONS + 1, "the pages go round in circles"
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return rows


def test_one_wallet_stays_exact_under_concurrent_deposits_and_withdrawals(
    port, make_wallet
):
    wallet = make_wallet(100)
    path = f"/api/v1/wallets/{wallet}/operation"

    def work(number, caller):
        chance, results = random.Random(number), []
        for _ in range(OPERATIONS):
            kind = chance.choice(["DEPOSIT", "WITHDRAW"])
            amount = str(Decimal(chance.randrange(1, 3000)) / 100)
            body = {"operation_type": kind, "amount": amount}
            results.append((body, *caller.call("POST", path, body)))
        return results

    start = time.monotonic()
    results = crowd(port, work)
    assert time.monotonic() - start < 15
    statuses = Counter(status for _, status, _ in results)
    assert set(statuses) <= {200, 409}
    assert sum(statuses.values()) == CLIENTS * OPERATIONS

    balance = Decimal(100)
    for body, status, answer in results:
        if status == 200:
            amount = Decimal(body["amount"])
            balance += amount if body["operation_type"] == "DEPOSIT" else -amount
            assert Decimal(answer["amount"]) == amount
        else:
            assert answer["code"] == "insufficient_funds"
            missing = Decimal(body["amount"]) - Decimal(answer["available"])
            assert Decimal(answer["short_by"]) == missing > 0
    _, shown = get(port, f"/api/v1/wallets/{wallet}/balance")
    assert Decimal(shown["balance"]) == balance

    rows = history(port, wallet)
    assert [row["seq"] for row in rows] == list(range(1, statuses[200] + 2))
    before = Decimal(0)
    for row in rows:
        assert Decimal(row["balance_before"]) == before
        before = Decimal(row["balance_after"])
        assert before >= 0
    answered = {answer["id"]: answer for _, status, answer in results if status == 200}
    assert {row["id"]: row for row in rows[1:]} == answered


def test_same_keys_sent_to_all_workers_at_once_move_money_once(port, make_wallet):
    wallet = make_wallet(20)
    path = f"/api/v1/wallets/{wallet}/operation"
    body = {"operation_type": "WITHDRAW", "amount": "1.00"}

    def work(number, caller):
        return [
            caller.call("POST", path, body, {"Idempotency-Key": f"order-{key}"})
            for key in range(20)
        ]

    results = crowd(port, work)
    assert {status for status, _ in results} == {200}
    assert len({answer["id"] for _, answer in results}) == 20
    _, shown = get(port, f"/api/v1/wallets/{wallet}")
    assert (shown["balance"], shown["version"]) == ("0.00", 21)


def test_chunked_body_over_the_limit_is_refused_by_the_real_server(port, make_wallet):
    wallet = make_wallet()
    good = json.dumps({"operation_type": "DEPOSIT", "amount": "1.00"}).encode()
    chunks = (good if number == 0 else b" " * 65536 for number in range(20))
    with closing(Caller(port)) as caller:
        caller.request(
            "POST",
            f"/api/v1/wallets/{wallet}/operation",
            chunks,
            {"Content-Type": "application/json"},
            encode_chunked=True,
        )
        answer = caller.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["code"] == "body_too_large"
    _, shown = get(port, f"/api/v1/wallets/{wallet}")
    assert shown["version"] == 0
