"""`flask wallet limits` and `set-limits`."""

import json


def test_limits_are_set_shown_and_taken_away(make_wallet, runner):
    wallet = str(make_wallet(100))

    def run(*arguments, status=0):
        result = runner.invoke(args=["wallet", *arguments])
        assert result.exit_code == status, result.output
        return result.output

    run("set-limits", wallet, "--minimum-balance=-5", "--day-max-count", "2")
    shown = json.loads(run("limits", wallet, "--json"))
    assert shown["minimum_balance"] == "-5.00"
    run("withdraw", wallet, "103")
    lines = run("limits", wallet).splitlines()
    assert [line.split() for line in lines] == [
        ["minimum", "balance", "-5.00", "USD"],
        ["day,", "operations", "1", "of", "2"],
    ]
    assert "bring it up to the minimum" in run("set-limits", wallet, status=1)
    run("deposit", wallet, "3")
    assert "day" not in run("set-limits", wallet)


def test_what_is_no_limit_is_a_usage_error(make_wallet, runner):
    wallet = str(make_wallet())
    for option in ("--hour-max-count=0", "--maximum-balance=x"):
        result = runner.invoke(args=["wallet", "set-limits", wallet, option])
        assert result.exit_code == 2, result.output
