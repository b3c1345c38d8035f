"""Webhooks over HTTP."""

from uuid import uuid4

import pytest
from receivers import add, deliver_all
from sqlalchemy import text
from standardwebhooks import Webhook, WebhookVerificationError

from wallet_app.database import transaction
from wallet_app.ledger import wallets
from wallet_app.webhooks import registry

NOBODY = "123e4567-e89b-12d3-a456-426614174000"
PATH = "/api/v1/webhooks"
URL = "https://example.com/hook"


def create(client, **fields):
    answer = client.post(PATH, json={"url": URL, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{PATH}/{answer.json['id']}"
    return answer.json


def test_the_secret_is_shown_once(client):
    made = create(client)
    assert made["secret"].startswith("whsec_")
    assert made["event_types"] == [
        *("wallet.created", "transaction.posted", "wallet.updated"),
        *("wallet.frozen", "wallet.unfrozen", "wallet.closed"),
    ]
    assert (made["ordered"], made["disabled"]) == (True, False)
    shown = client.get(f"{PATH}/{made['id']}").json
    assert shown == {name: made[name] for name in made if name != "secret"}
    assert client.get(PATH).json == {"data": [shown]}


def test_a_webhook_is_changed_field_by_field(client):
    made = create(client, description="Ours", ordered=False)
    path = f"{PATH}/{made['id']}"
    changed = client.patch(path, json={"event_types": ["wallet.created"]}).json
    assert changed["event_types"] == ["wallet.created"]
    assert (changed["description"], changed["ordered"]) == ("Ours", False)
    off = client.patch(path, json={"disabled": True, "description": None}).json
    assert (off["disabled_reason"], off["description"]) == (
        "Disabled by request.",
        None,
    )
    on = client.patch(path, json={"disabled": False}).json
    assert (on["disabled"], on["disabled_reason"]) == (False, None)
    assert on == client.get(path).json


def test_a_deleted_webhook_is_not_there_any_more(client, refused):
    path = f"{PATH}/{create(client)['id']}"
    assert client.delete(path).status_code == 204
    for method in ("GET", "DELETE"):
        refused(404, "webhook_not_found", method, path)
    assert client.get(PATH).json == {"data": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": 5}, "url"),
        ({"url": "example.com"}, "url"),
        ({"url": "http://example.com"}, "url"),
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://user:secret@example.com"}, "url"),
        ({"url": "https://example.com:22/"}, "url"),
        ({"url": "https://example.com:99999/"}, "url"),
        ({"url": "https://example.com/#part"}, "url"),
        ({"url": "https://exa mple.com/"}, "url"),
        ({"url": "https://example.com/\r\nX: y"}, "url"),
        ({"url": "https://exämple.com/"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://example.com/" + "x" * 2000}, "url"),
        ({"url": URL, "event_types": []}, "event_types"),
        ({"url": URL, "event_types": ["webhook.test"]}, "event_types"),
        ({"url": URL, "event_types": "wallet.created"}, "event_types"),
        ({"url": URL, "disabled": "no"}, "disabled"),
        ({"url": URL, "ordered": 1}, "ordered"),
        ({"url": URL, "description": "x" * 501}, "description"),
        ({"url": URL, "description": "\0"}, "description"),
        ({"url": URL, "secret": "whsec_mine"}, "secret"),
    ],
)
def test_bad_input_is_refused_and_named(refused, client, body, field):
    problem = refused(422, "validation_failed", "POST", PATH, json=body)
    assert list(problem["errors"]) == [field]
    if field != "secret" and "url" in body and body["url"] != URL:
        path = f"{PATH}/{create(client)['id']}"
        refused(422, "validation_failed", "PATCH", path, json=body)


def test_there_are_only_so_many(client, refused, monkeypatch):
    monkeypatch.setattr(registry, "MAX_WEBHOOKS", 2)
    for _ in range(2):
        create(client)
    refused(409, "too_many_webhooks", "POST", PATH, json={"url": URL})


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", None),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{NOBODY}/redeliver", None),
    ],
)
def test_an_unknown_webhook_is_not_found(refused, method, rest, body):
    path = f"{PATH}/{uuid4()}{rest}"
    request = {} if body is None else {"json": body}
    refused(404, "webhook_not_found", method, path, **request)


