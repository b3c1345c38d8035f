"""flask wallet keys, tenants and audit-log."""

import json

import pytest
from sqlalchemy import text

from wallet_app.database import transaction


def run(runner, *arguments, exit_code=0):
    result = runner.invoke(args=["wallet", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result.output


def create(runner, *more, scopes="wallets:read"):
    options = ("--name", "shop", "--scopes", scopes, "--json", *more)
    return json.loads(run(runner, "keys", "create", *options))


def test_a_key_is_made_listed_rotated_and_revoked(runner, context):
    made = create(runner, "--expires", "2099-01-01T00:00:00Z")
    assert made["key"].startswith(f"wk_live_{made['id']}_")
    shown = json.loads(run(runner, "keys", "show", made["id"], "--json"))
    assert shown == {name: made[name] for name in made if name != "key"}
    (listed,) = json.loads(run(runner, "keys", "list", "--json"))
    assert listed == shown
    table = run(runner, "keys", "list")
    assert "2099-01-01" in table
    assert "never" in table
    rotated = run(runner, "keys", "rotate", made["id"], "--grace-seconds", 5)
    assert f"wk_live_{made['id']}_" in rotated
    assert made["key"] not in rotated
    run(runner, "keys", "revoke", made["id"])
    assert "revoked" in run(runner, "keys", "list")
    refused = run(runner, "keys", "rotate", made["id"], exit_code=1)
    assert "key_not_active" in refused


def test_all_scopes_have_a_short_name(runner, context):
    assert len(create(runner, scopes="all")["scopes"]) == 6


def test_a_tenant_has_keys_and_a_log_of_its_own(runner, context):
    run(runner, "tenants", "create", "acme")
    made = create(runner, "--tenant", "acme")
    assert json.loads(run(runner, "keys", "list", "--json")) == []
    (listed,) = json.loads(run(runner, "keys", "list", "--tenant", "acme", "--json"))
    assert listed["id"] == made["id"]
    names = [
        one["name"] for one in json.loads(run(runner, "tenants", "list", "--json"))
    ]
    assert names == ["acme", "default"]
    assert "acme" not in run(runner, "tenants", "list", "--after", "acme")
    log = json.loads(run(runner, "audit-log", "--tenant", "acme", "--json"))
    assert [one["action"] for one in log] == ["key.created", "tenant.created"]
    assert {one["actor"] for one in log} == {"cli"}
    line = run(runner, "audit-log", "--tenant", "acme", "--action", "key.created")
    assert made["id"] in line
    assert json.loads(run(runner, "audit-log", "--json", "--object", "acme")) == []


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["keys", "create", "--name", "a", "--scopes", "fly"], 2, "fly is none of"),
        (["keys", "create", "--name", "", "--scopes", "all"], 2, "name"),
        (["keys", "create", "--name", "a"], 2, "--scopes"),
        (
            ["keys", "create", "--name", "a", "--scopes", "all", "--tenant", "none"],
            1,
            "tenant_not_found",
        ),
        (
            [
                *("keys", "create", "--name", "a", "--scopes", "all"),
                *("--expires", "2020-01-01T00:00:00Z"),
            ],
            1,
            "validation_failed",
        ),
        (["keys", "show", "nobody"], 1, "key_not_found"),
        (["keys", "list", "--tenant", "none"], 1, "tenant_not_found"),
        (["tenants", "create", "default"], 1, "tenant_exists"),
    ],
)
def test_a_mistake_is_named(runner, context, arguments, exit_code, said):
    assert said in run(runner, *arguments, exit_code=exit_code)


def test_what_the_list_shows_cannot_steer_a_terminal(runner, context):
    made = create(runner)
    with transaction() as connection:
        connection.execute(text("UPDATE api_keys SET name = E'\\x1b[2J'"))
    assert "\x1b" not in run(runner, "keys", "list")
    assert "\x1b" not in run(runner, "keys", "show", made["id"])
