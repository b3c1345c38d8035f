"""Every endpoint with every kind of credential, from the API's own description."""

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from wallet_app import create_app
from wallet_app.access import gate, key_text, keys, tenants
from wallet_app.config import Settings
from wallet_app.database import transaction
from wallet_app.http.api import WalletBlueprint
from wallet_app.http.scopes import Scope

ACCESS = Path(__file__).parents[2] / "docs" / "access.md"
METHODS = {"get", "put", "post", "delete", "patch"}
NOBODY = "123e4567-e89b-12d3-a456-426614174000"
NO_IDS = {"key_id": "0" * key_text.ID_LENGTH}
FREE = {"GET /healthz", "GET /readyz"}


def operations(app):
    """Every ("METHOD path", operation) of the description."""
    document = json.loads(app.test_client().get("/openapi.json").text)
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def scope_of(operation):
    (requirement,) = operation["security"]
    (scope,) = requirement["api_key"]
    return scope


@pytest.fixture
def every_operation(keyed):
    return operations(keyed)


@pytest.fixture
def call(keyed):
    """Call an operation by its name, with the example that it has of its body."""

    def send(app, name, operation, headers, ids=NO_IDS):
        method, path = name.split()
        path = re.sub(r"\{(\w+)\}", lambda one: str(ids.get(one[1], NOBODY)), path)
        body = operation.get("requestBody", {}).get("content", {})
        example = body.get("application/json", {}).get("example")
        # The tests' own client would check the answers, which takes long.
        client = FlaskClient(app, app.response_class)
        return client.open(path, method=method, json=example, headers=headers)

    return send


def expire(key):
    with transaction() as connection:
        connection.execute(
            text("UPDATE api_keys SET expires_at = now() WHERE id = :id"),
            {"id": key["id"]},
        )
    return key["key"]


def revoke(key):
    keys.revoke(key["id"], tenant_id=None)
    return key["key"]


def other_letter(key):
    letter = "A" if key[30] != "A" else "B"
    return key[:30] + letter + key[31:]


# What a caller shows, made from a new key; and what the answer is.
CREDENTIALS = {
    "no key": (lambda _: None, 401, "api_key_missing"),
    "malformed": (lambda _: "Bearer me", 401, "api_key_malformed"),
    "another scheme": (lambda key: f"Basic {key['key']}", 401, "api_key_missing"),
    "bad checksum": (
        lambda key: f"Bearer {other_letter(key['key'])}",
        401,
        "api_key_malformed",
    ),
    "unknown": (
        lambda _: f"Bearer {key_text.new_key(key_text.new_id())}",
        401,
        "api_key_unknown",
    ),
    "wrong secret": (
        lambda key: f"Bearer {key_text.new_key(key['id'])}",
        401,
        "api_key_unknown",
    ),
    "expired": (lambda key: f"Bearer {expire(key)}", 401, "api_key_expired"),
    "revoked": (lambda key: f"Bearer {revoke(key)}", 401, "api_key_revoked"),
}


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_no_endpoint_lets_in_who_has_no_good_key(
    app, keyed, every_operation, call, make_key, kind
):
    make, status, code = CREDENTIALS[kind]
    key = make_key()
    with app.app_context():
        shown = make(key)
    headers = {} if shown is None else {"Authorization": shown}
    for name, operation in every_operation.items():
        if name in FREE:
            continue
        answer = call(keyed, name, operation, headers)
        assert (answer.status_code, answer.json["code"]) == (status, code), name
        assert answer.headers["WWW-Authenticate"].startswith("Bearer realm="), name
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == (
            code != "api_key_missing"
        )


@pytest.fixture
def objects(app, context, make_wallet, make_key):
    """Ids of what the default tenant has, by the names that they have in paths."""
    client = FlaskClient(app, app.response_class)
    wallet = make_wallet(5)
    moved = client.get(f"/api/v1/wallets/{wallet}/transactions").json["data"][0]
    january = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    held = client.post(f"/api/v1/wallets/{wallet}/holds", json={"amount": "1.00"})
    asked = client.post(f"/api/v1/wallets/{wallet}/statements", json=january)
    deposit = {"operation_type": "DEPOSIT", "wallet": str(wallet), "amount": "1.00"}
    imported = client.post(
        "/api/v1/operations/import",
        data=json.dumps(deposit),
        content_type="application/x-ndjson",
    )
    webhooks = "/api/v1/webhooks"
    webhook = client.post(webhooks, json={"url": "https://example.com/hook"}).json
    test = client.post(f"{webhooks}/{webhook['id']}/test").json
    return {
        "uuid": wallet,
        "reference_id": moved["reference_id"],
        "hold_id": held.json["hold"]["id"],
        "statement_id": asked.json["id"],
        "import_id": imported.json["id"],
        "webhook_id": webhook["id"],
        "delivery_id": test["id"],
        "key_id": make_key()["id"],
    }


