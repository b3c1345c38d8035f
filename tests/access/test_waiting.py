"""Who waits for events is told no more once the key is revoked."""

import threading

import pytest

from wallet_app.access import keys, known_keys
from wallet_app.events import following

EVENTS = "/api/v1/events"
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def at_once(monkeypatch):
    """What is known of a key is asked for anew each time."""
    monkeypatch.setattr(known_keys, "TRUSTED_S", 0.0)
    monkeypatch.setattr(following, "CHECK_S", 0.01)


@pytest.fixture
def revoked_meanwhile(app, keyed, make_key, at_once, monkeypatch):
    """A key that is revoked as soon as its bearer waits for events."""
    made = make_key("wallets:read")
    waits = threading.Event()
    followers = keyed.extensions["followers"]
    wait_behind = followers.wait_behind

    def note(*arguments):
        waits.set()
        return wait_behind(*arguments)

    def revoke():
        if waits.wait(30):
            with app.app_context():
                keys.revoke(made["id"], tenant_id=None)

    monkeypatch.setattr(followers, "wait_behind", note)
    thread = threading.Thread(target=revoke)
    thread.start()
    yield made["key"]
    thread.join()


def test_a_stream_ends_with_its_key(door, revoked_meanwhile, bearer, monkeypatch):
    """It would last longer than a test may take, with a sign of life at its end."""
    monkeypatch.setattr(following, "STREAM_S", 60.0)
    monkeypatch.setattr(following, "SIGN_OF_LIFE_S", 59.0)
    headers = bearer(revoked_meanwhile) | STREAM
    assert door.get(EVENTS, headers=headers).text == "retry: 500\n\n"
    assert door.get(EVENTS, headers=headers).status_code == 401


def test_a_stream_goes_on_with_its_key(door, make_key, bearer, at_once, monkeypatch):
    monkeypatch.setattr(following, "STREAM_S", 1.0)
    monkeypatch.setattr(following, "SIGN_OF_LIFE_S", 0.05)
    headers = bearer(make_key("wallets:read")["key"]) | STREAM
    text = door.get(EVENTS, headers=headers).text
    assert text.count(": still here\n\n") > 1


def test_a_long_poll_ends_with_its_key(door, revoked_meanwhile, bearer):
    answer = door.get(f"{EVENTS}?wait=30", headers=bearer(revoked_meanwhile))
    assert (answer.status_code, answer.json["code"]) == (401, "api_key_revoked")
