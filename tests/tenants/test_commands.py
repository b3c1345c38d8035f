"""The command line: `flask wallet --tenant NAME ...` is that tenant's."""

import json

import pytest

from wallet_app.feed import relay


@pytest.fixture
def call(runner, context):
    """Call `flask wallet ...`, for acme or for nobody in particular."""

    def run(*arguments, of=None, exit_code=0):
        tenant = () if of is None else ("--tenant", of)
        result = runner.invoke(args=["wallet", *tenant, *map(str, arguments)])
        assert result.exit_code == exit_code, result.output
        return result.output

    run("tenants", "create", "acme")
    return run


def made(call, *arguments, of=None):
    return json.loads(call(*arguments, "--json", of=of))


def not_found(call, *arguments, of=None):
    return "not_found" in call(*arguments, of=of, exit_code=1)


def test_a_wallet_is_its_tenants_and_nobody_elses(call):
    wallet = made(call, "create", of="acme")["uuid"]
    call("deposit", wallet, 5, of="acme")
    call("hold", wallet, 2, of="acme")
    call("set", wallet, "--owner", "ann", of="acme")
    call("set-limits", wallet, "--largest-operation", 9, of="acme")
    assert made(call, "show", wallet, of="acme")["available"] == "3.00"
    assert "5.00" in call("history", wallet, of="acme")
    for command in ("show", "history", "holds", "limits"):
        assert made(call, command, wallet, of="acme")
        assert not_found(call, command, wallet)
    assert not_found(call, "deposit", wallet, 5)
    assert not_found(call, "freeze", wallet, "--reason", "lost")


def test_lists_and_figures_are_the_tenants(call):
    wallet = made(call, "create", of="acme")["uuid"]
    call("deposit", wallet, 5, of="acme")
    call("webhooks", "add", "https://example.com/hook", of="acme")
    for command, of_acme in (
        (("list",), 1),
        (("transactions",), 1),
        (("webhooks", "list"), 1),
        (("stats",), 1),
    ):
        ours, theirs = made(call, *command), made(call, *command, of="acme")
        assert count(ours) == 0
        assert count(theirs) == of_acme
    while relay.relay():
        pass
    tail = ("events", "tail", "--after", 0, "--count", 1)
    assert wallet in call(*tail, of="acme")


def count(document):
    if isinstance(document, list):
        return len(document)
    return len(document["data"] if "data" in document else document["currencies"])


def test_what_is_done_is_in_the_tenants_audit_log(call):
    wallet = made(call, "create", of="acme")["uuid"]
    call("freeze", wallet, "--reason", "lost", of="acme")
    (frozen, _) = made(call, "audit-log", of="acme")
    assert (frozen["object"], frozen["actor"]) == (wallet, "cli")
    assert made(call, "audit-log") == []


def test_two_tenants_have_the_same_demo(call):
    call("demo")
    told = call("demo", of="acme")
    assert "5 wallets" in told
    assert len(made(call, "list", of="acme")["data"]) == 5
    assert "nothing to add" in call("demo", of="acme")


def test_a_file_is_imported_for_the_tenant(call, tmp_path):
    wallet = made(call, "create", of="acme")["uuid"]
    file = tmp_path / "moves.ndjson"
    line = {"operation_type": "DEPOSIT", "wallet": wallet, "amount": "7.00"}
    file.write_text(json.dumps(line | {"reference_id": wallet}))
    assert "0 applied" in call("import", file, exit_code=1)
    assert "1 applied" in call("import", file, of="acme")
    assert made(call, "show", wallet, of="acme")["balance"] == "7.00"


def test_environment_may_name_the_tenant(call, monkeypatch):
    wallet = made(call, "create", of="acme")["uuid"]
    monkeypatch.setenv("WALLET_TENANT", "acme")
    assert made(call, "show", wallet)["uuid"] == wallet
    assert not_found(call, "show", wallet, of="default")


def test_unknown_tenant_is_named(call):
    said = call("create", of="nobody", exit_code=1)
    assert said == "Error: There is no tenant nobody. (tenant_not_found)\n"
    assert "tenant" in call("create", of="", exit_code=2)
