"""A receiver, and a webhook that leads to it."""

import pytest
import receivers


@pytest.fixture
def receiver():
    receiver = receivers.Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def private(app, monkeypatch):
    monkeypatch.setitem(app.extensions, "webhooks_private", True)


@pytest.fixture
def webhook(private, context, receiver):
    return receivers.add(receiver)
