"""What belongs to another tenant is as if it did not exist."""

import json
import uuid
from datetime import timedelta

import psycopg
import pytest
from ops import deposit, transfer
from sqlalchemy.engine import make_url

from wallet_app.database import reading, transaction
from wallet_app.events import following
from wallet_app.feed import partitions, relay
from wallet_app.finding import walks
from wallet_app.http.pages import encode_cursor
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Receipt, Unit
from wallet_app.statements import lifecycle, writer
from wallet_app.statistics import rollup
from wallet_app.webhooks import recording

API = "/api/v1"
JANUARY = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
DEPOSIT = {"operation_type": "DEPOSIT", "amount": "7.31"}


@pytest.fixture
def ours(new_tenant):
    return new_tenant()


@pytest.fixture
def theirs(new_tenant):
    return new_tenant()


def new_wallet(client, **fields):
    answer = client.post(f"{API}/wallets", json={"currency": "USD", **fields})
    assert answer.status_code == 201, answer.text
    return answer.get_json()["uuid"]


def put_in(client, wallet, **fields):
    body = DEPOSIT | fields
    answer = client.post(f"{API}/wallets/{wallet}/operation", json=body)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def problem(answer, sought):
    """What an answer says, but for what every request has of its own."""
    body = answer.get_json()
    del body["request_id"]
    return answer.status_code, json.dumps(body).replace(str(sought), "SOUGHT")


