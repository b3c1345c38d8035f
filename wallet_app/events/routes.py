"""Events over HTTP: pages, long polls, and Server-Sent Events."""

import re
from typing import Any
from uuid import UUID

from flask import Response, current_app, request, stream_with_context

from wallet_app.database import reading
from wallet_app.errors import (
    EventsExpired,
    InvalidRequest,
    Unavailable,
    WalletNotFound,
)
from wallet_app.events.following import Filter, read, stream, wait_for_page
from wallet_app.events.schemas import EventDetails, EventPage, EventQuery
from wallet_app.feed import readers
from wallet_app.feed.events import Page
from wallet_app.http.api import WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.scopes import Scope
from wallet_app.ledger import wallets

blp = WalletBlueprint(
    "events", __name__, url_prefix="/api/v1", description="What happens, in order"
)
EVENT = EventDetails()
STREAM = "text/event-stream"
POSITION = re.compile("[0-9]{1,18}")
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "description": "For a stream: go on behind this position",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}


@blp.route("/events", scope=Scope.WALLETS_READ)
@blp.arguments(EventQuery, location="query")
@blp.doc(parameters=[LAST_EVENT_ID])
@blp.problems(WalletNotFound, EventsExpired, InvalidRequest, Unavailable)
@blp.alt_response(200, schema={"type": "string"}, content_type=STREAM, success=True)
@blp.response(200, EventPage)
def list_events(query: dict[str, Any]) -> Any:
    """Follow what happens

    Every new wallet, every change of one and every transaction, in one order; the
    background workers put them there. With `wait`, a page without events is held back
    until there is one. With `Accept: text/event-stream` the events come as they happen
    (Server-Sent Events); browsers take a broken stream up by themselves.
    """
    wanted = Filter(
        tenant_id=caller().tenant_id,
        types=query["types"],
        wallet_id=wallet_id_of(query["wallet"]),
    )
    last_seen = last_event_id()
    if request.accept_mimetypes.best_match(["application/json", STREAM]) == STREAM:
        return streamed(query.get("after") if last_seen is None else last_seen, wanted)
    after = first_position(query.get("after", 0))
    if query["wait"]:
        page = wait_for_page(after, query["limit"], wanted, wait_s=query["wait"])
    else:
        page = read(after, query["limit"], wanted)
    return {"data": page.events, "has_more": page.has_more, "next_after": page.end}


def wallet_id_of(uuid: UUID | None) -> int | None:
    if uuid is None:
        return None
    with reading() as connection:
        wallet_id: int = wallets.find(connection, caller().tenant_id, uuid).id
    return wallet_id


def first_position(after: int) -> int:
    """Where to begin; raises EventsExpired if what comes next is kept no more."""
    tenant_id = caller().tenant_id
    with reading() as connection:
        if not after or after >= readers.dropped(connection, tenant_id):
            return after
        oldest = readers.oldest(connection, tenant_id)
    if oldest is None:
        return after
    raise EventsExpired(
        f"The oldest event that is kept has position {oldest}.", oldest=oldest
    )


def last_event_id() -> int | None:
    """The position that a broken stream has come to, if its client says so."""
    text = request.headers.get("Last-Event-ID")
    if text is None:
        return None
    if not POSITION.fullmatch(text):
        message = "Give the id of the last event that you have seen, such as 42."
        raise InvalidRequest(message, errors={"Last-Event-ID": [message]})
    return int(text)


def streamed(after: int | None, wanted: Filter) -> Response:
    if after is None:
        with reading() as connection:
            after = readers.position(connection, readers.RELAY)
    chunks = stream(first_position(after), wanted, as_server_sent)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(stream_with_context(chunks), content_type=STREAM, headers=headers)


def as_server_sent(page: Page) -> str:
    """Events as the HTML standard's event stream format has them."""
    return "".join(
        f"id: {event.position}\nevent: {event.type}\n"
        f"data: {current_app.json.dumps(EVENT.dump(event))}\n\n"
        for event in page.events
    )
