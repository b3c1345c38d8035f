"""What comes in and goes out about webhooks."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from wallet_app.http.fields import TEXT_PATTERN, Flag, Moment, Text, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.webhooks.addresses import MAX_URL_LENGTH, PUBLIC_URL
from wallet_app.webhooks.deliveries import EVENT_TYPE_OF
from wallet_app.webhooks.registry import EVENT_TYPES

URL = "https://example.com/wallet-events"
STATES = ("pending", "delivered", "failed")


def event_types(**options: Any) -> ma.fields.Field[Any]:
    one = ma.fields.String(validate=OneOf(EVENT_TYPES))
    return ma.fields.List(one, validate=Length(1, len(EVENT_TYPES)), **options)


def url(**options: Any) -> ma.fields.Field[Any]:
    return Text(
        validate=Length(1, MAX_URL_LENGTH),
        metadata={
            "description": "https, with a public address; no user, no fragment",
            "pattern": PUBLIC_URL,
            "example": URL,
        },
        **options,
    )


def description(**options: Any) -> ma.fields.Field[Any]:
    return Text(
        allow_none=True,
        validate=Length(max=500),
        metadata={"pattern": TEXT_PATTERN},
        **options,
    )


ORDERED = {"description": "A wallet's events one after the other, in their order"}
DISABLED = {"description": "Whether it is told nothing"}


class NewWebhook(LeanSchema):
    """A webhook to be added."""

    url = url(required=True)
    event_types = event_types(load_default=list(EVENT_TYPES))
    description = description(load_default=None)
    ordered = Flag(load_default=True, metadata=ORDERED)
    disabled = Flag(load_default=False, metadata=DISABLED)


class WebhookChange(LeanSchema):
    """What is to be different; what is not given stays."""

    url = url()
    event_types = event_types()
    description = description()
    ordered = Flag(metadata=ORDERED)
    disabled = Flag(
        metadata={"description": "false delivers what is pending, and goes on"}
    )


class WebhookDetails(LeanSchema):
    """A webhook."""

    id = Uuid()
    url = ma.fields.String(metadata={"example": URL})
    event_types = ma.fields.List(ma.fields.String(validate=OneOf(EVENT_TYPES)))
    description = ma.fields.String(allow_none=True)
    ordered = Flag(metadata=ORDERED)
    disabled = Flag(metadata=DISABLED)
    disabled_reason = ma.fields.String(allow_none=True)
    failing_since = Moment(
        allow_none=True, metadata={"description": "Since when nothing has got through"}
    )
    old_secret_until = Moment(
        allow_none=True,
        metadata={"description": "Until when the secret before this one signs too"},
    )
    created_at = Moment()
    updated_at = Moment()


class WebhookWithSecret(WebhookDetails):
    """A webhook with its secret, which is shown this once."""

    secret = ma.fields.String(metadata={"description": "`whsec_` and base64"})


class WebhookList(LeanSchema):
    """All webhooks, oldest first."""

    data = Members(WebhookDetails)


class DeliveryDetails(LeanSchema):
    """An event that a webhook is told of, and how that went."""

    id = Uuid(metadata={"description": "Its webhook-id, the same in every attempt"})
    event_type = ma.fields.String(validate=OneOf(list(EVENT_TYPE_OF.values())))
    position = ma.fields.Integer(
        allow_none=True, metadata={"description": "The event's; a test has none"}
    )
    state = ma.fields.String(validate=OneOf(STATES))
    attempts = ma.fields.Integer()
    last_attempt_at = Moment(allow_none=True)
    next_attempt_at = Moment(
        allow_none=True,
        metadata={"description": "Not before; in order, it waits for those before it"},
    )
    http_status = ma.fields.Integer(
        allow_none=True,
        metadata={"description": "Of the last answer, if there was one"},
    )
    error = ma.fields.String(
        allow_none=True, metadata={"description": "What went wrong last, if it did"}
    )
    created_at = Moment()


class DeliveryPage(LeanSchema):
    """A page of deliveries."""

    data = Members(DeliveryDetails)
    has_more = ma.fields.Boolean()
    next_cursor = ma.fields.String(allow_none=True)
