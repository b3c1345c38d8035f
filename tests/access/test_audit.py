"""Every administrative act leaves an entry, and no secret with it."""

import re

import pytest
from sqlalchemy import select, text

from wallet_app.access import audit, keys, tenants
from wallet_app.database import reading, transaction
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID

AUDIT = "/api/v1/audit"
URL = "https://hooks.example.com/T0KEN?secret=hidden"


@pytest.fixture
def admin(make_key, bearer):
    made = make_key(name="admin")
    return bearer(made["key"]) | {"X-Request-ID": "the-request"}, made["id"]


def entries(door, headers, query=""):
    answer = door.get(f"{AUDIT}{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json["data"]


def test_each_act_over_http_tells_who_what_and_when(door, admin):
    headers, admin_id = admin
    new = {"name": "shop", "scopes": ["wallets:read"]}
    made = door.post("/api/v1/keys", json=new, headers=headers).json
    path = f"/api/v1/keys/{made['id']}"
    door.post(f"{path}/rotate", json={}, headers=headers)
    door.post(f"{path}/revoke", headers=headers)
    revoked, rotated, created = entries(door, headers, f"?object={made['id']}")
    for entry in (revoked, rotated, created):
        assert entry["actor"] == admin_id
        assert entry["request_id"] == "the-request"
    assert (created["before"], created["after"]["name"]) == (None, "shop")
    assert rotated["before"]["old_digest_until"] is None
    assert rotated["after"]["old_digest_until"] > rotated["created_at"]
    assert (
        revoked["before"] | {"revoked_at": revoked["after"]["revoked_at"]}
        == (revoked["after"])
    )


def test_each_act_on_a_webhook_leaves_an_entry_without_a_secret(context, door, admin):
    headers, _ = admin
    hooks = "/api/v1/webhooks"
    made = door.post(hooks, json={"url": URL}, headers=headers).json
    path = f"{hooks}/{made['id']}"
    door.patch(path, json={"url": f"{URL}2"}, headers=headers)
    secret = door.post(f"{path}/rotate-secret", headers=headers).json["secret"]
    sent = door.post(f"{path}/test", headers=headers).json["id"]
    door.post(f"{path}/deliveries/{sent}/redeliver", headers=headers)
    door.delete(path, headers=headers)
    found = entries(door, headers, f"?object={made['id']}")
    assert [one["action"] for one in found] == [
        "webhook.deleted",
        "webhook.redelivered",
        "webhook.tested",
        "webhook.secret_rotated",
        "webhook.changed",
        "webhook.created",
    ]
    changed = found[4]
    assert changed["before"]["url"] != changed["after"]["url"]
    log = everything()
    for secret_text in (made["secret"], secret, "T0KEN", "hidden"):
        assert secret_text not in log


def everything():
    with reading() as connection:
        return str(connection.execute(text("SELECT * FROM audit_log")).all())


def test_no_key_and_no_digest_is_in_the_log(context, make_key):
    made = make_key()
    new = keys.rotate(made["id"], tenant_id=None)
    log = everything()
    for one in (made, new):
        assert one["key"] not in log
        assert one["key"][21:] not in log
        assert one["digest"].hex() not in log
    assert not re.search(r"wk_live_\w{20}", log)


def test_acts_of_the_command_line_are_told_apart(context):
    tenant = tenants.create("other")
    with reading() as connection:
        (entry,) = audit.list_page(
            connection, tenant.id, limit=9, before=None, filters={}
        )
    assert (entry.actor, entry.action) == ("cli", "tenant.created")
    assert (entry.object, entry.request_id) == (str(tenant.id), None)


def test_an_act_that_is_rolled_back_leaves_no_entry(context):
    def fail():
        with transaction() as connection:
            audit.record(connection, "wallet.frozen", "x", after={"status": "frozen"})
            assert connection.scalar(select(audit.ENTRIES.action)) == "wallet.frozen"
            raise OSError("the end")

    with pytest.raises(OSError, match="the end"):
        fail()
    assert everything() == "[]"


def test_while_access_is_open_it_was_anybody(client, context):
    client.post("/api/v1/webhooks", json={"url": URL})
    (entry,) = client.get(AUDIT).json["data"]
    assert (entry["actor"], entry["action"]) == ("anybody", "webhook.created")


def test_entries_come_in_pages_newest_first_and_filtered(context, client):
    for number in range(5):
        with transaction() as connection:
            audit.record(connection, f"test.{number % 2}", number)
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"{AUDIT}?limit=2{cursor}").json
        found += [one["object"] for one in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert found == ["4", "3", "2", "1", "0"]
    odd = client.get(f"{AUDIT}?action=test.1").json["data"]
    assert [one["object"] for one in odd] == ["3", "1"]
    (one,) = client.get(f"{AUDIT}?action=test.1&object=3").json["data"]
    assert one["action"] == "test.1"
    assert client.get(f"{AUDIT}?action=none").json["data"] == []


def test_who_acts_for_another_tenant_says_so(context, client):
    other = tenants.create("other").id
    with transaction() as connection:
        audit.record(connection, "test.foreign", 1, tenant_id=other)
        audit.record(connection, "test.own", 2)
    assert [one["action"] for one in client.get(AUDIT).json["data"]] == ["test.own"]
    assert other != DEFAULT_TENANT_ID
