"""`?dry_run=true`: what would happen, told; nothing done."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from wallet_app.database import db

API = "/api/v1"
DRY = "dry_run=true"


def rows(app):
    """Everything that an operation could write."""
    tables = ("wallets", "transactions", "holds", "journal", "wallet_velocities")
    with app.app_context(), db.engine.connect() as connection:
        return [
            connection.execute(text(f"SELECT {one}::text FROM {one} ORDER BY 1")).all()
            for one in tables
        ]


@pytest.fixture
def wallet(make_wallet):
    return str(make_wallet(100))


@pytest.fixture
def other(make_wallet):
    return str(make_wallet())


@pytest.fixture
def calls(client, wallet, other):
    """Every endpoint that moves money, with a body that would be applied."""
    now = datetime.now(UTC)
    held = {"amount": 20, "expires_at": (now + timedelta(hours=1)).isoformat()}
    made = client.post(f"{API}/wallets/{wallet}/holds", json=held).get_json()
    hold, paid = made["hold"]["id"], str(uuid.uuid4())
    deposit = {"operation_type": "DEPOSIT", "amount": 5, "reference_id": paid}
    client.post(f"{API}/wallets/{wallet}/operation", json=deposit)
    transfer = {"from_wallet": wallet, "to_wallet": other, "amount": 7}
    members = [{"operation_type": "TRANSFER", **transfer}]
    return {
        f"wallets/{wallet}/operation": {"operation_type": "WITHDRAW", "amount": 10},
        "transfers": transfer,
        "operations/batch": {"operations": members * 2},
        f"wallets/{wallet}/holds": {"amount": 3},
        f"holds/{hold}/capture": {"amount": 4, "to_wallet": other},
        f"holds/{hold}/increase": {"amount": 4},
        f"holds/{hold}/extend": {"expires_at": (now + timedelta(hours=2)).isoformat()},
        f"holds/{hold}/void": {},
        f"operations/{paid}/refund": {"amount": 2},
    }


def without_ids(answer):
    """An answer without what only the real one has."""
    if isinstance(answer, list):
        return [without_ids(one) for one in answer]
    if not isinstance(answer, dict):
        return answer
    times = {"created_at", "updated_at"}
    return {
        key: without_ids(value)
        for key, value in answer.items()
        if key not in times and not (key == "id" and isinstance(value, int))
    }


def test_each_endpoint_tells_and_writes_nothing(app, client, calls):
    before = rows(app)
    for path, body in calls.items():
        answer = client.post(f"{API}/{path}?{DRY}", json=body)
        assert answer.status_code in (200, 201), answer.text
        assert answer.headers["Dry-Run"] == "true"
    assert rows(app) == before


def test_what_is_told_is_what_then_happens(client, calls):
    for path, body in calls.items():
        named = body | {"reference_id": str(uuid.uuid4())}
        if "operations" in body:
            named = {
                "operations": [
                    one | {"reference_id": str(uuid.uuid4())}
                    for one in body["operations"]
                ]
            }
        told = client.post(f"{API}/{path}?{DRY}", json=named)
        tag = told.headers.get("ETag")
        headers = {"If-Match": tag} if tag else {}
        done = client.post(f"{API}/{path}?dry_run=false", json=named, headers=headers)
        assert done.status_code == told.status_code
        assert "Dry-Run" not in done.headers
        assert without_ids(done.get_json()) == without_ids(told.get_json())


def test_its_etag_commits_exactly_that_or_nothing(client, wallet):
    path = f"{API}/wallets/{wallet}/operation"
    body = {"operation_type": "WITHDRAW", "amount": 60}
    tag = client.post(f"{path}?{DRY}", json=body).headers["ETag"]
    assert client.get(f"{API}/wallets/{wallet}").headers["ETag"] == tag
    client.post(path, json=body | {"amount": 1})
    assert client.post(path, json=body, headers={"If-Match": tag}).status_code == 412


def test_refusals_and_replays_are_told(client, wallet):
    path = f"{API}/wallets/{wallet}/operation"
    problem = client.post(
        f"{path}?{DRY}", json={"operation_type": "WITHDRAW", "amount": 101}
    ).get_json()
    assert (problem["code"], problem["short_by"]) == ("insufficient_funds", "1.00")
    body = {
        "operation_type": "DEPOSIT",
        "amount": 1,
        "reference_id": str(uuid.uuid4()),
    }
    done = client.post(path, json=body).get_json()
    told = client.post(f"{path}?{DRY}", json=body)
    assert (told.get_json(), told.headers["Idempotent-Replayed"]) == (done, "true")


def test_a_wallet_that_is_locked_is_told_of_without_waiting(app, client, wallet):
    with app.app_context(), db.engine.begin() as holder:
        holder.execute(text("SELECT FROM wallets FOR UPDATE"))
        body = {"operation_type": "DEPOSIT", "amount": 1}
        answer = client.post(f"{API}/wallets/{wallet}/operation?{DRY}", json=body)
        assert answer.get_json()["balance_after"] == "101.00"


def test_what_is_neither_true_nor_false_is_refused(app, client, wallet):
    before = rows(app)
    body = {"operation_type": "DEPOSIT", "amount": 1}
    answer = client.post(f"{API}/wallets/{wallet}/operation?dry_run=yes", json=body)
    assert answer.status_code == 422
    assert answer.get_json()["errors"]["dry_run"]
    assert rows(app) == before


def test_limits_are_judged_and_not_counted(app, client, wallet):
    limits = {"velocity": {"day": {"max_count": 1}}}
    client.put(f"{API}/wallets/{wallet}/limits", json=limits)
    path = f"{API}/wallets/{wallet}/operation"
    body = {"operation_type": "WITHDRAW", "amount": 1}
    for _ in range(2):
        told = client.post(f"{path}?{DRY}", json=body)
        assert told.status_code == 200, told.text
    assert client.post(path, json=body).status_code == 200
    assert client.post(f"{path}?{DRY}", json=body).get_json()["limit"] == "day_count"


def test_a_minimal_answer_says_so_too(client, wallet):
    member = {"operation_type": "DEPOSIT", "wallet": wallet, "amount": 1}
    answer = client.post(
        f"{API}/operations/batch?{DRY}",
        json={"operations": [member]},
        headers={"Prefer": "return=minimal"},
    )
    assert answer.headers["Dry-Run"] == "true"
    assert answer.get_json()["outcomes"][0]["balance_after"] == "101.00"
    assert client.get(f"{API}/wallets/{wallet}").get_json()["balance"] == "100.00"
