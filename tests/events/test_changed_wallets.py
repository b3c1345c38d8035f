"""Events of changed wallets: one for each change, in the wallet's order, or none."""

import json
import random
from datetime import datetime

import pytest
from ops import Crowd, deposit
from sqlalchemy import text

from wallet_app.access import audit
from wallet_app.database import reading
from wallet_app.events import following
from wallet_app.feed import relay
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.status import changing

API = "/api/v1"
WHY = {"reason": "asked for"}
SAID = {
    "owner": "customer 4711",
    "name": "Savings",
    "labels": ["b", "a"],
    "metadata": {"order": "4711", "rate": 0.1, "of": [True, None, 2**62]},
}
LIMITS = {
    "minimum_balance": "-5.00",
    "maximum_balance": "100",
    "velocity": {"day": {"max_count": 9, "max_amount": 1}},
}
# By what is done: the request, and the type of the event that tells of it.
ACTS = {
    "described": ("PATCH", "", SAID, "wallet.updated"),
    "limited": ("PUT", "/limits", LIMITS, "wallet.updated"),
    "frozen": ("POST", "/freeze", WHY | {"block": "out"}, "wallet.frozen"),
    "unfrozen": ("POST", "/unfreeze", WHY, "wallet.unfrozen"),
    "closed": ("POST", "/close", WHY, "wallet.closed"),
}


@pytest.fixture
def wallet(client):
    return client.post(f"{API}/wallets", json={}).get_json()["uuid"]


@pytest.fixture
def act(client, wallet):
    """Do one of ACTS, or a request like one; return the wallet as it is then."""

    def send(method, rest, body, *_):
        path = f"{API}/wallets/{wallet}"
        answer = client.open(f"{path}{rest}", method=method, json=body)
        assert answer.status_code == 200, answer.text
        return read(client.get(path))

    return send


def read(answer):
    """With numbers as Python has them."""
    return json.loads(answer.text)


def relay_all():
    while relay.relay():
        pass


@pytest.fixture
def told(app, client):
    """The events, as the API shows them, of which `seen` have been seen."""

    def tell(seen=0):
        with app.app_context():
            relay_all()
        return read(client.get(f"{API}/events?after={seen}&limit=100"))["data"]

    return tell


def test_each_change_is_told_with_the_wallet_as_it_was_then(act, told, wallet):
    shown = [act(*one) for one in ACTS.values()]
    events = told(1)
    assert [event["type"] for event in events] == [one[3] for one in ACTS.values()]
    assert [event["data"] for event in events] == shown
    assert [event["position"] for event in events] == [2, 3, 4, 5, 6]
    assert {event["wallet_uuid"] for event in events} == {wallet}
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert times == sorted(set(times))
    # In the JSON's order as well.
    assert json.dumps(events[-1]["data"]) == json.dumps(shown[-1])


def test_money_is_told_as_the_api_shows_it(client, make_wallet, told):
    for currency, amount in (("JPY", "12"), ("KWD", "0.125"), ("USD", "1000.00")):
        path = f"{API}/wallets/{make_wallet(amount, currency)}"
        assert client.post(f"{path}/holds", json={"amount": amount}).status_code == 201
        shown = client.patch(path, json={"name": "x"}).get_json()
        assert told()[-1]["data"] == shown
        assert shown["held"] == shown["balance"] == amount


def test_a_stream_tells_of_it(act, app, client, told, monkeypatch):
    act(*ACTS["frozen"])
    (event,) = told(1)
    monkeypatch.setattr(following, "STREAM_S", 0.3)
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    lines = client.get(f"{API}/events", headers=headers).text.splitlines()
    assert "event: wallet.frozen" in lines
    (data,) = [line for line in lines if line.startswith("data: ")]
    assert json.loads(data.removeprefix("data: ")) == event


def test_events_are_found_by_their_types(act, client, told):
    for one in ACTS.values():
        act(*one)
    told()
    types = "wallet.updated,wallet.closed"
    found = client.get(f"{API}/events?types={types}").get_json()["data"]
    assert [event["position"] for event in found] == [2, 3, 6]


@pytest.mark.parametrize("name", ACTS)
def test_what_is_so_already_is_told_once(act, client, told, wallet, name):
    if name == "unfrozen":
        act(*ACTS["frozen"])
    act(*ACTS[name])
    seen = told()[-1]["position"]
    tag = client.get(f"{API}/wallets/{wallet}").headers["ETag"]
    method, rest, body, _ = ACTS[name]
    act(method, rest, body)
    assert told(seen) == []
    assert client.get(f"{API}/wallets/{wallet}").headers["ETag"] == tag


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"owner": None, "name": None, "labels": [], "metadata": None},
        {"labels": []},
        {"owner": None},
    ],
    ids=str,
)
def test_nothing_said_of_a_wallet_of_which_nothing_was_said_is_no_change(
    act, told, same
):
    act("PATCH", "", same)
    assert told(1) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"metadata": {"paid": True}}, {"metadata": {"paid": 1}}),
        ({"metadata": {}}, {"metadata": None}),
        ({"labels": ["a", "b"]}, {"labels": ["b", "a"]}),
        ({"owner": "ann"}, {"owner": "Ann"}),
        ({"owner": "ann", "name": "x"}, {"owner": "ann", "name": None}),
    ],
    ids=str,
)
def test_what_python_may_take_for_the_same_is_a_change(act, told, before, after):
    act("PATCH", "", before)
    shown = act("PATCH", "", after)
    assert told(2)[0]["data"] == shown
    assert {name: shown[name] for name in after} == after


