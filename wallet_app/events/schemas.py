"""What comes in and goes out about events."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf, Range

from wallet_app.feed.events import TYPES
from wallet_app.http.fields import Moment, Uuid, WholeNumber
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.pages import MAX_PAGE, MAX_SEQ
from wallet_app.http.schemas import DEMO_UUID

EVENT_TYPES = tuple(TYPES.values())
LONGEST_WAIT_S = 30


class EventTypes(ma.fields.String):
    """Names with commas between them."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        names = str(value).split(",")
        for name in names:
            if name not in EVENT_TYPES:
                known = ", ".join(EVENT_TYPES)
                raise ma.ValidationError(f"Give some of {known}, with commas between.")
        return names


class EventQuery(LeanSchema):
    """Which events, and how long to wait for them."""

    after = WholeNumber(
        validate=Range(0, MAX_SEQ - 1),
        metadata={
            "description": "Events behind this position; without it, from the oldest "
            "(of a stream: from now on)",
            "example": 0,
        },
    )
    limit = WholeNumber(
        load_default=50,
        validate=Range(1, MAX_PAGE),
        metadata={"description": f"Events on a page, 1 to {MAX_PAGE}"},
    )
    types = EventTypes(
        load_default=None,
        metadata={
            "description": "Only these types, with commas between them",
            "pattern": f"^({'|'.join(EVENT_TYPES)})(,({'|'.join(EVENT_TYPES)}))*$",
        },
    )
    wallet = Uuid(load_default=None, metadata={"description": "Only this wallet's"})
    wait = WholeNumber(
        load_default=0,
        validate=Range(0, LONGEST_WAIT_S),
        metadata={"description": "Seconds to wait for the first event, if none is due"},
    )


class EventDetails(LeanSchema):
    """Something that happened; it never changes."""

    position = ma.fields.Integer(
        metadata={"description": "Its place in the feed; it grows from one to the next"}
    )
    type = ma.fields.String(validate=OneOf(EVENT_TYPES))
    time = Moment()
    wallet_uuid = Uuid(metadata={"example": DEMO_UUID})
    data = ma.fields.Dict(
        metadata={"description": "The transaction, or the wallet as it was then"}
    )


class EventPage(LeanSchema):
    """Events in the order of their positions."""

    data = Members(EventDetails)
    has_more = ma.fields.Boolean(
        metadata={"description": "Whether there is more to look at behind this page"}
    )
    next_after = ma.fields.Integer(
        metadata={"description": "`after` for the next page, at any later time"}
    )
