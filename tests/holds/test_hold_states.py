"""Every row of a hold's table of states, over HTTP."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from wallet_app.database import transaction


@pytest.fixture
def money(client):
    """What a wallet shows: its balance, what is held, what is available."""

    def read(wallet):
        shown = client.get(f"/api/v1/wallets/{wallet}").get_json()
        return shown["balance"], shown["held"], shown["available"]

    return read


@pytest.fixture
def hold(client):
    """Hold money of a wallet; the answer's body."""

    def make(wallet, amount="80.00", **body):
        answer = client.post(
            f"/api/v1/wallets/{wallet}/holds", json={"amount": amount} | body
        )
        assert answer.status_code == 201, answer.text
        return answer.get_json()["hold"]

    return make


@pytest.fixture
def act(client):
    """Do something with a hold: the answer."""

    def send(hold, command, **body):
        return client.post(f"/api/v1/holds/{hold['id']}/{command}", json=body)

    return send


@pytest.fixture
def let_pass(context):
    """Let the time of a wallet's holds be over."""

    def passes(hold):
        changes = (
            "UPDATE holds SET expires_at = created_at + interval '1 microsecond'"
            " WHERE id = :id",
            "UPDATE hold_steps SET expires_at = updated_at + interval '1 microsecond'"
            " WHERE hold_id = :id AND expires_at IS NOT NULL",
            "UPDATE wallets SET next_expiry = created_at WHERE uuid = :wallet",
        )
        with transaction() as connection:
            for change in changes:
                values = {"id": hold["id"], "wallet": hold["wallet_uuid"]}
                connection.execute(
                    text(change),
                    {k: v for k, v in values.items() if f":{k}" in change},
                )

    return passes


def in_an_hour():
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def shown(answer):
    assert answer.status_code == 200, answer.text
    return {
        name: answer.get_json()["hold"][name]
        for name in ("status", "closed_by", "captured", "released", "remaining")
    }


def problem(answer):
    return answer.status_code, answer.get_json()["code"]


def test_a_hold_takes_from_what_is_available(make_wallet, hold, money, refused):
    wallet = make_wallet(100)
    made = hold(wallet)
    assert made["status"] == "open"
    assert money(wallet) == ("100.00", "80.00", "20.00")
    answer = refused(
        409,
        "insufficient_funds",
        "POST",
        f"/api/v1/wallets/{wallet}/operation",
        json={"operation_type": "WITHDRAW", "amount": "20.01"},
    )
    assert (answer["available"], answer["short_by"]) == ("20.00", "0.01")
    refused(
        409,
        "insufficient_funds",
        "POST",
        f"/api/v1/wallets/{wallet}/holds",
        json={"amount": "20.01"},
    )


def test_a_part_is_captured_and_the_hold_stays_open(make_wallet, hold, act, money):
    wallet = make_wallet(100)
    answer = shown(act(hold(wallet), "capture", amount="30.00"))
    assert answer == {
        "status": "open",
        "closed_by": None,
        "captured": "30.00",
        "released": "0.00",
        "remaining": "50.00",
    }
    assert money(wallet) == ("70.00", "50.00", "20.00")


@pytest.mark.parametrize(
    ("body", "captured", "released", "after"),
    [
        ({}, "80.00", "0.00", ("20.00", "0.00", "20.00")),
        ({"amount": "80.00"}, "80.00", "0.00", ("20.00", "0.00", "20.00")),
        (
            {"amount": "30.00", "final": True},
            "30.00",
            "50.00",
            ("70.00", "0.00", "70.00"),
        ),
    ],
    ids=["all", "the amount", "a final part"],
)
def test_the_last_capture_gives_the_rest_back(
    make_wallet, hold, act, money, body, captured, released, after
):
    wallet = make_wallet(100)
    answer = shown(act(hold(wallet), "capture", **body))
    assert (answer["status"], answer["closed_by"]) == ("captured", "capture")
    assert (answer["captured"], answer["released"]) == (captured, released)
    assert answer["remaining"] == "0.00"
    assert money(wallet) == after


def test_no_more_is_captured_than_is_left(make_wallet, hold, act, money):
    wallet = make_wallet(100)
    made = hold(wallet)
    act(made, "capture", amount="30.00")
    answer = act(made, "capture", amount="50.01")
    assert problem(answer) == (409, "exceeds_hold")
    assert answer.get_json()["remaining"] == "50.00"
    assert money(wallet) == ("70.00", "50.00", "20.00")


