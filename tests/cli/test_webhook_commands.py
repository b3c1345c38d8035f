"""flask wallet webhooks."""

import json

from standardwebhooks import Webhook

URL = "https://example.com/hook"


def run(runner, *arguments, exit_code=0):
    result = runner.invoke(args=["wallet", "webhooks", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_what_is_added_is_listed_without_its_secret(runner, context):
    made = json.loads(run(runner, "add", URL, "--unordered", "--json"))
    assert Webhook(made["secret"])
    assert (made["ordered"], len(made["event_types"])) == (False, 6)
    (listed,) = json.loads(run(runner, "list", "--json"))
    assert listed == {name: made[name] for name in made if name != "secret"}
    assert URL in run(runner, "list")
    assert "enabled" in run(runner, "list")


def test_an_event_type_can_be_chosen(runner, context):
    text = run(runner, "add", URL, "--event", "wallet.created")
    assert "event_types" in text
    assert "whsec_" in text
    (listed,) = json.loads(run(runner, "list", "--json"))
    assert listed["event_types"] == ["wallet.created"]


def test_a_test_is_made_and_made_again(runner, context):
    webhook = json.loads(run(runner, "add", URL, "--json"))["id"]
    sent = json.loads(run(runner, "test", webhook, "--json"))
    assert (sent["event_type"], sent["state"]) == ("webhook.test", "pending")
    assert sent["id"] in run(runner, "redeliver", webhook, sent["id"])


def test_a_refusal_is_one_line(runner, context):
    refused = run(runner, "add", "http://example.com", exit_code=1)
    assert "validation_failed" in refused
    nobody = "123e4567-e89b-12d3-a456-426614174000"
    assert "webhook_not_found" in run(runner, "test", nobody, exit_code=1)
