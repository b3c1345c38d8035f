"""Keys and the audit log over HTTP."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from wallet_app.access import keys, tenants
from wallet_app.http.scopes import Scope

PATH = "/api/v1/keys"
NEW = {"name": "shop", "scopes": ["wallets:read"]}
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.fixture
def admin(make_key, bearer):
    """The headers of a key that may do everything."""
    return bearer(make_key(name="admin")["key"])


@pytest.fixture
def refuse(door, admin):
    """Send what must be refused with a status and a code; return the problem."""

    def send(status, code, method, path, **request):
        answer = door.open(path, method=method, **{"headers": admin} | request)
        assert (answer.status_code, answer.json["code"]) == (status, code), answer.json
        return answer.json

    return send


def create(door, headers, **fields):
    answer = door.post(PATH, json=NEW | fields, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{PATH}/{answer.json['id']}"
    return answer.json


def test_a_key_is_shown_once_and_lets_in(door, admin, bearer):
    made = create(door, admin, expires_at=LATER)
    assert made["key"].startswith(f"wk_live_{made['id']}_")
    shown = door.get(f"{PATH}/{made['id']}", headers=admin).json
    assert shown == {name: made[name] for name in made if name != "key"}
    listed = door.get(PATH, headers=admin).json["data"]
    assert listed[0] == shown
    assert made["key"] not in json.dumps(listed)
    assert door.get("/api/v1/wallets", headers=bearer(made["key"])).status_code == 200
    used = door.get(f"{PATH}/{made['id']}", headers=admin).json["last_used_at"]
    assert used is not None


def test_keys_come_in_pages_newest_first(door, admin):
    made = [create(door, admin)["id"] for _ in range(5)]
    found, cursor = [], ""
    while cursor is not None:
        page = door.get(f"{PATH}?limit=2{cursor}", headers=admin).json
        found += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert found[:5] == made[::-1]
    assert len(found) == 6


def test_a_key_gives_no_more_than_it_has(door, make_key, bearer, refuse):
    strong = make_key()
    weak = bearer(make_key("admin", "wallets:read")["key"])
    made = create(door, weak, scopes=["wallets:read", "admin"])
    assert made["scopes"] == ["admin", "wallets:read"]
    body = NEW | {"scopes": ["operations:write", "wallets:read"]}
    problem = refuse(403, "insufficient_scope", "POST", PATH, json=body, headers=weak)
    assert problem["missing"] == ["operations:write"]
    # Nor by a new secret for one that has more.
    path = f"{PATH}/{strong['id']}/rotate"
    problem = refuse(403, "insufficient_scope", "POST", path, json={}, headers=weak)
    assert set(problem["missing"]) == set(Scope) - {"admin", "wallets:read"}


def test_a_rotated_key_has_two_secrets_for_a_while(door, admin, bearer):
    made = create(door, admin)
    path = f"{PATH}/{made['id']}/rotate"
    new = door.post(path, json={"grace_seconds": 60}, headers=admin).json
    assert new["id"] == made["id"]
    assert new["old_secret_until"] is not None
    for key in (made["key"], new["key"]):
        assert door.get("/api/v1/wallets", headers=bearer(key)).status_code == 200


def test_a_revoked_key_stays_revoked(door, admin, refuse):
    made = create(door, admin)
    path = f"{PATH}/{made['id']}"
    revoked = door.post(f"{path}/revoke", headers=admin).json
    assert revoked["revoked_at"] is not None
    assert door.post(f"{path}/revoke", headers=admin).json == revoked
    refuse(409, "key_not_active", "POST", f"{path}/rotate", json={})
    acts = door.get(f"/api/v1/audit?object={made['id']}", headers=admin).json["data"]
    assert [one["action"] for one in acts] == ["key.revoked", "key.created"]


def test_another_tenants_key_is_not_there(app, door, make_key, admin, bearer, refuse):
    with app.app_context():
        other = tenants.create("other").id
    foreign = make_key(tenant_id=other)
    path = f"{PATH}/{foreign['id']}"
    refuse(404, "key_not_found", "GET", path)
    refuse(404, "key_not_found", "POST", f"{path}/rotate", json={})
    refuse(404, "key_not_found", "POST", f"{path}/revoke")
    own = [one["id"] for one in door.get(PATH, headers=admin).json["data"]]
    assert foreign["id"] not in own
    audit = door.get("/api/v1/audit", headers=admin).text
    assert foreign["id"] not in audit
    # What the other makes belongs to the other.
    headers = bearer(foreign["key"])
    made = create(door, headers)
    listed = door.get(PATH, headers=headers).json["data"]
    assert {one["id"] for one in listed} == {foreign["id"], made["id"]}
    acts = door.get("/api/v1/audit", headers=headers).json["data"]
    assert {one["action"] for one in acts} == {"tenant.created", "key.created"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "\0"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": "admin"}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"tenant": "other"}, "tenant"),
    ],
)
def test_bad_input_is_refused_and_named(refuse, body, field):
    problem = refuse(422, "validation_failed", "POST", PATH, json=NEW | body)
    assert list(problem["errors"]) == [field]


@pytest.mark.parametrize("grace", [-1, 604801, "a day", 1.5])
def test_a_grace_has_bounds(door, admin, refuse, grace):
    path = f"{PATH}/{create(door, admin)['id']}/rotate"
    body = {"grace_seconds": grace}
    problem = refuse(422, "validation_failed", "POST", path, json=body)
    assert list(problem["errors"]) == ["grace_seconds"]


@pytest.mark.parametrize("key_id", ["0" * 12, "%00" * 12, "%ff" * 12, "-" * 12])
def test_an_unknown_key_is_not_found(refuse, key_id):
    refuse(404, "key_not_found", "GET", f"{PATH}/{key_id}")
    refuse(404, "key_not_found", "POST", f"{PATH}/{key_id}/revoke")


def test_there_are_only_so_many_at_a_time(door, admin, refuse, monkeypatch):
    monkeypatch.setattr(keys, "MAX_KEYS", 3)
    made = [create(door, admin) for _ in range(2)]
    refuse(409, "too_many_keys", "POST", PATH, json=NEW)
    door.post(f"{PATH}/{made[0]['id']}/revoke", headers=admin)
    create(door, admin)


def test_nobody_makes_keys_while_anybody_could(refused, make_key):
    key_id = make_key()["id"]
    refused(409, "access_is_open", "POST", PATH, json=NEW)
    refused(409, "access_is_open", "POST", f"{PATH}/{key_id}/rotate", json={})


def test_a_cursor_of_another_list_is_refused(door, admin, refuse):
    for _ in range(2):
        create(door, admin)
    cursor = door.get(f"{PATH}?limit=1", headers=admin).json["next_cursor"]
    for path in (
        f"/api/v1/audit?cursor={cursor}",
        f"{PATH}?cursor=WyJrZXlzIixbMSwyXV0",
    ):
        problem = refuse(422, "validation_failed", "GET", path)
        assert list(problem["errors"]) == ["cursor"]