def test_a_hold_is_increased_by_what_is_available(make_wallet, hold, act, money):
    wallet = make_wallet(100)
    made = hold(wallet)
    assert problem(act(made, "increase", amount="20.01")) == (409, "insufficient_funds")
    assert shown(act(made, "increase", amount="20.00"))["remaining"] == "100.00"
    assert money(wallet) == ("100.00", "100.00", "0.00")


def test_a_hold_is_extended_to_a_later_time_only(make_wallet, hold, act):
    made = hold(make_wallet(100), expires_at=in_an_hour())
    assert problem(act(made, "extend", expires_at=made["expires_at"])) == (
        409,
        "not_an_extension",
    )
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    answer = act(made, "extend", expires_at=later)
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["hold"]["expires_at"] > made["expires_at"]


@pytest.mark.parametrize(
    ("expires_in", "expected"),
    [(timedelta(seconds=-1), 422), (timedelta(days=367), 422)],
    ids=["past", "too far"],
)
def test_a_hold_expires_in_time(make_wallet, client, expires_in, expected):
    answer = client.post(
        f"/api/v1/wallets/{make_wallet(100)}/holds",
        json={
            "amount": "1.00",
            "expires_at": (datetime.now(UTC) + expires_in).isoformat(),
        },
    )
    assert problem(answer) == (expected, "validation_failed")


@pytest.mark.parametrize("part", [None, "30.00"], ids=["none", "a part"])
def test_a_void_gives_back_what_is_left(make_wallet, hold, act, money, part):
    wallet = make_wallet(100)
    made = hold(wallet)
    if part:
        act(made, "capture", amount=part)
    answer = shown(act(made, "void"))
    assert answer["status"] == ("captured" if part else "voided")
    assert answer["closed_by"] == "void"
    balance = "70.00" if part else "100.00"
    assert money(wallet) == (balance, "0.00", balance)


@pytest.mark.parametrize("part", [None, "30.00"], ids=["none", "a part"])
@pytest.mark.parametrize(
    "command",
    [("capture", {}), ("void", {}), ("increase", {"amount": "1.00"})],
    ids=lambda command: command[0],
)
def test_an_overdue_hold_is_expired_by_whoever_comes(
    make_wallet, hold, act, money, client, let_pass, part, command
):
    wallet = make_wallet(100)
    made = hold(wallet, expires_at=in_an_hour())
    if part:
        act(made, "capture", amount=part)
    let_pass(made)
    balance = "70.00" if part else "100.00"
    assert money(wallet) == (balance, "0.00", balance)
    answer = act(made, command[0], **command[1])
    state = "captured" if part else "expired"
    assert problem(answer) == (409, f"hold_already_{state}")
    assert answer.get_json()["closed_by"] == "expiry"
    now = client.get(f"/api/v1/holds/{made['id']}").get_json()
    assert (now["status"], now["closed_by"]) == (state, "expiry")
    last = client.get(f"/api/v1/wallets/{wallet}/transactions").get_json()["data"][0]
    assert (last["operation_type"], last["parent_reference_id"]) == (
        "EXPIRY",
        made["id"],
    )
    assert client.get(f"/api/v1/operations/{last['reference_id']}").status_code == 200


def test_overdue_money_is_spent_though_nobody_has_tidied(
    make_wallet, hold, client, money, let_pass
):
    wallet = make_wallet(100)
    let_pass(hold(wallet, expires_at=in_an_hour()))
    answer = client.post(
        f"/api/v1/wallets/{wallet}/operation",
        json={"operation_type": "WITHDRAW", "amount": "100.00"},
    )
    assert answer.status_code == 200, answer.text
    assert money(wallet) == ("0.00", "0.00", "0.00")


