import json
from uuid import UUID, uuid4

import psycopg
import pytest

REFERENCE = "9e107d9d-372b-4b6e-8b9e-0123456789ab"


@pytest.fixture
def wallet(runner):
    """Call `flask wallet ...`."""

    def call(*arguments):
        return runner.invoke(args=["wallet", *map(str, arguments)])

    return call


def lines_of(result):
    assert result.exit_code == 0, result.stderr
    return dict(line.split(maxsplit=1) for line in result.stdout.splitlines())


def document_of(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_create_shows_the_new_wallet(wallet):
    shown = lines_of(wallet("create", "--currency", "KWD"))
    assert shown["balance"] == "0.000 KWD"
    assert lines_of(wallet("show", shown["uuid"])) == shown


def test_create_with_the_same_uuid_makes_one_wallet(wallet):
    uuid = uuid4()
    first = wallet("create", "--uuid", uuid)
    second = wallet("create", "--uuid", uuid)
    assert first.stdout == second.stdout
    assert (first.stderr, second.stderr[:8]) == ("", "Replayed")


def test_create_refuses_a_uuid_of_another_currency(wallet, make_wallet):
    uuid = make_wallet()
    result = wallet("create", "--uuid", uuid, "--currency", "EUR")
    assert result.exit_code == 1
    assert result.stderr == f"Error: The wallet {uuid} holds USD, not EUR.\n"


def test_json_is_what_the_api_answers(wallet, client, make_wallet):
    uuid = make_wallet(5)
    moved = document_of(wallet("withdraw", uuid, "1.50", "--json"))
    base = f"/api/v1/wallets/{uuid}"
    page = client.get(f"{base}/transactions").json
    assert document_of(wallet("show", uuid, "--json")) == client.get(base).json
    assert document_of(wallet("history", uuid, "--json")) == page
    assert moved == page["data"][0]


def test_deposit_and_withdraw_move_money(wallet, make_wallet):
    uuid = make_wallet()
    lines_of(wallet("deposit", uuid, "1000"))
    moved = lines_of(wallet("withdraw", uuid, "500", "--description", "Rent"))
    assert moved["amount"] == "500.00 USD"
    assert moved["balance"] == "500.00 USD"
    assert moved["seq"] == "2"
    assert lines_of(wallet("show", uuid))["balance"] == "500.00 USD"


def test_what_is_held_is_shown(wallet, make_wallet):
    uuid = make_wallet(10)
    wallet("hold", uuid, "4")
    shown = lines_of(wallet("show", uuid))
    funds = [shown[name] for name in ("balance", "held", "available")]
    assert funds == ["10.00 USD", "4.00 USD", "6.00 USD"]
    newest = wallet("history", uuid).stdout.splitlines()[1]
    assert newest.split()[-2:] == ["10.00", "4.00"]


def test_what_was_said_of_a_wallet_can_be_cleared(wallet, make_wallet):
    uuid = make_wallet()
    said = ("--owner", "ann", "--name", "Savings", "--label", "vip")
    lines_of(wallet("set", uuid, *said, "--metadata", "order=1"))
    cleared = ("--clear", "owner", "--clear", "labels", "--clear", "metadata")
    shown = document_of(wallet("set", uuid, *cleared, "--json"))
    details = [shown[name] for name in ("owner", "name", "labels", "metadata")]
    assert details == [None, "Savings", [], None]
    refused = wallet("set", uuid, "--name", "x", "--clear", "name")
    assert (refused.exit_code, "set or clear: name" in refused.stderr) == (2, True)
    assert wallet("set", uuid).exit_code == 2


def test_deposit_with_same_reference_moves_money_once(wallet, make_wallet):
    uuid = make_wallet()
    first = wallet("deposit", uuid, "7", "--reference-id", REFERENCE)
    second = wallet("deposit", uuid, "7", "--reference-id", REFERENCE)
    assert first.stdout == second.stdout
    assert "Replayed" in second.stderr
    assert lines_of(wallet("show", uuid))["balance"] == "7.00 USD"


def test_reference_of_another_operation_is_refused(wallet, make_wallet):
    uuid = make_wallet()
    wallet("deposit", uuid, "7", "--reference-id", REFERENCE)
    result = wallet("deposit", uuid, "8", "--reference-id", REFERENCE)
    assert result.exit_code == 1
    assert "idempotency_key_reused" in result.stderr


def test_insufficient_funds_tell_what_is_there_and_what_is_missing(wallet, make_wallet):
    result = wallet("withdraw", make_wallet(5), "7.5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "available 5.00" in result.stderr
    assert "short_by 2.50" in result.stderr


def test_amount_with_too_many_digits_is_refused(wallet, make_wallet):
    result = wallet("deposit", make_wallet(), "1.001")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: USD has 2 digits after the decimal point. (invalid_amount)\n"
    )


@pytest.mark.parametrize("command", [["show"], ["history"], ["deposit", "1"]])
def test_unknown_wallet_is_refused(wallet, command):
    uuid = uuid4()
    result = wallet(command[0], uuid, *command[1:])
    assert result.exit_code == 1
    assert result.stderr == f"Error: There is no wallet {uuid}. (wallet_not_found)\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "no-uuid"],
        ["show"],
        ["deposit", str(UUID(int=1)), "1e3"],
        ["deposit", str(UUID(int=1)), "0"],
        ["deposit", str(UUID(int=1)), "-5"],
        ["deposit", str(UUID(int=1)), "1", "--description", "x" * 1001],
        ["deposit", str(UUID(int=1)), "1", "--reference-id", "x"],
        ["create", "--currency", "usd"],
        ["history", str(UUID(int=1)), "--limit", "1001"],
        ["history", str(UUID(int=1)), "--since", "2026-01-31"],
        ["history", str(UUID(int=1)), "--type", "GIFT"],
        ["history", str(UUID(int=1)), "--cursor", "x"],
        ["nothing"],
    ],
)
def test_wrong_usage_ends_with_2(wallet, arguments):
    result = wallet(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_history_shows_signed_amounts_in_aligned_columns(wallet, make_wallet):
    uuid = make_wallet(1000)
    wallet("withdraw", uuid, "4.50", "--description", "Coffee")
    header, newest, oldest = wallet("history", uuid).stdout.splitlines()
    assert header.split() == [
        "seq",
        "time",
        "type",
        "amount",
        "balance",
        "held",
        "description",
    ]
    assert newest.split()[3:] == ["WITHDRAW", "-4.50", "995.50", "0.00", "Coffee"]
    assert oldest.split()[3:] == ["DEPOSIT", "+1000.00", "1000.00", "0.00"]
    assert end_of("amount", header) == end_of("-4.50", newest)
    assert end_of("amount", header) == end_of("+1000.00", oldest)


def end_of(word, line):
    return line.index(word) + len(word)


def test_history_of_an_empty_wallet_says_so(wallet, make_wallet):
    assert wallet("history", make_wallet()).stdout == "No transactions.\n"


def test_history_pages_go_on_at_the_cursor(wallet, make_wallet):
    uuid = make_wallet(3)
    wallet("deposit", uuid, "1")
    wallet("deposit", uuid, "2")
    seqs, cursor = [], []
    for _ in range(3):
        result = wallet("history", uuid, "--limit", "1", "--json", *cursor)
        page = document_of(result)
        seqs += [entry["seq"] for entry in page["data"]]
        cursor = ["--cursor", page["next_cursor"]]
    assert seqs == [3, 2, 1]
    assert not page["has_more"]
    assert "--cursor" in wallet("history", uuid, "--limit", "2").stdout


def test_cursor_of_the_other_order_is_wrong_usage(wallet, make_wallet):
    uuid = make_wallet(3)
    wallet("deposit", uuid, "1")
    page = document_of(wallet("history", uuid, "--limit", "1", "--json"))
    result = wallet("history", uuid, "--order", "asc", "--cursor", page["next_cursor"])
    assert result.exit_code == 2


def test_history_filters_combine(wallet, make_wallet):
    uuid = make_wallet(10)
    withdrawal = document_of(wallet("withdraw", uuid, "1", "--json"))
    wallet("deposit", uuid, "2")

    def seqs(*options):
        page = document_of(wallet("history", uuid, "--json", *options))
        return [entry["seq"] for entry in page["data"]]

    moment = withdrawal["created_at"]
    assert seqs("--type", "deposit") == [3, 1]
    assert seqs("--since", moment, "--order", "asc") == [2, 3]
    assert seqs("--until", moment) == [1]
    assert seqs("--type", "WITHDRAW", "--until", moment) == []


def test_description_cannot_steer_the_terminal(wallet, make_wallet):
    uuid = make_wallet()
    wallet("deposit", uuid, "1", "--description", "\x1b[2Jgone\nline")
    line = wallet("history", uuid).stdout.splitlines()[1]
    assert line.endswith("?[2Jgone?line")


def test_description_that_the_terminal_cannot_encode_is_escaped(app, make_wallet):
    runner = app.test_cli_runner(charset="ascii")
    uuid = str(make_wallet())
    arguments = ["wallet", "deposit", uuid, "1", "--description", "Z\u00fcrich"]
    assert runner.invoke(args=arguments).exit_code == 0
    shown = runner.invoke(args=["wallet", "history", uuid])
    assert "Z\\xfcrich" in shown.stdout


def test_long_and_wide_descriptions_keep_the_columns(wallet, make_wallet):
    uuid = make_wallet()
    wallet("deposit", uuid, "1", "--description", "\u5bff" * 100)
    line = wallet("history", uuid).stdout.splitlines()[1]
    assert line.endswith("\u5bff" * 22 + "...")


@pytest.fixture
def unreachable(make_app):
    """The command line of a service whose database does not run."""
    app = make_app(database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    return app.test_cli_runner()


@pytest.mark.parametrize(
    "arguments",
    [
        ["create"],
        ["show", REFERENCE],
        ["history", REFERENCE],
        ["deposit", REFERENCE, "1"],
        ["withdraw", REFERENCE, "1", "--json"],
        ["demo"],
        ["seed", "--operations", "1"],
        ["rollup"],
    ],
)
def test_unreachable_database_is_one_line(unreachable, arguments):
    result = unreachable.invoke(args=["wallet", *arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: The database ")
    assert result.stderr.count("\n") == 1


def test_operation_that_was_never_sent_is_not_applied(unreachable):
    result = unreachable.invoke(args=["wallet", "deposit", REFERENCE, "1"])
    assert "applied no" in result.stderr


def test_unknown_outcome_tells_how_to_repeat_it(wallet, make_wallet, monkeypatch):
    uuid = make_wallet()

    def break_the_link(connection):
        connection.close()
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr("wallet_app.database.pipelines.commit", break_the_link)
    result = wallet("deposit", uuid, "1", "--reference-id", REFERENCE)
    assert f"--reference-id {REFERENCE}" in result.stderr


def test_freeze_unfreeze_and_close_change_what_a_wallet_may_do(wallet, make_wallet):
    uuid = make_wallet(0)
    why = ("--reason", "asked for")
    assert (
        lines_of(wallet("freeze", uuid, "--block", "out", *why))["status"] == "frozen"
    )
    assert wallet("deposit", uuid, 1).exit_code == 0
    assert wallet("withdraw", uuid, 1).exit_code == 1
    assert "wallet_not_empty" in wallet("close", uuid, *why).stderr
    assert lines_of(wallet("unfreeze", uuid, *why))["status"] == "active"
    assert wallet("withdraw", uuid, 1).exit_code == 0
    assert lines_of(wallet("close", uuid, *why))["status"] == "closed"
    assert wallet("freeze", uuid).exit_code == 2
