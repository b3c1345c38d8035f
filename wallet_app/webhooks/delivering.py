"""Delivers: looks for what is new and due, sends it, settles what was answered.

The database is asked by one thread, several times a second; threads that send only
send, so that an endpoint that hangs holds nothing else up.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from flask import current_app
from sqlalchemy import ARRAY, Uuid, exists, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wallet_app.background import ending
from wallet_app.database import AnyRow, is_outage, reading
from wallet_app.feed import readers
from wallet_app.feed.relay import relay
from wallet_app.ledger.journal import BEHIND, JOURNAL
from wallet_app.webhooks import claiming, registry, settling, signing
from wallet_app.webhooks.claiming import WEBHOOKS_WITH_DUE, Lane
from wallet_app.webhooks.recording import READER, record
from wallet_app.webhooks.registry import WEBHOOKS
from wallet_app.webhooks.sending import FAILURES, Endpoint
from wallet_app.webhooks.settling import Attempt

logger = logging.getLogger(__name__)

Headers = dict[str, str]
# Makes an attempt for a delivery's id, with the headers that tell of its trace.
Trace = Callable[[UUID, Callable[[Headers], Attempt]], Attempt]

TICK_S = 0.1
# Without a webhook there is nothing that could be late.
IDLE_TICK_S = 1.0
# With its last POST, a lane has to end within its lease.
LANE_S = 5.0
# Of all webhooks together; a hundred that hang leave room for the others.
MOST_LANES = 256

LOOK = select(
    exists().where(~WEBHOOKS.disabled).label("anybody"),
    (
        exists().where(JOURNAL.kind != BEHIND)
        | (readers.position_of(readers.RELAY) > readers.position_of(READER))
    ).label("news"),
    func.array(WEBHOOKS_WITH_DUE.scalar_subquery(), type_=ARRAY(Uuid)).label("due"),
)


def untraced(_: UUID, make_attempt: Callable[[Headers], Attempt]) -> Attempt:
    return make_attempt({})


def send(lane: Lane, *, private: bool, trace: Trace = untraced) -> list[Attempt]:
    """Send a lane's deliveries until one fails or the time is over."""
    attempts: list[Attempt] = []
    ends = time.monotonic() + LANE_S
    with Endpoint(lane.webhook.url, private=private) as endpoint:
        for delivery, body in zip(lane.deliveries, lane.bodies, strict=True):
            make_attempt = partial(attempt, endpoint, lane.keys, delivery.id, body)
            attempts.append(trace(delivery.id, make_attempt))
            if not attempts[-1].succeeded or time.monotonic() > ends:
                break
    return attempts


def attempt(
    endpoint: Endpoint,
    keys: Sequence[str],
    delivery_id: UUID,
    body: str,
    trace_headers: Headers,
) -> Attempt:
    headers = {
        "content-type": "application/json",
        "user-agent": "wallet-service",
        **signing.headers(
            body, delivery_id=str(delivery_id), now=datetime.now(UTC), keys=keys
        ),
        **trace_headers,
    }
    try:
        status = endpoint.post(body.encode(), headers)
    except FAILURES as error:
        return Attempt(delivery_id, None, reason(error))
    succeeded = 200 <= status < 300
    return Attempt(delivery_id, status, None if succeeded else f"It answered {status}.")


def reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200].replace("\0", "")


@dataclass
class Deliverer:
    """The lanes that are at work in this process."""

    senders: ThreadPoolExecutor
    private: bool
    trace: Trace = untraced
    lanes: dict[Future[list[Attempt]], Lane] = field(default_factory=dict)

    def step(self) -> bool:
        """Do what there is to do; return whether there is any webhook."""
        self.settle_ended()
        seen = look()
        if seen.anybody and seen.news:
            relay()
            record()
            seen = look()
        busy: dict[UUID, list[Lane]] = defaultdict(list)
        for lane in self.lanes.values():
            busy[lane.webhook.id].append(lane)
        for webhook_id in seen.due:
            if len(self.lanes) < MOST_LANES:
                for lane in claiming.claim(webhook_id, busy=busy[webhook_id]):
                    sending = self.senders.submit(
                        send, lane, private=self.private, trace=self.trace
                    )
                    self.lanes[sending] = lane
        return bool(seen.anybody)

    def settle_ended(self) -> None:
        for sending in [one for one in self.lanes if one.done()]:
            settling.settle(self.lanes[sending], sending.result())
            del self.lanes[sending]

    def finish(self) -> None:
        """Wait for what is being sent, and settle it."""
        wait(self.lanes)
        self.settle_ended()


def look() -> AnyRow:
    """What there is to do, at a cost that does not grow."""
    with reading() as connection:
        return connection.execute(LOOK).one()


def deliver_for(seconds: float) -> None:
    """Deliver for some time, or until the worker ends."""
    ends = time.monotonic() + seconds
    with (
        tracing() as trace,
        ThreadPoolExecutor(MOST_LANES, thread_name_prefix="webhook") as senders,
    ):
        deliverer = Deliverer(senders, registry.private_allowed(), trace)
        while time.monotonic() < ends and not ending.is_near():
            began = time.monotonic()
            tick_s = step_through_outages(deliverer)
            time.sleep(max(0.0, tick_s - (time.monotonic() - began)))
        deliverer.finish()


def tracing() -> AbstractContextManager[Trace]:
    """For a run; what is above this room traces it, if anything does."""
    make: Callable[[], AbstractContextManager[Trace]] | None
    make = current_app.extensions.get("trace_deliveries")
    return make() if make else nullcontext(untraced)


def step_through_outages(deliverer: Deliverer) -> float:
    """One step; returns how long it should have taken.

    What has been answered is kept while the database is away, and settled then.
    """
    try:
        return TICK_S if deliverer.step() else IDLE_TICK_S
    except (DBAPIError, PoolTimeout) as error:
        if not is_outage(error):
            raise
        logger.warning("webhooks: database: %s", error)
        return IDLE_TICK_S
