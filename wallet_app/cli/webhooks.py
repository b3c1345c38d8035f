"""`flask wallet webhooks`: who is told of events."""

from uuid import UUID

import click
from flask.cli import with_appcontext

from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.database import AnyRow
from wallet_app.http.caller import caller
from wallet_app.http.fields import Uuid, moment_text
from wallet_app.webhooks import deliveries, registry
from wallet_app.webhooks.routes import details
from wallet_app.webhooks.schemas import (
    DeliveryDetails,
    WebhookDetails,
    WebhookWithSecret,
)

UUID_TYPE = FieldType("uuid", Uuid())
webhook_argument = click.argument("webhook_id", metavar="WEBHOOK", type=UUID_TYPE)


@click.group("webhooks")
def webhooks_group() -> None:
    """Tell other servers of events."""


@webhooks_group.command("list")
@json_option
@with_appcontext
def list_command(as_json: bool) -> None:
    """List all webhooks, oldest first."""
    found = registry.list_all(caller().tenant_id)
    if as_json:
        output.document(WebhookDetails().dump(found, many=True))
        return
    rows = [
        (str(one.id), one.url, state_of(one), moment_text(one.created_at))
        for one in found
    ]
    output.table(("webhook", "url", "state", "created"), rows, right=())


def state_of(webhook: AnyRow) -> str:
    if webhook.disabled:
        return f"disabled: {webhook.disabled_reason}"
    if webhook.failing_since is not None:
        return f"failing since {moment_text(webhook.failing_since)}"
    return "enabled"


@webhooks_group.command("add")
@click.argument("url")
@click.option(
    "--event",
    "event_types",
    multiple=True,
    type=click.Choice(registry.EVENT_TYPES),
    default=registry.EVENT_TYPES,
    help="Only these, of all event types.",
)
@click.option("--description", help="A note.")
@click.option("--unordered", is_flag=True, help="A wallet's events in any order.")
@json_option
@with_appcontext
def add_command(
    url: str,
    event_types: tuple[str, ...],
    description: str | None,
    unordered: bool,
    as_json: bool,
) -> None:
    """Add a webhook, and show its secret this once."""
    webhook = registry.create(
        caller().tenant_id,
        url=url,
        event_types=list(event_types),
        description=description,
        ordered=not unordered,
        disabled=False,
    )
    document = WebhookWithSecret().dump(webhook)
    output.members(document, as_json=as_json)


@webhooks_group.command("test")
@webhook_argument
@json_option
@with_appcontext
def test_command(webhook_id: UUID, as_json: bool) -> None:
    """Have a worker deliver an event of the type webhook.test."""
    delivery = deliveries.send_test(caller().tenant_id, webhook_id)
    show(delivery, as_json=as_json)


@webhooks_group.command("redeliver")
@webhook_argument
@click.argument("delivery_id", metavar="DELIVERY", type=UUID_TYPE)
@json_option
@with_appcontext
def redeliver_command(webhook_id: UUID, delivery_id: UUID, as_json: bool) -> None:
    """Have a worker deliver something once more."""
    delivery = deliveries.redeliver(caller().tenant_id, webhook_id, delivery_id)
    show(delivery, as_json=as_json)


def show(delivery: AnyRow, *, as_json: bool) -> None:
    document = DeliveryDetails().dump(details(delivery))
    output.members(document, as_json=as_json)
