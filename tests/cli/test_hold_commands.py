"""`flask wallet hold`, and what is done with holds."""

import json


def test_a_hold_is_made_captured_and_listed(make_wallet, runner):
    wallet, target = str(make_wallet(100)), str(make_wallet())

    def run(*arguments):
        result = runner.invoke(args=["wallet", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    made = run("hold", wallet, "80")["hold"]
    assert run("increase", made["id"], "5")["hold"]["remaining"] == "85.00"
    part = run("capture", made["id"], "--amount", "30", "--to-wallet", target)
    assert part["hold"]["remaining"] == "55.00"
    assert run("void", made["id"])["hold"]["status"] == "captured"
    [listed] = run("holds", wallet, "--status", "captured")
    assert (listed["id"], listed["closed_by"]) == (made["id"], "void")
    shown = runner.invoke(args=["wallet", "holds", wallet])
    assert made["id"] in shown.output


def test_an_unknown_hold_is_told(app, runner):
    unknown = "123e4567-e89b-12d3-a456-426614174000"
    result = runner.invoke(args=["wallet", "void", unknown])
    assert result.exit_code == 1
    assert "no hold" in result.output + result.stderr
