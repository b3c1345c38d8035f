"""`flask wallet list`, `transactions`, `set`, and what `create` takes besides."""

import json

import pytest

from wallet_app.finding import walks


@pytest.fixture
def run(runner):
    """Run a command that succeeds; return what it prints, as JSON if it is."""

    def invoke(*arguments):
        result = runner.invoke(args=["wallet", *arguments])
        assert result.exit_code == 0, result.output
        return json.loads(result.output) if "--json" in arguments else result.output

    return invoke


def test_wallets_are_created_described_and_listed(run):
    said = ("--owner", "ann", "--name", "One", "--label", "a", "--label", "b")
    first = run("create", *said, "--metadata", "segment=eu", "--json")
    assert (first["owner"], first["labels"]) == ("ann", ["a", "b"])
    assert first["metadata"] == {"segment": "eu"}
    second = run("create", "--currency", "EUR", "--json")["uuid"]
    changed = run("set", second, "--owner", "ann", "--json")
    assert (changed["owner"], changed["labels"]) == ("ann", [])
    shown = run("list", "--owner", "ann", "--currency", "USD")
    assert first["uuid"] in shown
    assert "a, b" in shown
    assert second not in shown
    listed = run("list", "--label", "b", "--json")
    assert listed == {"data": [first], "has_more": False, "next_cursor": None}


def test_transactions_are_searched_page_by_page(run, monkeypatch):
    wallet = run("create", "--json")["uuid"]
    entries = [
        run("deposit", wallet, amount, "--metadata", "order=7", "--json")
        for amount in ("1", "2")
    ]
    page = run("transactions", "--metadata", "order=7", "--limit", "1", "--json")
    assert page["data"] == entries[1:]
    more = ("--metadata", "order=7", "--cursor", page["next_cursor"], "--json")
    assert run("transactions", *more)["data"] == entries[:1]
    monkeypatch.setattr(walks, "MOST_LOOKED_AT", 1)
    shown = run("transactions", "--operation-type", "CAPTURE")
    assert "--cursor" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--sort", "balance"],
        ["list", "--cursor", "nonsense"],
        ["transactions", "--wallet", "00000000-0000-4000-8000-000000000000"],
        ["transactions", "--metadata", "{"],
        ["create", "--label", "a", "--label", "a"],
        ["set", "123e4567-e89b-12d3-a456-426614174000"],
    ],
)
def test_what_cannot_be_is_a_line_and_no_traceback(runner, arguments):
    result = runner.invoke(args=["wallet", *arguments])
    assert result.exit_code != 0
    assert "Traceback" not in result.output