def test_no_endpoint_finds_what_another_tenant_has(
    keyed, every_operation, call, make_key, bearer, objects
):
    strangers = bearer(make_key(tenant_id=tenants.create("other").id)["key"])
    own = bearer(make_key()["key"])
    asked = [
        (name, operation) for name, operation in every_operation.items() if "{" in name
    ]
    assert asked
    for name, operation in asked:
        answer = call(keyed, name, operation, strangers, objects)
        assert answer.status_code == 404, (name, answer.text)
    for name, operation in asked:
        if name.startswith("GET"):
            assert call(keyed, name, operation, own, objects).status_code != 404, name


def test_no_endpoint_lets_in_a_key_without_its_scope(
    keyed, every_operation, call, make_key, bearer
):
    lacking = {
        scope: bearer(make_key(*(set(Scope) - {scope}))["key"]) for scope in Scope
    }
    for name, operation in every_operation.items():
        if name in FREE:
            continue
        scope = scope_of(operation)
        answer = call(keyed, name, operation, lacking[scope])
        problem = answer.json
        assert (answer.status_code, problem["code"]) == (403, "insufficient_scope")
        assert problem["missing"] == [scope], name
        assert scope in problem["detail"]
        assert f'scope="{scope}"' in answer.headers["WWW-Authenticate"]


def test_every_endpoint_lets_in_a_key_with_its_scope_alone(
    app, keyed, every_operation, call, make_key, bearer
):
    having = {scope: bearer(make_key(scope)["key"]) for scope in Scope}
    for name, operation in every_operation.items():
        if name in FREE or name == "POST /api/v1/keys":
            # It gives wallets:read, which this one has not.
            continue
        answer = call(keyed, name, operation, having[scope_of(operation)])
        open_answer = call(app, name, operation, {})
        expected = open_answer.status_code
        if open_answer.is_json and open_answer.json.get("code") == "access_is_open":
            expected = 404
        assert answer.status_code == expected, (name, answer.text)
        assert answer.status_code not in {401, 403}, name


def test_probes_pages_and_the_description_are_free(keyed, every_operation):
    client = FlaskClient(keyed, keyed.response_class)
    for path in ("/healthz", "/readyz", "/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 200, path
    assert {one for one in every_operation if "/api/" not in one} == FREE


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/", "/api/v1/wallets/x"])
def test_not_even_what_paths_there_are_is_told_to_strangers(
    door, make_key, bearer, path
):
    assert door.get(path).status_code == 401
    headers = bearer(make_key("wallets:read")["key"])
    assert door.get(path, headers=headers).status_code in {404, 422}


def test_every_operation_says_what_it_asks_for(app, keyed):
    asked = operations(keyed)
    for name, operation in operations(app).items():
        if name in FREE:
            assert "security" not in operation
            continue
        scope = scope_of(asked[name])
        assert scope in set(Scope)
        # Where access is open, a key may be left out.
        assert operation["security"] == [{"api_key": [scope]}, {}]
        assert {"401", "403"} <= operation["responses"].keys(), name
        codes = operation["responses"]["401"]["content"]["application/problem+json"]
        assert len(codes["examples"]) == 5
    document = json.loads(keyed.test_client().get("/openapi.json").text)
    scheme = document["components"]["securitySchemes"]["api_key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for scope in Scope:
        assert f"`{scope}`" in scheme["description"]


def test_documentation_tells_each_endpoints_scope(every_operation):
    rows = [
        f"| `{name}` | `{scope_of(operation)}` |"
        for name, operation in every_operation.items()
        if name not in FREE
    ]
    table = re.findall(r"^\| `[A-Z]+ /api.*", ACCESS.read_text(), re.MULTILINE)
    assert table == rows


def test_a_service_with_a_view_that_asks_for_nothing_does_not_start(app):
    forgetful = WalletBlueprint("forgetful", __name__, url_prefix="/api/v1/forgotten")

    @forgetful.route("")
    @forgetful.response(200)
    def forgotten():
        """Forget"""

    fresh = create_app(Settings(database_url=app.config["SQLALCHEMY_DATABASE_URI"]))
    fresh.register_blueprint(forgetful)
    with pytest.raises(gate.ForgottenScopeError, match="/api/v1/forgotten"):
        gate.init_app(fresh, Settings())
