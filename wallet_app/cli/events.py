"""`flask wallet events tail`: what happens, as it happens."""

import time

import click
from flask.cli import with_appcontext

from wallet_app.cli import output
from wallet_app.cli.parameters import json_option
from wallet_app.database import reading
from wallet_app.events.schemas import EventDetails
from wallet_app.feed import readers
from wallet_app.feed.events import Event, read_page
from wallet_app.http.caller import caller

POLL_S = 0.5
EVENTS_A_READ = 100


@click.group("events")
def events_group() -> None:
    """What happens in the service."""


@events_group.command("tail")
@click.option("--after", type=click.IntRange(0), help="A position; without it: now.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@json_option
@with_appcontext
def tail_command(after: int | None, count: int | None, as_json: bool) -> None:
    """Print events as they happen, until Ctrl-C."""
    left = count
    position = last_position() if after is None else after
    while left is None or left > 0:
        with reading() as connection:
            limit = min(left or EVENTS_A_READ, EVENTS_A_READ)
            page = read_page(
                connection, caller().tenant_id, after=position, limit=limit
            )
        for event in page.events:
            show(event, as_json=as_json)
        position = page.end
        left = None if left is None else left - len(page.events)
        if not page.events:
            time.sleep(POLL_S)


def last_position() -> int:
    with reading() as connection:
        return readers.position(connection, readers.RELAY)


def show(event: Event, *, as_json: bool) -> None:
    if as_json:
        output.line(EventDetails().dump(event))
        return
    what = event.data.get("operation_type", "")
    amount = event.data.get("amount", "")
    output.text(
        f"{event.position:>10}  {event.time:%Y-%m-%d %H:%M:%S}  {event.type:<18}  "
        f"{event.wallet_uuid}  {what} {amount}".rstrip()
    )