def test_limits_that_are_written_otherwise_are_the_same(act, told):
    act(*ACTS["limited"])
    day = {"max_count": 9, "max_amount": "1.00"}
    same = {
        "minimum_balance": -5,
        "maximum_balance": "100.00",
        "velocity": {"day": day},
    }
    act("PUT", "/limits", same)
    assert len(told(1)) == 1
    for other in (same | {"minimum_balance": -6}, same | {"velocity": {}}, {}):
        act("PUT", "/limits", other)
    assert [event["type"] for event in told(2)] == ["wallet.updated"] * 3


def test_a_wallet_that_is_said_something_of_from_the_start_is_told_with_it(
    client, told, act
):
    made = read(client.post(f"{API}/wallets", json=SAID))
    path = f"{API}/wallets/{made['uuid']}"
    client.patch(path, json={"owner": "another"})
    created = told(1)[0]
    assert (created["type"], created["data"]) == ("wallet.created", made)
    assert created["time"] == made["created_at"]


def test_a_refused_change_is_not_told(client, told, wallet):
    path = f"{API}/wallets/{wallet}"
    client.post(f"{path}/operation", json={"operation_type": "DEPOSIT", "amount": 1})
    stale = {"If-Match": '"0"'}
    refusals = [
        client.post(f"{path}/close", json=WHY),
        client.patch(path, json={"owner": "x"}, headers=stale),
        client.put(f"{path}/limits", json={"maximum_balance": 5}, headers=stale),
    ]
    assert [one.status_code for one in refusals] == [409, 412, 412]
    assert [event["type"] for event in told(1)] == ["transaction.posted"]


def test_changes_and_money_are_told_in_the_wallets_order(app, told):
    """What an event tells of the balance is what the entries before it add up to."""
    with app.app_context():
        uuids = [wallets.create(currency="USD")[0] for _ in range(2)]

    def change(turn):
        uuid, this = uuids[turn % 2], {"tenant_id": DEFAULT_TENANT_ID}
        kind = random.Random(turn).choice("pppds")
        if kind == "p":
            posting.post([Unit([deposit(uuid, 1)])])
        elif kind == "d":
            wallets.change(**this, uuid=uuid, changes={"name": f"turn {turn}"})
        else:
            # Money comes in all the same.
            status = random.Random(turn).choice(["active", "frozen"])
            blocks = "out" if status == "frozen" else None
            changing.change(**this, uuid=uuid, status=status, blocks=blocks)

    crowd = Crowd(app, 8)
    running = [crowd.start(change, turn) for turn in range(160)]
    for one in running:
        one.result(60)
    seqs, times = dict.fromkeys(map(str, uuids), 0), {}
    events = told(2)
    for event in events + told(events[-1]["position"]):
        uuid, data = event["wallet_uuid"], event["data"]
        if event["type"] == "transaction.posted":
            seqs[uuid] += 1
            assert data["seq"] == seqs[uuid]
        else:
            assert (data["version"], data["balance"]) == (
                seqs[uuid],
                f"{seqs[uuid]}.00",
            )
            assert times.get(uuid, "") < event["time"]
            times[uuid] = event["time"]
    assert sum(seqs.values()) > 50
    assert len(times) == 2


@pytest.mark.parametrize(
    ("name", "module", "last"),
    [
        ("described", wallets, "tell"),
        ("limited", audit, "record"),
        ("frozen", audit, "record"),
    ],
)
def test_a_killed_change_is_not_told(
    app, client, told, wallet, monkeypatch, name, module, last
):
    before = client.get(f"{API}/wallets/{wallet}")
    statement = getattr(module, last)

    def then_die(connection, *args, **options):
        statement(connection, *args, **options)
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    monkeypatch.setattr(module, last, then_die)
    method, rest, body, _ = ACTS[name]
    answer = client.open(f"{API}/wallets/{wallet}{rest}", method=method, json=body)
    assert answer.status_code == 503
    monkeypatch.undo()
    assert told(1) == []
    after = client.get(f"{API}/wallets/{wallet}")
    assert (after.data, after.headers["ETag"]) == (before.data, before.headers["ETag"])
    with app.app_context(), reading() as connection:
        assert connection.execute(text("SELECT FROM told_wallets")).all() == []


def test_what_the_command_line_changes_is_told(runner, told, wallet):
    for command in (
        ["set", wallet, "--owner", "ann"],
        ["set-limits", wallet, "--maximum-balance", "5"],
        ["freeze", wallet, "--reason", "asked for"],
        ["unfreeze", wallet, "--reason", "asked for"],
        ["close", wallet, "--reason", "asked for"],
    ):
        for _ in range(2):
            result = runner.invoke(args=["wallet", *command])
            assert result.exit_code == 0, result.output
    assert [event["type"] for event in told(1)] == [one[3] for one in ACTS.values()]
