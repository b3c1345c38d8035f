"""Waiting for events: one question for all who wait in a process."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import current_app

from wallet_app import access
from wallet_app.database import connections, reading
from wallet_app.errors import Unavailable
from wallet_app.feed import events, readers
from wallet_app.feed.events import Page

POLL_S = 0.1
# A stream ends after this, and its client takes it up again: so no server that ends
# waits for it, and no client is bound to one server.
STREAM_S = 25.0
SIGN_OF_LIFE_S = 10.0
# How often it is asked whether who waits may still be told.
CHECK_S = 0.5
MOST_FOLLOWERS = 200
EVENTS_A_READ = 100


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which of a tenant's events a follower wants; None: all."""

    tenant_id: int
    types: Collection[str] | None
    wallet_id: int | None


class Followers:
    """The process's callers that wait, bounded in number."""

    def __init__(self) -> None:
        self.places = threading.BoundedSemaphore(MOST_FOLLOWERS)
        self.asking = threading.Lock()
        self.asked_at = float("-inf")
        self.head = 0
        # By tenant: its last position, and the feed's when it was asked for.
        self.last: dict[int, tuple[int, int]] = {}

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait; raises Unavailable if there is none."""
        if not self.places.acquire(blocking=False):
            raise Unavailable("Too many callers follow the events here.")
        try:
            yield
        finally:
            self.places.release()

    def last_position(self, tenant_id: int) -> int:
        """The position of a tenant's last event, as of a moment ago.

        Asked for once for all who wait, and only when the feed has gone on.
        """
        with self.asking:
            if time.monotonic() - self.asked_at >= POLL_S:
                connections.start_clock(current_app)
                with reading() as connection:
                    self.head = readers.position(connection, readers.RELAY)
                self.asked_at = time.monotonic()
            last, head = self.last.get(tenant_id, (0, -1))
            if head != self.head:
                connections.start_clock(current_app)
                with reading() as connection:
                    last = readers.last_of(connection, tenant_id)
                if len(self.last) > MOST_FOLLOWERS:
                    self.last.clear()
                self.last[tenant_id] = (last, self.head)
        return last

    def wait_behind(self, tenant_id: int, position: int, until: float) -> bool:
        """Wait until there is something behind a position; False if it is too late."""
        while self.last_position(tenant_id) <= position:
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_S)
        return True


def read(after: int, limit: int, wanted: Filter) -> Page:
    """A page of the events that are there."""
    connections.start_clock(current_app)
    with reading() as connection:
        return events.read_page(
            connection,
            wanted.tenant_id,
            after=after,
            limit=limit,
            types=wanted.types,
            wallet_id=wanted.wallet_id,
        )


def wait_for_page(after: int, limit: int, wanted: Filter, *, wait_s: float) -> Page:
    """A page with an event on it, or what there is when the time is over."""
    followers: Followers = current_app.extensions["followers"]
    until = time.monotonic() + wait_s
    with followers.place():
        page = read(after, limit, wanted)
        while not page.events:
            soon = min(until, time.monotonic() + CHECK_S)
            if page.has_more or followers.wait_behind(wanted.tenant_id, page.end, soon):
                page = read(page.end, limit, wanted)
            elif time.monotonic() >= until:
                break
            access.check_again()
    return page


def stream(after: int, wanted: Filter, write: Callable[[Page], str]) -> Iterator[str]:
    """Pages as they come, and a comment now and then to show that it lives."""
    followers: Followers = current_app.extensions["followers"]
    until = time.monotonic() + STREAM_S
    with followers.place():
        # The head of the answer goes out with the first bytes.
        yield "retry: 500\n\n"
        sign_at = time.monotonic() + SIGN_OF_LIFE_S
        while (now := time.monotonic()) < until and access.still_admitted():
            soon = min(until, now + CHECK_S)
            if followers.wait_behind(wanted.tenant_id, after, soon):
                page = read(after, EVENTS_A_READ, wanted)
                after = page.end
                yield write(page)
            elif time.monotonic() >= sign_at:
                yield ": still here\n\n"
                sign_at += SIGN_OF_LIFE_S