def test_for_a_while_both_secrets_verify(client, webhook, receiver):
    path = f"{PATH}/{webhook.id}"
    new = client.post(f"{path}/rotate-secret").json
    assert new["secret"] != webhook.secret
    assert new["old_secret_until"] is not None
    for secret in (webhook.secret, new["secret"]):
        # The receiver answers 200 to what it has verified only.
        receiver.secret = secret
        assert client.post(f"{path}/test").status_code == 202
        deliver_all()
    assert len(receiver.told) == 2
    assert len(receiver.headers[0]["webhook-signature"].split()) == 2


def test_after_the_grace_period_the_old_secret_does_not(client, webhook, receiver):
    client.post(f"{PATH}/{webhook.id}/rotate-secret")
    with transaction() as connection:
        connection.execute(text("UPDATE webhooks SET old_secret_until = now()"))
    receiver.secret = None
    client.post(f"{PATH}/{webhook.id}/test")
    deliver_all()
    (headers,), ((_, body),) = receiver.headers, receiver.told
    assert len(headers["webhook-signature"].split()) == 1
    content = client.application.json.dumps(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.secret).verify(content, headers)


def test_deliveries_are_listed_in_pages_newest_first(client, webhook, receiver):
    for _ in range(5):
        wallets.create(currency="USD")
    deliver_all()
    receiver.answer = lambda *_: 500
    sent = client.post(f"{PATH}/{webhook.id}/test").json
    assert (sent["event_type"], sent["position"]) == ("webhook.test", None)
    assert (sent["state"], sent["attempts"]) == ("pending", 0)
    deliver_all()
    path, found, cursor = f"{PATH}/{webhook.id}/deliveries", [], ""
    while cursor is not None:
        page = client.get(f"{path}?limit=2{cursor and '&cursor='}{cursor}").json
        found += page["data"]
        cursor = page["next_cursor"]
    (test,) = [one for one in found if one["id"] == sent["id"]]
    others = [one for one in found if one is not test]
    assert [one["position"] for one in others] == [5, 4, 3, 2, 1]
    assert {one["state"] for one in others} == {"delivered"}
    assert {one["next_attempt_at"] for one in others} == {None}
    assert (test["state"], test["http_status"]) == ("pending", 500)
    assert test["error"] == "It answered 500."
    assert test["next_attempt_at"] > test["last_attempt_at"]


def test_a_delivery_is_made_again_on_request(client, webhook, receiver):
    wallets.create(currency="USD")
    deliver_all()
    path = f"{PATH}/{webhook.id}/deliveries"
    (delivered,) = client.get(path).json["data"]
    again = client.post(f"{path}/{delivered['id']}/redeliver")
    assert (again.status_code, again.json["state"]) == (202, "pending")
    deliver_all()
    assert [the_id for the_id, _ in receiver.told] == [delivered["id"]] * 2


def test_what_a_webhook_does_not_have_is_not_delivered_again(
    client, webhook, receiver, refused
):
    wallets.create(currency="USD")
    deliver_all()
    (delivered,) = client.get(f"{PATH}/{webhook.id}/deliveries").json["data"]
    for owner, delivery in ((add(receiver).id, delivered["id"]), (webhook.id, uuid4())):
        path = f"{PATH}/{owner}/deliveries/{delivery}/redeliver"
        refused(404, "delivery_not_found", "POST", path)


def test_a_disabled_webhook_delivers_nothing_on_request(client, refused):
    made = create(client, disabled=True)
    assert made["disabled_reason"] == "Disabled by request."
    path = f"{PATH}/{made['id']}"
    refused(409, "webhook_disabled", "POST", f"{path}/test")
    refused(409, "webhook_disabled", "POST", f"{path}/deliveries/{uuid4()}/redeliver")


def test_a_cursor_of_another_list_is_refused(client, refused):
    path = f"{PATH}/{create(client)['id']}/deliveries?cursor=WyJhc2MiLDFd"
    problem = refused(422, "validation_failed", "GET", path)
    assert list(problem["errors"]) == ["cursor"]
