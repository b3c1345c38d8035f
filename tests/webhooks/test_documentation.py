"""The receiver in docs/events.md, run as it stands there."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from receivers import add, deliver_all, make_due, rows
from servers import free_port

from wallet_app.ledger import wallets

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"


@pytest.fixture
def documented(private, context, tmp_path):
    """The webhook of a running receiver, and what it prints."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    port = free_port()
    webhook = add(type("There", (), {"url": f"http://127.0.0.1:{port}/"})())
    file, output = tmp_path / "receiver.py", tmp_path / "output"
    file.write_text(code)
    environment = {"WEBHOOK_SECRET": webhook.secret, "PORT": str(port)}
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(file)],
            env=os.environ | environment,
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield webhook, output
    finally:
        process.terminate()
        process.wait()


def test_the_documented_receiver_takes_real_deliveries_once(documented):
    webhook, output = documented
    uuid, _ = wallets.create(currency="USD")
    # It may still be starting, which is a failure like any other.
    deliver_all(until=again_until_delivered)
    (line,) = output.read_text().splitlines()
    assert line.startswith(f'wallet.created {{"uuid": "{uuid}"')
    request = urllib.request.Request(webhook.url, b"{}", {"webhook-id": "forged"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request)


def again_until_delivered():
    make_due()
    return [row.state for row in rows()] == ["delivered"]
