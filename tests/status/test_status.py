"""Frozen and closed wallets: what they let through, who may say so, what is noted."""

import threading
import uuid

import pytest
from sqlalchemy import text

from wallet_app.database import db

API = "/api/v1"
WHY = {"reason": "asked for"}


@pytest.fixture
def path(client):
    made = client.post(f"{API}/wallets", json={}).get_json()
    return f"{API}/wallets/{made['uuid']}"


@pytest.fixture
def move(client, path):
    def post(kind, amount=1):
        body = {"operation_type": kind, "amount": amount}
        return client.post(f"{path}/operation", json=body)

    return post


@pytest.fixture
def act(client, path):
    def post(what, status=200, **fields):
        answer = client.post(f"{path}/{what}", json=WHY | fields)
        assert answer.status_code == status, answer.get_json()
        return answer

    return post


def test_frozen_wallet_moves_nothing_and_says_so(move, act, client, path):
    move("DEPOSIT", 10)
    shown = act("freeze").get_json()
    assert (shown["status"], shown["block"]) == ("frozen", "all")
    for kind in ("DEPOSIT", "WITHDRAW"):
        problem = move(kind).get_json()
        told = [problem[name] for name in ("code", "wallet_status", "block")]
        assert told == ["wallet_not_active", "frozen", "all"]
    assert act("unfreeze").get_json()["status"] == "active"
    assert move("WITHDRAW").status_code == 200
    assert client.get(path).get_json()["block"] is None


def test_wallet_that_lets_nothing_out_takes_money(move, act, client, path):
    move("DEPOSIT", 10)
    hold = client.post(f"{path}/holds", json={"amount": 4}).get_json()["hold"]["id"]
    act("freeze", block="out")
    assert move("DEPOSIT").status_code == 200
    assert move("WITHDRAW").status_code == 409
    other = client.post(f"{API}/wallets", json={}).get_json()["uuid"]
    mine = path.rpartition("/")[2]
    transfer = {"from_wallet": mine, "to_wallet": other, "amount": 1}
    assert client.post(f"{API}/transfers", json=transfer).status_code == 409
    assert client.post(f"{path}/holds", json={"amount": 1}).status_code == 409
    # A promise that was made before is kept.
    answer = client.post(f"{API}/holds/{hold}/capture", json={"amount": 1})
    assert answer.status_code == 200
    assert client.post(f"{API}/holds/{hold}/void", json={}).status_code == 200
    assert client.get(path).get_json()["balance"] == "10.00"


def test_block_can_be_changed_and_what_is_so_is_left_alone(act):
    tags = [
        act("freeze", block=block).headers["ETag"] for block in ("out", "all", "all")
    ]
    assert tags == ['"0-1"', '"0-2"', '"0-2"']
    assert act("unfreeze").headers["ETag"] == act("unfreeze").headers["ETag"]


def test_only_an_empty_wallet_is_closed_and_then_for_good(move, act, client, path):
    move("DEPOSIT", 10)
    hold = client.post(f"{path}/holds", json={"amount": 4}).get_json()["hold"]["id"]
    problem = act("close", 409).get_json()
    told = [problem[name] for name in ("code", "balance", "held")]
    assert told == ["wallet_not_empty", "10.00", "4.00"]
    client.post(f"{API}/holds/{hold}/capture", json={})
    move("WITHDRAW", 6)
    assert act("close").get_json()["status"] == "closed"
    assert act("close").get_json()["status"] == "closed"
    for what in ("freeze", "unfreeze"):
        assert act(what, 409).get_json()["code"] == "wallet_closed"
    assert move("DEPOSIT").get_json()["wallet_status"] == "closed"
    assert client.get(f"{path}/transactions").status_code == 200


def test_change_is_on_record(act, client):
    act("freeze", block="out")
    act("unfreeze", reason="Owner has called")
    last, first = client.get(f"{API}/audit").get_json()["data"][:2]
    assert (first["action"], last["action"]) == ("wallet.frozen", "wallet.unfrozen")
    assert first["before"] == {"status": "active", "block": None}
    assert first["after"] == {"status": "frozen", "block": "out", **WHY}
    assert last["after"]["reason"] == "Owner has called"


@pytest.mark.parametrize("what", ["freeze", "unfreeze", "close"])
def test_unknown_wallet_and_missing_reason_are_refused(refused, path, what):
    unknown = f"{API}/wallets/{uuid.uuid4()}/{what}"
    refused(404, "wallet_not_found", "POST", unknown, json=WHY)
    for body in ({}, {"reason": ""}, {"reason": "x" * 1001}, {"reason": None}):
        refused(422, "validation_failed", "POST", f"{path}/{what}", json=body)


def test_nothing_is_posted_after_the_answer_to_a_freeze(app, make_app, make_wallet):
    """Two processes' ways to the ledger, a crowd in each."""
    wallet = make_wallet(0)
    services = [app, make_app()]
    ended = threading.Event()
    problems = []

    def deposit(service):
        body = {"operation_type": "DEPOSIT", "amount": 1}
        client = service.test_client()
        while not ended.is_set():
            answer = client.post(f"{API}/wallets/{wallet}/operation", json=body)
            if answer.status_code not in (200, 409):
                problems.append(answer.get_json())

    threads = [
        threading.Thread(target=deposit, args=[service], daemon=True)
        for service in services
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    client = app.test_client()

    def insist(what):
        """Where the row's lock is not to be had in time, the answer is a 503."""
        for _ in range(20):
            answer = client.post(f"{API}/wallets/{wallet}/{what}", json=WHY)
            if answer.status_code != 503:
                break
        assert answer.status_code == 200
        return answer.get_json()["version"]

    try:
        for _ in range(3):
            version = insist("freeze")
            later = [
                client.get(f"{API}/wallets/{wallet}").get_json()["version"]
                for _ in range(20)
            ]
            assert set(later) == {version}
            insist("unfreeze")
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
    assert [one for one in problems if one["status"] != 503] == []


def test_closed_wallet_never_holds_money_whoever_is_quicker(app, make_wallet):
    client = app.test_client()
    outcomes = set()
    for _ in range(30):
        wallet = make_wallet(0)
        answers = []

        def deposit(path=f"{API}/wallets/{wallet}/operation", answers=answers):
            body = {"operation_type": "DEPOSIT", "amount": 1}
            answers.append(app.test_client().post(path, json=body).status_code)

        thread = threading.Thread(target=deposit)
        thread.start()
        closed = client.post(f"{API}/wallets/{wallet}/close", json=WHY).status_code
        thread.join()
        assert (closed, *answers) in {(200, 409), (409, 200)}
        outcomes.add(closed)
    with app.app_context(), db.engine.connect() as connection:
        query = "SELECT count(*) FROM wallets WHERE status = 'closed' AND balance <> 0"
        assert connection.scalar(text(query)) == 0
    assert outcomes