COMMANDS = {
    "capture": {"amount": "30.00"},
    "increase": {"amount": "5.00"},
    "extend": {"expires_at": "in two hours"},
    "void": {},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_retry_has_the_first_answer_after_the_hold_has_ended(
    make_wallet, hold, act, money, command
):
    wallet = make_wallet(100)
    made = hold(wallet, expires_at=in_an_hour())
    body = dict(COMMANDS[command])
    if "expires_at" in body:
        body["expires_at"] = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    body["reference_id"] = str(uuid.uuid4())
    first = act(made, command, **body)
    assert first.status_code == 200, first.text
    act(made, "void")
    before = money(wallet)
    again = act(made, command, **body)
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert money(wallet) == before
    other = act(made, command, **body | {"description": "another"})
    assert problem(other) == (422, "idempotency_key_reused")


def test_a_retry_of_the_creation_has_the_first_answer(make_wallet, client, act):
    path = f"/api/v1/wallets/{make_wallet(100)}/holds"
    body = {"amount": "80.00", "reference_id": str(uuid.uuid4())}
    first = client.post(path, json=body)
    act(first.get_json()["hold"], "capture")
    again = client.post(path, json=body)
    assert (again.status_code, again.get_json()) == (201, first.get_json())
    assert again.headers["Idempotent-Replayed"] == "true"
    expiring = body | {"expires_at": in_an_hour()}
    assert problem(client.post(path, json=expiring)) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("ended_by", ["capture", "void"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_has_ended_stays_as_it_is(make_wallet, hold, act, ended_by, command):
    made = hold(make_wallet(100), expires_at=in_an_hour())
    act(made, ended_by)
    body = dict(COMMANDS[command])
    if "expires_at" in body:
        body["expires_at"] = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    how = {"capture": "captured", "void": "voided"}[ended_by]
    assert problem(act(made, command, **body)) == (409, f"hold_already_{how}")


def test_a_capture_into_a_wallet_is_a_transfer(make_wallet, hold, act, money):
    source, target = make_wallet(100), make_wallet()
    answer = act(hold(source), "capture", amount="30.00", to_wallet=str(target))
    assert shown(answer)["remaining"] == "50.00"
    legs = answer.get_json()["transactions"]
    assert [leg["operation_type"] for leg in legs] == ["CAPTURE", "CAPTURE_IN"]
    assert [leg["counterparty_uuid"] for leg in legs] == [str(target), str(source)]
    assert money(source) == ("70.00", "50.00", "20.00")
    assert money(target) == ("30.00", "0.00", "30.00")


@pytest.mark.parametrize("atomic", [True, False])
def test_a_batch_holds_captures_and_voids(make_wallet, client, money, atomic):
    wallet, target, first = make_wallet(100), make_wallet(), str(uuid.uuid4())
    members = [
        {
            "operation_type": "HOLD",
            "wallet": str(wallet),
            "amount": "60.00",
            "reference_id": first,
        },
        {
            "operation_type": "CAPTURE",
            "hold": first,
            "amount": "10.00",
            "to_wallet": str(target),
        },
        {"operation_type": "HOLD_INCREASE", "hold": first, "amount": "5.00"},
        {"operation_type": "CAPTURE", "hold": str(uuid.uuid4())},
        {"operation_type": "VOID", "hold": first},
    ]
    answer = client.post(
        "/api/v1/operations/batch",
        json={"operations": members, "atomic": atomic},
    )
    if atomic:
        assert problem(answer) == (404, "hold_not_found")
        assert answer.get_json()["index"] == 3
        assert money(wallet) == ("100.00", "0.00", "100.00")
        del members[3]
        answer = client.post(
            "/api/v1/operations/batch", json={"operations": members, "atomic": True}
        )
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["applied"] == 4
    assert money(wallet) == ("90.00", "0.00", "90.00")
    assert money(target) == ("10.00", "0.00", "10.00")


def test_lists_go_page_by_page(make_wallet, hold, act, client):
    wallet, other = make_wallet(100), make_wallet(100)
    made = [hold(wallet, "1.00")["id"] for _ in range(5)]
    ended = hold(other, "1.00")
    act(ended, "void")
    found, cursor = [], ""
    while cursor is not None:
        query = f"?limit=2{cursor and f'&cursor={cursor}'}"
        page = client.get(f"/api/v1/wallets/{wallet}/holds{query}").get_json()
        found += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert found == made[::-1]

    def ids(query):
        return [one["id"] for one in client.get(f"/api/v1/holds?{query}").json["data"]]

    assert ids("status=voided") == [ended["id"]]
    assert ids("status=open") == made[::-1]
    assert ids(f"wallet={other}") == [ended["id"]]


def test_an_unknown_hold_is_not_found(app, refused):
    for command in ("capture", "void"):
        path = f"/api/v1/holds/{uuid.uuid4()}/{command}"
        refused(404, "hold_not_found", "POST", path, json={})
