"""Retries: the same key many times, at once, in one process and in two."""

import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from ops import Crowd, deposit, post_elsewhere, wait_until
from sqlalchemy import text
from sqlalchemy.engine import make_url

from wallet_app.database import reading

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
CALLERS = 50
BATCH = "/api/v1/operations/batch"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A gunicorn with one worker on the tests' database."""

    def __init__(self, settings, folder):
        self.port = free_port()
        folder.mkdir()
        self.log = folder / "gunicorn.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
        options = ["--bind", f"127.0.0.1:{self.port}", "--workers", "1"]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, "wsgi:app"],
                cwd=ROOT,
                env=inherited | settings | {"WALLET_INSTANCE_DIR": str(folder)},
                stdout=output,
                stderr=output,
            )

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.call("/readyz")[0] == 200
        except OSError:
            return False

    def call(self, path, body=None, headers=()):
        """A request on a connection of its own: status, headers, body's bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = {"Content-Type": "application/json"} | dict(headers)
            method = "GET" if body is None else "POST"
            connection.request(method, path, body and json.dumps(body), content)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def processes(database_environment, migrated_app, tmp_path_factory):
    """Two processes on one database; they know of each other only through it."""
    folder = tmp_path_factory.mktemp("processes")
    both = [Process(database_environment, folder / str(number)) for number in (1, 2)]
    try:
        for process in both:
            wait_until(process.is_ready, START_SECONDS)
        yield both
    finally:
        for process in both:
            process.process.terminate()
        for process in both:
            process.process.wait(40)


@pytest.fixture(params=["one process", "one process, no group commit", "two processes"])
def send_all(request, app, make_app):
    """Send requests, each (path, body[, headers]), at the same moment: their answers.

    A 503 is sent again, as a client should: it says that nothing was applied, or that
    it can be asked again.
    """
    if request.param == "two processes":
        calls = [one.call for one in request.getfixturevalue("processes")]
    elif request.param == "one process":
        calls = [in_process(app)]
    else:
        calls = [in_process(make_app(group_commit=False))]
    turns = itertools.cycle(calls)
    crowd = Crowd(app, CALLERS)
    yield lambda requests: crowd.together(insist, [(next(turns), *r) for r in requests])
    crowd.pool.shutdown()


def in_process(app):
    def call(path, body, headers=()):
        answer = app.test_client().post(path, json=body, headers=dict(headers))
        return answer.status_code, answer.headers, answer.data

    return call


def insist(arguments):
    call, *request = arguments
    for _ in range(20):
        answer = call(*request)
        if answer[0] != 503:
            return answer
        assert answer[1]["Retry-After"]
    raise AssertionError("503 for ever")


@pytest.fixture
def balance_of(client):
    def read(wallet):
        return client.get(f"/api/v1/wallets/{wallet}/balance").get_json()["balance"]

    return read


def operation(wallet, amount="1.00", key=None, kind="DEPOSIT"):
    """A request: path and body; without a key, it gets one of its own."""
    body = {"operation_type": kind, "amount": amount}
    body["reference_id"] = key or str(uuid.uuid4())
    return f"/api/v1/wallets/{wallet}/operation", body


def seen(answers):
    """How many answers of which kind."""
    return Counter(
        json.loads(body)["code"]
        if status != 200
        else "replayed"
        if "Idempotent-Replayed" in headers
        else "applied"
        for status, headers, body in answers
    )


# The same key from fifty callers at once


def test_operation_from_fifty_callers_is_applied_once(
    send_all, make_wallet, balance_of
):
    wallet = make_wallet(1)
    answers = send_all([operation(wallet, "1.00", kind="WITHDRAW")] * CALLERS)
    assert seen(answers) == {"applied": 1, "replayed": CALLERS - 1}
    assert len({body for _, _, body in answers}) == 1
    assert balance_of(wallet) == "0.00"


def test_transfer_from_fifty_callers_is_applied_once(send_all, make_wallet, balance_of):
    source, target = make_wallet(1), make_wallet()
    body = {"from_wallet": str(source), "to_wallet": str(target), "amount": "1.00"}
    key = {"Idempotency-Key": f"rent {source}"}
    answers = send_all([("/api/v1/transfers", body, key)] * CALLERS)
    assert seen(answers) == {"applied": 1, "replayed": CALLERS - 1}
    assert len({body for _, _, body in answers}) == 1
    assert [balance_of(source), balance_of(target)] == ["0.00", "1.00"]


@pytest.mark.parametrize("atomic", [False, True])
def test_batch_from_fifty_callers_is_applied_once(
    send_all, make_wallet, balance_of, atomic
):
    wallet, other = map(str, (make_wallet(1), make_wallet()))
    move = {"from_wallet": wallet, "to_wallet": other, "amount": "1.00"}
    gain = {"operation_type": "DEPOSIT", "wallet": other, "amount": "1.00"}
    members = [move | {"operation_type": "TRANSFER"}, gain, gain]
    key = {"Idempotency-Key": f"payroll {wallet}"}
    body = {"operations": members, "atomic": atomic}
    answers = [json.loads(one[2]) for one in send_all([(BATCH, body, key)] * CALLERS)]
    assert Counter(one["applied"] for one in answers) == {3: 1, 0: CALLERS - 1}
    written = {
        json.dumps([outcome["transactions"] for outcome in one["outcomes"]])
        for one in answers
    }
    assert len(written) == 1
    assert [balance_of(wallet), balance_of(other)] == ["0.00", "3.00"]


def test_one_of_five_operations_with_one_key_wins_and_the_others_are_told(
    send_all, make_wallet, balance_of
):
    wallet, key = make_wallet(), str(uuid.uuid4())
    amounts = ["1.00", "2.00", "3.00", "4.00", "5.00"]
    answers = send_all([operation(wallet, one, key) for one in amounts] * 10)
    assert seen(answers) == {
        "applied": 1,
        "replayed": 9,
        "idempotency_key_reused": 40,
    }
    won = {json.loads(body)["amount"] for status, _, body in answers if status == 200}
    assert won == {balance_of(wallet)}


def test_keys_that_two_wallets_contest_leave_their_neighbours_alone(
    send_all, make_wallet, balance_of
):
    """Different wallets have no lock in common: only the unique reference decides."""
    wallets = [make_wallet() for _ in range(10)]
    keys = [str(uuid.uuid4()) for _ in range(5)]
    contested = [
        operation(wallets[2 * place + side], "1.00", key)
        for place, key in enumerate(keys)
        for side in (0, 1)
    ] * 2
    neighbours = [operation(wallet, "0.01") for wallet in wallets * 3]
    answers = send_all(contested + neighbours)
    assert seen(answers[len(contested) :]) == {"applied": 30}
    assert seen(answers[: len(contested)]) == {
        "applied": 5,
        "replayed": 5,
        "idempotency_key_reused": 10,
    }
    balances = [balance_of(wallet) for wallet in wallets]
    for pair in zip(balances[::2], balances[1::2], strict=True):
        assert sorted(pair) == ["0.03", "1.03"]


@pytest.fixture
def elsewhere(database_url):
    """A connection of a process that is not ours."""
    url = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        yield connection


def somebody_waits():
    """Whether a transaction waits for another one's end."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'"
    with reading() as connection:
        return connection.scalar(text(waits)) > 0


@pytest.mark.parametrize("group_commit", [True, False])
def test_lone_operation_whose_key_another_process_commits_first_is_told(
    app, make_app, make_wallet, elsewhere, group_commit
):
    theirs, ours, key = make_wallet(), make_wallet(), str(uuid.uuid4())
    post_elsewhere(elsewhere, deposit(theirs, 1, reference_id=key))
    crowd = Crowd(app, 1)
    call = in_process(make_app(group_commit=group_commit))
    waiting = crowd.start(insist, (call, *operation(ours, "1.00", key)))
    wait_until(lambda: waiting.done() or crowd.in_context(somebody_waits))
    elsewhere.commit()
    assert seen([waiting.result(10)]) == {"idempotency_key_reused": 1}