WALLET_CALLS = [
    ("GET", "/wallets/{}", None),
    ("GET", "/wallets/{}/balance", None),
    ("GET", "/wallets/{}/balance?at=2026-01-01T00:00:00Z", None),
    ("GET", "/wallets/{}/transactions", None),
    ("GET", "/wallets/{}/statistics", None),
    ("GET", "/wallets/{}/summaries", None),
    ("GET", "/events?wallet={}", None),
    ("POST", "/wallets/{}/statements", JANUARY | {"format": "csv"}),
    ("POST", "/wallets/{}/operation", DEPOSIT),
    ("PATCH", "/wallets/{}", {"owner": "ours"}),
    ("GET", "/transactions?wallet={}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WALLET_CALLS)
def test_anothers_wallet_is_an_unknown_one(ours, theirs, method, path, body):
    wallet, unknown = new_wallet(theirs), str(uuid.uuid4())
    put_in(theirs, wallet)
    found, missing = (
        ours.open(API + path.format(one), method=method, json=body)
        for one in (wallet, unknown)
    )
    assert found.status_code == 404
    assert problem(found, wallet) == problem(missing, unknown)


@pytest.mark.parametrize("legs", [("own", "other"), ("other", "own")])
def test_no_transfer_leads_to_or_from_another_tenant(ours, theirs, legs):
    wallets = {"own": new_wallet(ours), "other": new_wallet(theirs)}
    put_in(ours, wallets["own"])
    put_in(theirs, wallets["other"])
    source, target = (wallets[leg] for leg in legs)
    body = {"from_wallet": source, "to_wallet": target, "amount": "1.00"}
    answer = ours.post(f"{API}/transfers", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "wallet_not_found")
    member = body | {"operation_type": "TRANSFER"}
    batch = ours.post(f"{API}/operations/batch", json={"operations": [member]})
    assert batch.get_json()["outcomes"][0]["code"] == "wallet_not_found"


def test_anothers_operation_is_not_refunded(ours, theirs):
    reference = str(uuid.uuid4())
    mine, other = new_wallet(ours), new_wallet(theirs)
    put_in(theirs, other, reference_id=reference)
    path = f"{API}/operations/{reference}/refund"
    answer = ours.post(path, json={})
    assert (answer.status_code, answer.json["code"]) == (404, "operation_not_found")
    member = {"operation_type": "REFUND", "refund_of": reference}
    batch = ours.post(f"{API}/operations/batch", json={"operations": [member]})
    assert batch.json["outcomes"][0]["code"] == "operation_not_found"
    # A tenant's own operation of the same reference is another one.
    put_in(ours, mine, reference_id=reference, amount="2.00")
    assert ours.post(path, json={}).json["refunded"] == "2.00"
    shown = theirs.get(f"{API}/operations/{reference}").json
    assert (shown["refunded"], shown["refunds"]) == ("0.00", [])
    assert theirs.post(path, json={"amount": "7.00"}).json["remaining"] == "0.31"


def test_lists_hold_a_tenants_own(ours, theirs):
    own = [new_wallet(ours) for _ in range(3)]
    others = [new_wallet(theirs) for _ in range(3)]
    first = ours.get(f"{API}/wallets?limit=2").get_json()
    assert [one["uuid"] for one in first["data"]] == own[:0:-1]
    # A cursor is a place in time: with another's, a list goes on with its own.
    page = theirs.get(f"{API}/wallets?cursor={first['next_cursor']}").get_json()
    assert page["data"] == []
    everything = theirs.get(f"{API}/wallets").get_json()["data"]
    assert [one["uuid"] for one in everything] == others[::-1]


def test_what_is_found_is_a_tenants_own(ours, theirs):
    said = {"owner": "ann", "name": "Savings", "labels": ["vip"]}
    for client in (theirs, ours, theirs):
        wallet = new_wallet(client, **said)
        put_in(client, wallet, metadata={"order": "7"}, amount="7.31")
    reference = put_in(theirs, wallet, metadata={"order": "7"})["reference_id"]
    for query in (
        *("owner=ann", "label=vip", "currency=USD", "sort=name", "sort=created_at"),
        *("min_balance=1", "status=active", "limit=2"),
    ):
        assert len(ours.get(f"{API}/wallets?{query}").get_json()["data"]) == 1
    theirs_found = theirs.get(f"{API}/wallets?owner=ann&label=vip").get_json()["data"]
    assert len(theirs_found) == 2
    for query in ("", "metadata=order=7", "operation_type=DEPOSIT", "min_amount=1"):
        assert len(ours.get(f"{API}/transactions?{query}").get_json()["data"]) == 1
        assert len(theirs.get(f"{API}/transactions?{query}").get_json()["data"]) == 3
    path = f"{API}/transactions?reference_id={reference}"
    assert ours.get(path).get_json()["data"] == []
    assert len(theirs.get(path).get_json()["data"]) == 1


def test_common_metadata_of_another_tenant_does_not_show(ours, theirs, monkeypatch):
    monkeypatch.setattr(walks, "MOST_LOOKED_AT", 2)
    for client, times in ((theirs, 4), (ours, 1), (theirs, 4)):
        wallet = new_wallet(client)
        for _ in range(times):
            put_in(client, wallet, metadata={"order": "7"})
    path, after = f"{API}/transactions?metadata=order=7", ""
    page = ours.get(path).get_json()
    assert (len(page["data"]), page["has_more"]) == (1, False)
    found = []
    while after is not None:
        page = theirs.get(path + (f"&cursor={after}" if after else "")).get_json()
        found += page["data"]
        after = page["next_cursor"]
    assert len({one["id"] for one in found}) == len(found) == 8


def test_a_uuid_and_a_reference_are_a_tenants_own(ours, theirs):
    name, reference = str(uuid.uuid4()), str(uuid.uuid4())
    for client, currency in ((ours, "USD"), (theirs, "JPY")):
        answer = client.post(
            f"{API}/wallets", json={"uuid": name, "currency": currency}
        )
        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer.headers
    put_in(ours, name, reference_id=reference)
    path = f"{API}/operations/{reference}"
    assert (ours.get(path).status_code, theirs.get(path).status_code) == (200, 404)
    assert put_in(theirs, name, reference_id=reference, amount="5")["seq"] == 1
    for client, amount in ((ours, "7.31"), (theirs, "5")):
        (entry,) = client.get(path).get_json()["transactions"]
        assert entry["amount"] == amount
        assert client.get(f"{API}/wallets/{name}").get_json()["balance"] == amount


def test_one_batch_mixes_tenants(tenants_app, ours, theirs):
    name, other, reference = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    for client in (ours, theirs):
        for one in (name, other):
            new_wallet(client, uuid=str(one))
    units = [
        Unit(
            [
                deposit(name, amount, tenant_id=one.tenant_id, reference_id=reference),
                transfer(name, other, 1, tenant_id=one.tenant_id),
            ]
        )
        for one, amount in ((ours, 10), (theirs, 20), (ours, 10), (theirs, 21))
    ]
    with tenants_app.app_context():
        results = posting.post(units)
        again = posting.post(units)
    assert [type(one) is Receipt for one, _ in results] == [True, True, True, False]
    assert results[3][0].code == again[3][0].code == "idempotency_key_reused"
    assert results[2][0].replayed
    balances = [
        client.get(f"{API}/wallets/{one}").get_json()["balance"]
        for client in (ours, theirs)
        for one in (name, other)
    ]
    assert balances == ["8.00", "2.00", "18.00", "2.00"]


def test_nobody_waits_for_a_lock_on_anothers_wallet(ours, theirs, database_url):
    name, shared = new_wallet(theirs), str(uuid.uuid4())
    for client in (ours, theirs):
        new_wallet(client, uuid=shared)
    url = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as holder:
        holder.execute(
            "SELECT FROM wallets WHERE tenant_id = %s FOR UPDATE", [theirs.tenant_id]
        )
        answer = ours.post(f"{API}/wallets/{name}/operation", json=DEPOSIT)
        assert answer.status_code == 404
        put_in(ours, shared)


def test_statements_are_a_tenants_own(tenants_app, ours, theirs):
    wallet = new_wallet(theirs)
    body = JANUARY | {"format": "csv"}
    asked = theirs.post(f"{API}/wallets/{wallet}/statements", json=body)
    path = asked.headers["Location"]
    with tenants_app.app_context():
        for one in lifecycle.due():
            assert writer.write(one)
    unknown = f"{API}/statements/{uuid.uuid4()}"
    for end in ("", "/file"):
        with theirs.get(path + end) as answer:
            assert answer.status_code == 200
        found, missing = ours.get(path + end), ours.get(unknown + end)
        assert problem(found, path[-36:]) == problem(missing, unknown[-36:])


def test_statistics_tell_of_a_tenants_own(tenants_app, ours, theirs):
    put_in(ours, new_wallet(ours))
    for counted in (False, True):
        wallet = new_wallet(theirs)
        for _ in range(3):
            put_in(theirs, wallet, amount="100.00")
        if counted:
            with tenants_app.app_context():
                rollup.roll_up()
        figures = ours.get(f"{API}/statistics").get_json()
        (dollars,) = figures["currencies"]
        assert (dollars["wallets"], dollars["count"]) == (1, 1)
        assert dollars["total_balance"] == "7.31"
        assert dollars["balanced"] is True
        assert [day["total"] for day in figures["days"]] == ["7.31"]
        assert [one["transactions"] for one in figures["busiest_wallets"]] == [1]


def test_events_are_a_tenants_own_with_gaps_between_positions(
    tenants_app, ours, theirs, monkeypatch
):
    # The client reads a stream to its end.
    monkeypatch.setattr(following, "STREAM_S", 0.5)
    own, other = new_wallet(ours), new_wallet(theirs)
    for _ in range(3):
        put_in(ours, own)
        put_in(theirs, other)
    with tenants_app.app_context():
        relay.relay_for(10)
    after, found = 0, []
    while True:
        page = ours.get(f"{API}/events?after={after}&limit=2").get_json()
        found += page["data"]
        after = page["next_after"]
        if not page["has_more"]:
            break
    assert {one["wallet_uuid"] for one in found} == {own}
    assert [one["data"].get("seq") for one in found] == [None, 1, 2, 3]
    positions = [one["position"] for one in found]
    assert positions == sorted(positions)
    assert positions[-1] - positions[0] > 3
    # At the end of its own, whatever others do.
    put_in(theirs, other)
    with tenants_app.app_context():
        relay.relay_for(10)
    page = ours.get(f"{API}/events?after={after}&wait=1").get_json()
    assert page == {"data": [], "has_more": False, "next_after": after}
    headers = {"Last-Event-ID": "0", "Accept": "text/event-stream"}
    with ours.get(f"{API}/events", headers=headers) as stream:
        chunks = iter(stream.response)
        assert next(chunks).startswith(b"retry")
        assert other.encode() not in next(chunks)


def test_changes_of_wallets_are_told_to_their_tenant_only(tenants_app, ours, theirs):
    tenants = (ours, theirs)
    uuid = "123e4567-e89b-12d3-a456-426614174000"
    hooks = [
        client.post(f"{API}/webhooks", json={"url": "https://example.com/"}).get_json()
        for client in tenants
    ]
    ids = []
    for client in tenants:
        # The same name for each: only the tenant tells them apart.
        path = f"{API}/wallets/{new_wallet(client, uuid=uuid)}"
        client.patch(path, json={"owner": f"tenant {client.tenant_id}"})
        with tenants_app.app_context(), reading() as connection:
            ids.append(wallets.find(connection, client.tenant_id, uuid).id)
    with tenants_app.app_context():
        with transaction() as connection:
            assert wallets.freeze(connection, ids) == 2
        relay.relay_for(10)
        while recording.record():
            pass
    for client, hook in zip(tenants, hooks, strict=True):
        _, *changes = client.get(f"{API}/events").get_json()["data"]
        assert [(one["type"], one["data"]["owner"]) for one in changes] == [
            (kind, f"tenant {client.tenant_id}")
            for kind in ("wallet.updated", "wallet.frozen")
        ]
        path = f"{API}/webhooks/{hook['id']}/deliveries"
        listed = client.get(path).get_json()["data"]
        positions = [one["position"] for one in reversed(listed)]
        assert positions[1:] == [one["position"] for one in changes]


def test_events_that_are_gone_are_missed_by_their_tenant_only(
    tenants_app, ours, theirs
):
    wallet = new_wallet(ours)
    new_wallet(theirs)
    put_in(ours, wallet)
    with tenants_app.app_context():
        rollup.roll_up()
        (first, last) = ours.get(f"{API}/events").get_json()["data"]
        tenants_app.extensions["events_keep"] = timedelta(days=-1)
        assert len(partitions.prune()) == 1
        new_wallet(theirs)
        put_in(ours, wallet)
        relay.relay_for(10)
    # Others' events lie between, so only what was dropped tells what is missed.
    behind = ours.get(f"{API}/events?after={last['position']}")
    assert [one["data"]["seq"] for one in behind.get_json()["data"]] == [2]
    gone = ours.get(f"{API}/events?after={first['position']}")
    assert (gone.status_code, gone.get_json()["code"]) == (410, "events_expired")
    assert gone.get_json()["oldest"] == behind.get_json()["next_after"]


def test_webhooks_are_a_tenants_own(tenants_app, ours, theirs):
    hooks = [
        client.post(f"{API}/webhooks", json={"url": "https://example.com/"}).get_json()
        for client in (ours, theirs)
    ]
    mine, other = (f"{API}/webhooks/{one['id']}" for one in hooks)
    put_in(theirs, new_wallet(theirs))
    with tenants_app.app_context():
        relay.relay_for(10)
        while recording.record():
            pass
    assert len(theirs.get(f"{other}/deliveries").get_json()["data"]) == 2
    assert ours.get(f"{mine}/deliveries").get_json()["data"] == []
    listed = ours.get(f"{API}/webhooks").get_json()["data"]
    assert [one["id"] for one in listed] == [hooks[0]["id"]]
    (first, _) = theirs.get(f"{other}/deliveries").get_json()["data"]
    for method, path in (
        ("GET", other),
        ("PATCH", other),
        ("GET", f"{other}/deliveries"),
        ("POST", f"{other}/test"),
        ("POST", f"{other}/rotate-secret"),
        ("POST", f"{other}/deliveries/{first['id']}/redeliver"),
        ("POST", f"{mine}/deliveries/{first['id']}/redeliver"),
        ("DELETE", other),
    ):
        body = {"disabled": True} if method == "PATCH" else None
        assert ours.open(path, method=method, json=body).status_code == 404, path
    assert theirs.get(other).status_code == 200


def test_a_made_up_cursor_leads_to_nothing_of_anothers(ours, theirs):
    wallet = new_wallet(theirs)
    cursor = encode_cursor("wallets", ["2100-01-01T00:00:00Z", wallet])
    assert ours.get(f"{API}/wallets?cursor={cursor}").get_json()["data"] == []


def test_who_needs_no_tenant_meets_none(client):
    wallet = new_wallet(client)
    for path in (f"/wallets/{wallet}", "/wallets", "/statistics", "/events"):
        assert "tenant" not in client.get(API + path).text
    assert "tenant" not in json.dumps(put_in(client, wallet))
