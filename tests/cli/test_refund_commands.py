"""`flask wallet refund`."""

import json
import uuid


def test_a_deposit_is_refunded_in_parts(make_wallet, runner):
    wallet, paid, given_back = str(make_wallet()), str(uuid.uuid4()), str(uuid.uuid4())
    runner.invoke(args=["wallet", "deposit", wallet, "100", "--reference-id", paid])
    part = ["--amount", "30", "--reason", "Broken", "--expected-refunded", "0"]
    call = ["wallet", "refund", paid, *part, "--reference-id", given_back]
    result = runner.invoke(args=[*call, "--json"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["refunded"], shown["remaining"]) == ("30.00", "70.00")
    assert shown["transactions"][0]["description"] == "Broken"
    assert "Replayed" in runner.invoke(args=call).stderr
    shown = runner.invoke(args=["wallet", "refund", paid])
    assert "100.00 USD" in shown.output
    refused = runner.invoke(args=["wallet", "refund", paid])
    assert refused.exit_code == 1
    assert "0.00 USD is left" in refused.output + refused.stderr


def test_an_unknown_operation_is_told(app, runner):
    result = runner.invoke(args=["wallet", "refund", str(uuid.uuid4())])
    assert result.exit_code == 1
    assert "No operation" in result.output + result.stderr
