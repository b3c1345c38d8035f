"""Refunds at once and in batches: never more than the original, nothing of others."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from gunicorns import Gunicorn
from ops import Crowd, deposit, funded_wallet, operation, transfer, withdraw
from sqlalchemy import text

from wallet_app.access import tenants
from wallet_app.database import reading
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Receipt, Unit
from wallet_app.ledger.rules import Refusal, way_back
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID

API = "/api/v1"


@pytest.fixture
def new_wallet(context):
    return funded_wallet


def refund(original, amount=0, **fields):
    wallet, target = way_back(original.wallet_uuid, original.target_uuid)
    return operation(
        "REFUND",
        wallet,
        amount,
        target_uuid=target,
        parent_reference_id=original.reference_id,
        **fields,
    )


def codes_of(outcomes):
    return [one.code if isinstance(one, Refusal) else "ok" for one in outcomes]


def refunded_of(original):
    with reading() as connection:
        return connection.scalar(
            text("SELECT refunded FROM refunded_operations WHERE reference_id = :it"),
            {"it": original.reference_id},
        )


def balance_of(wallet):
    with reading() as connection:
        return connection.scalar(
            text("SELECT balance FROM wallets WHERE uuid = :it"), {"it": wallet}
        )


@pytest.mark.slow
def test_of_50_partial_refunds_at_once_as_many_as_fit_go_through(
    make_wallet, client, database_environment, tmp_path
):
    source, target = make_wallet(100), make_wallet()
    body = {"from_wallet": str(source), "to_wallet": str(target), "amount": "100.00"}
    moved = client.post(f"{API}/transfers", json=body).get_json()["reference_id"]
    more = {"operation_type": "DEPOSIT", "amount": "500.00"}
    client.post(f"{API}/wallets/{target}/operation", json=more)
    server = Gunicorn(tmp_path / "gunicorn.log", database_environment)
    try:
        server.wait_for_workers()
        with ThreadPoolExecutor(50) as pool:
            path, part = f"{API}/operations/{moved}/refund", {"amount": "7.00"}
            answers = list(
                pool.map(lambda _: server.call("POST", path, part), range(50))
            )
    finally:
        server.end()
    assert Counter(status for status, _ in answers) == {200: 14, 409: 36}
    shown = client.get(f"{API}/operations/{moved}").get_json()
    assert (shown["refunded"], len(shown["refunds"])) == ("98.00", 14)
    assert client.get(f"{API}/wallets/{source}").get_json()["balance"] == "98.00"


def test_refunds_of_one_original_from_many_threads(app, new_wallet):
    wallet = new_wallet(1000)
    original = deposit(wallet, 100)
    posting.post([Unit([original])])
    outcomes = Crowd(app).together(
        app.extensions["ledger"].submit, [refund(original, 3) for _ in range(50)]
    )
    assert Counter(codes_of(outcomes)) == {"ok": 33, "exceeds_refundable": 17}
    assert (refunded_of(original), balance_of(wallet)) == (99, 1001)


def test_one_of_many_that_expect_the_same_goes_through(app, new_wallet):
    wallet = new_wallet(1000)
    original = withdraw(wallet, 100)
    posting.post([Unit([original])])
    outcomes = Crowd(app, 16).together(
        app.extensions["ledger"].submit,
        [refund(original, 3, expected_refunded=0) for _ in range(16)],
    )
    assert Counter(codes_of(outcomes)) == {"ok": 1, "refunded_changed": 15}
    assert refunded_of(original) == 3


def test_a_batch_refunds_what_it_has_posted_itself(new_wallet):
    source, target = new_wallet(100), new_wallet()
    moved = transfer(source, target, 50)
    members = [moved, refund(moved, 20), refund(moved, 40), refund(moved)]
    [outcomes] = posting.post([Unit(members)])
    assert codes_of(outcomes) == ["ok", "ok", "exceeds_refundable", "ok"]
    assert refunded_of(moved) == 50
    assert (balance_of(source), balance_of(target)) == (100, 0)
    [again] = posting.post([Unit(members)])
    assert [one.replayed for one in again if isinstance(one, Receipt)] == [True] * 3
    assert [again[1].original, again[3].original] == [
        outcomes[1].original,
        outcomes[3].original,
    ]


def test_a_refused_atomic_unit_leaves_what_was_refunded(new_wallet):
    wallet = new_wallet(1000)
    original, made = deposit(wallet, 100), deposit(wallet, 10)
    posting.post([Unit([original]), Unit([refund(original, 10)])])
    too_much = Unit(
        [made, refund(made, 10), refund(original, 60), refund(original, 40)],
        atomic=True,
    )
    rest = refund(original)
    refused, [last] = posting.post([too_much, Unit([rest])])
    assert refused[-1].code == "exceeds_refundable"
    assert last.entries[0].amount == 90
    assert (refunded_of(original), refunded_of(made)) == (100, None)
    assert balance_of(wallet) == 1000


def test_an_atomic_unit_refunds_in_parts(new_wallet):
    wallet = new_wallet()
    original = deposit(wallet, 100)
    parts = [refund(original, 30), refund(original, 30, expected_refunded=30)]
    [outcomes] = posting.post([Unit([original, *parts], atomic=True)])
    assert codes_of(outcomes) == ["ok"] * 3
    assert refunded_of(original) == 60


def test_another_wallets_operation_is_none_of_the_refunds(new_wallet):
    wallet, other = new_wallet(100), new_wallet(100)
    original = withdraw(wallet, 50)
    posting.post([Unit([original])])
    foreign = operation("REFUND", other, 0, parent_reference_id=original.reference_id)
    unknown = operation("REFUND", wallet, 0, parent_reference_id=uuid.uuid4())
    [outcomes] = posting.post([Unit([foreign, unknown])])
    assert codes_of(outcomes) == ["operation_not_found"] * 2
    assert refunded_of(original) is None


def test_retries_of_tenants_with_the_same_references_are_told_apart(context):
    other = tenants.create("other").id
    given_back = {}
    for tenant_id in (DEFAULT_TENANT_ID, other):
        wallet, _ = wallets.create(tenant_id=tenant_id, currency="USD")
        paid = deposit(wallet, tenant_id, tenant_id=tenant_id)
        parts = [
            refund(paid, "0.25", tenant_id=tenant_id, reference_id=uuid.UUID(int=place))
            for place in (1, 2)
        ]
        posting.post([Unit([paid, *parts])])
        given_back[tenant_id] = parts
    asked = [given_back[DEFAULT_TENANT_ID][0], given_back[other][1]]
    outcomes = [one for [one] in posting.post([Unit([one]) for one in asked])]
    assert [one.replayed for one in outcomes] == [True, True]
    assert [one.original.tenant_id for one in outcomes] == [DEFAULT_TENANT_ID, other]
    assert [one.original.refunded for one in outcomes] == [
        Decimal("0.25"),
        Decimal("0.50"),
    ]


def test_a_hold_is_not_refunded_beside_what_is_done_with_it(new_wallet):
    wallet = new_wallet(100)
    held = operation("HOLD", wallet, 10)
    posting.post([Unit([held])])
    voided = operation("VOID", wallet, 0, parent_reference_id=held.reference_id)
    [outcomes] = posting.post([Unit([refund(held), voided])])
    assert codes_of(outcomes) == ["not_refundable", "ok"]


def test_members_of_a_batch_refund_over_http(make_wallet, client):
    wallet = str(make_wallet(100))
    made, lost = str(uuid.uuid4()), str(uuid.uuid4())
    members = [
        {
            "operation_type": "WITHDRAW",
            "wallet": wallet,
            "amount": "50.00",
            "reference_id": made,
        },
        {"operation_type": "REFUND", "refund_of": made, "amount": "20.00"},
        {
            "operation_type": "REFUND",
            "refund_of": made,
            "amount": "20.00",
            "expected_refunded": "0",
        },
        {"operation_type": "REFUND", "refund_of": made},
        {"operation_type": "REFUND", "refund_of": lost},
    ]
    headers = {"Idempotency-Key": "all of it"}
    path, body = f"{API}/operations/batch", {"operations": members}
    first = client.post(path, json=body, headers=headers).get_json()
    assert [one["code"] for one in first["outcomes"]] == [
        *("ok", "ok", "refunded_changed", "ok", "operation_not_found")
    ]
    again = client.post(path, json=body, headers=headers).get_json()
    assert again["applied"] == 0
    assert client.get(f"{API}/wallets/{wallet}").get_json()["balance"] == "100.00"
    wrong = {"operation_type": "REFUND", "refund_of": made, "wallet": wallet}
    assert client.post(path, json={"operations": [wrong]}).status_code == 422
