"""Two web workers and many clients: what must never be, whoever comes first."""

import random
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain

import pytest
from gunicorns import Gunicorn

from proofs.disturbances import preloaded

API = "/api/v1"
WITHDRAWAL = {"operation_type": "WITHDRAW", "amount": "1.00"}
DEPOSIT = {"operation_type": "DEPOSIT", "amount": "1.00"}
WHY = {"reason": "race"}
# A day and more.
AHEAD_S = 100_000
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(database_environment, migrated_app, tmp_path_factory):
    log = tmp_path_factory.mktemp("races") / "gunicorn.log"
    server = Gunicorn(log, database_environment)
    try:
        server.wait_for_workers()
        yield server
    finally:
        server.end()


def at_once(calls):
    """Make the calls in a thread each, all at the same time; return what they do."""
    barrier = threading.Barrier(len(calls))

    def make(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


def status_of(server, path, body):
    return server.call("POST", path, body)[0]


def in_time(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_of_capture_void_and_expiry_one_ends_a_hold(server, client, make_wallet):
    wallet = make_wallet(100)
    ways = [("capture", "captured"), ("void", "voided")]
    expires_at = in_time(2)
    holds = [
        client.post(
            f"{API}/wallets/{wallet}/holds",
            json={"amount": "10.00", "expires_at": expires_at},
        ).get_json()["hold"]["id"]
        for _ in range(8)
    ]
    rng = random.Random(8)

    def end(hold, way, when):
        time.sleep(when)
        return status_of(server, f"{API}/holds/{hold}/{way}", {})

    # Of each hold, some come in time and some late, of the last two only late ones.
    asked = [
        (hold, way, rng.uniform(1.0 if number < 6 else 2.3, 3.0))
        for number, hold in enumerate(holds)
        for way, _ in ways * 4
    ]
    statuses = at_once([partial(end, *one) for one in asked])
    assert set(statuses) <= {200, 409}
    captured = 0
    for hold in holds:
        did = [
            way
            for (its, way, _), status in zip(asked, statuses, strict=True)
            if its == hold and status == 200
        ]
        shown = client.get(f"{API}/holds/{hold}").get_json()
        assert shown["status"] == (dict(ways)[did[0]] if did else "expired")
        assert len(did) <= 1
        captured += did == ["capture"]
    funds = client.get(f"{API}/wallets/{wallet}/balance").get_json()
    assert (funds["balance"], funds["held"]) == (f"{100 - 10 * captured}.00", "0.00")


@pytest.mark.parametrize(
    ("limit", "amount", "fit"),
    [({"max_count": 20}, "1.00", 20), ({"max_amount": "50.00"}, "7.00", 7)],
    ids=["count", "amount"],
)
def test_a_velocity_limit_is_reached_by_64_clients_and_never_passed(
    server, client, make_wallet, limit, amount, fit
):
    wallet = make_wallet(1000)
    # A month ends seldom while tests run.
    body = {"velocity": {"month": limit}}
    path = f"{API}/wallets/{wallet}"
    assert client.put(f"{path}/limits", json=body).status_code == 200
    withdrawal = WITHDRAWAL | {"amount": amount}

    def withdraw_twice():
        return [
            server.call("POST", f"{path}/operation", withdrawal)[0] for _ in range(2)
        ]

    answers = Counter(chain.from_iterable(at_once([withdraw_twice] * 64)))
    assert answers == {200: fit, 409: 128 - fit}
    month = client.get(f"{path}/limits").get_json()["velocity"]["month"]
    assert (month["count"], month["amount"]) == (fit, f"{fit * float(amount):.2f}")


def test_after_a_freeze_is_answered_nothing_leaves(server, client, make_wallet):
    wallet = make_wallet(100_000)
    path = f"{API}/wallets/{wallet}"
    answered = []
    ended = threading.Event()

    def withdraw_on():
        while not ended.is_set():
            sent = time.monotonic()
            status, _ = server.call("POST", f"{path}/operation", WITHDRAWAL)
            answered.append((sent, status))

    with ThreadPoolExecutor(16) as pool:
        working = [pool.submit(withdraw_on) for _ in range(16)]
        try:
            time.sleep(0.5)
            frozen = server.call("POST", f"{path}/freeze", WHY | {"block": "out"})
            since = time.monotonic()
            balance = client.get(path).get_json()["balance"]
            time.sleep(0.5)
        finally:
            ended.set()
    assert [one.result() for one in working] == [None] * 16
    assert frozen[0] == 200
    assert 200 in {status for sent, status in answered if sent < since} <= {200, 409}
    assert {status for sent, status in answered if sent > since} == {409}
    left = 100_000 - sum(status == 200 for _, status in answered)
    assert balance == client.get(path).get_json()["balance"] == f"{left}.00"
    assert server.call("POST", f"{path}/operation", DEPOSIT)[0] == 200
    assert server.call("POST", f"{path}/unfreeze", WHY)[0] == 200
    assert server.call("POST", f"{path}/operation", WITHDRAWAL)[0] == 200


def test_a_wallet_that_is_closed_has_taken_no_deposit(server, client, make_wallet):
    for _ in range(10):
        path = f"{API}/wallets/{make_wallet()}"
        calls = [("operation", DEPOSIT)] * 4 + [("close", WHY)] * 4
        random.shuffle(calls)
        statuses = at_once(
            [partial(status_of, server, f"{path}/{way}", body) for way, body in calls]
        )
        told = Counter(
            (way, status) for (way, _), status in zip(calls, statuses, strict=True)
        )
        shown = client.get(path).get_json()
        if shown["status"] == "closed":
            assert told == {("close", 200): 4, ("operation", 409): 4}
            assert shown["balance"] == "0.00"
        else:
            assert told == {("close", 409): 4, ("operation", 200): 4}
            assert shown["balance"] == "4.00"


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_a_clock_that_is_set_back_frees_nothing(
    client, make_wallet, database_environment, tmp_path
):
    wallet = make_wallet(100)
    path = f"{API}/wallets/{wallet}"
    environment = database_environment | preloaded(tmp_path, "odd_clock")
    server = Gunicorn(tmp_path / "gunicorn.log", environment)
    try:
        server.wait_for_workers()
        limit = {"velocity": {"day": {"max_count": 1}}}
        (tmp_path / "odd_clock").write_text(str(AHEAD_S))
        assert server.call("PUT", f"{path}/limits", limit)[0] == 200
        body = {"amount": "10.00", "expires_at": in_time(AHEAD_S + 1.5)}
        status, told = server.call("POST", f"{path}/holds", body)
        assert status == 201, told
        time.sleep(2)
        assert server.call("POST", f"{path}/operation", DEPOSIT)[0] == 200
        (tmp_path / "odd_clock").write_text("0")
        entries = client.get(f"{path}/transactions?order=asc").get_json()["data"]
        hold = f"{API}/holds/{entries[1]['reference_id']}"
        status, told = server.call("POST", f"{hold}/capture", {})
        assert (status, "hold_already_expired" in told) == (409, True)
        # The hold was the one operation of a day that is not over for the wallet.
        status, told = server.call("POST", f"{path}/operation", WITHDRAWAL)
        assert (status, "limit_exceeded" in told) == (409, True)
        assert server.call("POST", f"{path}/operation", DEPOSIT)[0] == 200
    finally:
        server.end()
    entries = client.get(f"{path}/transactions?order=asc").get_json()["data"]
    types = [one["operation_type"] for one in entries]
    assert types == ["DEPOSIT", "HOLD", "EXPIRY", "DEPOSIT", "DEPOSIT"]
    times = [one["created_at"] for one in entries]
    assert times == sorted(times)
