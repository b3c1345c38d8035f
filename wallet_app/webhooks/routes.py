"""Webhooks over HTTP."""

from typing import Any
from uuid import UUID

from wallet_app.database import AnyRow, reading
from wallet_app.errors import (
    DeliveryNotFound,
    InvalidRequest,
    TooManyWebhooks,
    Unavailable,
    WebhookDisabled,
    WebhookNotFound,
)
from wallet_app.http.api import BODY_PROBLEMS, LOCATION, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.fields import Uuid
from wallet_app.http.pages import PageQuery, decode_position, page_of, read_seq
from wallet_app.http.scopes import Scope
from wallet_app.webhooks import deliveries, registry
from wallet_app.webhooks.schemas import (
    URL,
    DeliveryDetails,
    DeliveryPage,
    NewWebhook,
    WebhookChange,
    WebhookDetails,
    WebhookList,
    WebhookWithSecret,
)

blp = WalletBlueprint(
    "webhooks",
    __name__,
    url_prefix="/api/v1/webhooks",
    description="Tell other servers of events",
)
ITS_CALLS = {
    name: {"operationId": name, "parameters": {"webhook_id": "$response.body#/id"}}
    for name in (
        "get_webhook",
        "change_webhook",
        "rotate_webhook_secret",
        "list_deliveries",
        "test_webhook",
        "delete_webhook",
    )
}


@blp.route("", methods=["POST"], scope=Scope.WEBHOOKS_WRITE)
@blp.arguments(NewWebhook, example={"url": URL})
@blp.doc(responses={201: {"links": ITS_CALLS}})
@blp.problems(*BODY_PROBLEMS, TooManyWebhooks)
@blp.response(201, WebhookWithSecret, headers=LOCATION)
def create_webhook(body: dict[str, Any]) -> Any:
    """Add a webhook

    It is told of what happens from now on, with signatures as Standard Webhooks has
    them. The secret is shown in this answer only.
    """
    webhook = registry.create(caller().tenant_id, **body)
    return webhook, 201, {"Location": f"{blp.url_prefix}/{webhook.id}"}


@blp.route("", scope=Scope.WEBHOOKS_WRITE)
@blp.problems(InvalidRequest, Unavailable)
@blp.response(200, WebhookList)
def list_webhooks() -> Any:
    """List all webhooks, oldest first"""
    return {"data": registry.list_all(caller().tenant_id)}


@blp.route("/<uuid:webhook_id>", scope=Scope.WEBHOOKS_WRITE)
@blp.problems(WebhookNotFound, InvalidRequest, Unavailable)
@blp.response(200, WebhookDetails)
def get_webhook(webhook_id: UUID) -> Any:
    """Read a webhook"""
    with reading() as connection:
        return registry.find(connection, caller().tenant_id, webhook_id)


@blp.route("/<uuid:webhook_id>", methods=["PATCH"], scope=Scope.WEBHOOKS_WRITE)
@blp.arguments(WebhookChange, example={"disabled": False})
@blp.problems(*BODY_PROBLEMS, WebhookNotFound)
@blp.response(200, WebhookDetails)
def change_webhook(body: dict[str, Any], webhook_id: UUID) -> Any:
    """Change a webhook

    Enabled again, it gets what was pending, and what happens from then on.
    """
    return registry.change(caller().tenant_id, webhook_id, **body)


@blp.route("/<uuid:webhook_id>", methods=["DELETE"], scope=Scope.WEBHOOKS_WRITE)
@blp.problems(WebhookNotFound, InvalidRequest, Unavailable)
@blp.response(204)
def delete_webhook(webhook_id: UUID) -> None:
    """Delete a webhook and its deliveries"""
    registry.delete(caller().tenant_id, webhook_id)


@blp.route(
    "/<uuid:webhook_id>/rotate-secret", methods=["POST"], scope=Scope.WEBHOOKS_WRITE
)
@blp.problems(WebhookNotFound, InvalidRequest, Unavailable)
@blp.response(200, WebhookWithSecret)
def rotate_webhook_secret(webhook_id: UUID) -> Any:
    """Give a webhook a new secret

    For 24 hours, the one before it signs too. The new one is shown in this answer only.
    """
    return registry.rotate_secret(caller().tenant_id, webhook_id)


@blp.route("/<uuid:webhook_id>/deliveries", scope=Scope.WEBHOOKS_WRITE)
@blp.arguments(PageQuery, location="query")
@blp.problems(WebhookNotFound, InvalidRequest, Unavailable)
@blp.response(200, DeliveryPage)
def list_deliveries(query: dict[str, Any], webhook_id: UUID) -> Any:
    """List a webhook's deliveries of the last week, newest first"""
    limit = query["limit"]
    before = decode_position(query["cursor"], "deliveries", read_place)
    with reading() as connection:
        registry.find(connection, caller().tenant_id, webhook_id)
        rows = deliveries.list_page(
            connection, webhook_id, limit=limit + 1, before=before
        )
    page = page_of(rows, limit, lambda row: ("deliveries", place_of(row)))
    return page | {"data": [details(row) for row in page["data"]]}


@blp.route(
    "/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver",
    methods=["POST"],
    scope=Scope.WEBHOOKS_WRITE,
)
@blp.problems(
    WebhookNotFound, DeliveryNotFound, WebhookDisabled, InvalidRequest, Unavailable
)
@blp.response(202, DeliveryDetails)
def redeliver(webhook_id: UUID, delivery_id: UUID) -> Any:
    """Deliver something once more"""
    tenant_id = caller().tenant_id
    return details(deliveries.redeliver(tenant_id, webhook_id, delivery_id))


@blp.route("/<uuid:webhook_id>/test", methods=["POST"], scope=Scope.WEBHOOKS_WRITE)
@blp.problems(WebhookNotFound, WebhookDisabled, InvalidRequest, Unavailable)
@blp.response(202, DeliveryDetails)
def test_webhook(webhook_id: UUID) -> Any:
    """Deliver an event of the type webhook.test"""
    return details(deliveries.send_test(caller().tenant_id, webhook_id))


def details(row: AnyRow) -> dict[str, Any]:
    """What the DeliveryDetails schema shows."""
    is_test, waits = row.kind == deliveries.TEST, row.state == "pending"
    return {
        **row._mapping,
        "event_type": deliveries.EVENT_TYPE_OF[row.kind],
        "position": None if is_test else row.position,
        "next_attempt_at": row.next_attempt_at if waits else None,
    }


def place_of(row: AnyRow) -> list[Any]:
    """A delivery's place in the list, for a cursor."""
    return [row.position, str(row.id)]


def read_place(place: Any) -> tuple[int, UUID]:
    position, delivery_id = place
    return read_seq(position), Uuid().deserialize(delivery_id)
