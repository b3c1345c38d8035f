"""`flask wallet events`: what happens, in the terminal."""

import json

from ops import Crowd

from wallet_app.feed import relay


def relay_all(app):
    with app.app_context():
        while relay.relay():
            pass


def tail(runner, *options):
    result = runner.invoke(args=["wallet", "events", "tail", *options])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_events_are_told_line_by_line(app, runner, make_wallet):
    wallet = make_wallet(10)
    relay_all(app)
    created, posted = tail(runner, "--after", "0", "--count", "2")
    assert created.split() == [
        "1",
        *created.split()[1:3],
        "wallet.created",
        str(wallet),
    ]
    assert posted.split()[-2:] == ["DEPOSIT", "10.00"]
    (line,) = tail(runner, "--after", "1", "--count", "1", "--json")
    assert json.loads(line)["data"]["balance_after"] == "10.00"


def test_without_a_position_it_begins_now(app, runner, make_wallet):
    make_wallet()
    relay_all(app)
    tailing = Crowd(app, 1).start(tail, app.test_cli_runner(), "--count", "1")
    while not tailing.done():
        make_wallet()
        relay_all(app)
    (line,) = tailing.result()
    assert int(line.split()[0]) > 1
