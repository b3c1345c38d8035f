"""Writes down what became of a lane, after its answers; a lost note is a double."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Uuid,
    bindparam,
    case,
    func,
    literal,
    select,
    update,
)

from wallet_app.database import AnyRow, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.ledger.sql import unnested
from wallet_app.webhooks import registry
from wallet_app.webhooks.claiming import Lane
from wallet_app.webhooks.deliveries import DELIVERIES, TABLE
from wallet_app.webhooks.recording import NO_WAIT
from wallet_app.webhooks.registry import WEBHOOKS

MINUTE, HOUR = 60, 60 * 60
# After each failed attempt; after the last of them, the delivery has failed.
RETRY_AFTER_S = (
    *(5, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR),
    *(6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR, 24 * HOUR),
)
# So that those who failed together do not come together again.
JITTER = 0.2
# An endpoint from which nothing else came for so long is given up.
DISABLED_AFTER = timedelta(days=3)
GONE = 410

OURS = DELIVERIES.lease_id == bindparam("lease", type_=Uuid)
DONE = unnested("done", {"id": Uuid, "status": Integer})
MARK_DELIVERED = (
    update(TABLE)
    .where(DELIVERIES.id == DONE.c.id, OURS)
    .values(
        state="delivered",
        attempts=DELIVERIES.attempts + 1,
        last_attempt_at=func.now(),
        lease_id=None,
        http_status=DONE.c.status,
        error=None,
    )
)
WAITING = bindparam("waiting", type_=BigInteger)
RELEASE = (
    update(TABLE)
    .where(OURS)
    .values(
        lease_id=None,
        next_attempt_at=case(
            (DELIVERIES.wallet_id == WAITING, bindparam("at")), else_=func.now()
        ),
    )
)


@dataclass(frozen=True)
class Attempt:
    """What an endpoint answered: a status, or else an error."""

    delivery_id: UUID
    status: int | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        return self.error is None


@repeated
def settle(lane: Lane, attempts: Sequence[Attempt]) -> None:
    """Mark what was delivered and what failed, and let go of what was not sent.

    Nothing, if the lease went to somebody else meanwhile.
    """
    done = [one for one in attempts if one.succeeded]
    failed = [one for one in attempts if not one.succeeded]
    with transaction() as connection:
        connection.execute(NO_WAIT)
        if done:
            ids, statuses = (
                [one.delivery_id for one in done],
                [one.status for one in done],
            )
            arrays = {"done_id": ids, "done_status": statuses}
            connection.execute(MARK_DELIVERED, {**arrays, "lease": lane.lease_id})
            connection.execute(
                update(registry.TABLE)
                .where(
                    WEBHOOKS.id == lane.webhook.id, WEBHOOKS.failing_since.is_not(None)
                )
                .values(failing_since=None)
            )
        again_at = None
        for attempt in failed:
            again_at = mark_failed(connection, lane, attempt)
            note_failure(connection, lane.webhook.id, attempt)
        # In order, what comes behind in the wallet waits for what has failed.
        rest = {"lease": lane.lease_id, "at": again_at, "waiting": None}
        if again_at is not None and lane.webhook.ordered:
            rest["waiting"] = lane.deliveries[len(attempts) - 1].wallet_id
        connection.execute(RELEASE, rest)


def mark_failed(
    connection: Connection, lane: Lane, attempt: Attempt
) -> datetime | None:
    """When it is tried again; None if it is given up."""
    this = (DELIVERIES.id == attempt.delivery_id, DELIVERIES.lease_id == lane.lease_id)
    tried = connection.scalar(select(DELIVERIES.attempts).where(*this))
    if tried is None:
        return None
    is_last = tried >= len(RETRY_AFTER_S)
    pause_s = 0.0 if is_last else jittered(RETRY_AFTER_S[tried])
    row = connection.execute(
        update(TABLE)
        .where(*this)
        .values(
            state="failed" if is_last else "pending",
            attempts=tried + 1,
            last_attempt_at=func.now(),
            next_attempt_at=func.now() + literal(timedelta(seconds=pause_s)),
            lease_id=None,
            http_status=attempt.status,
            error=attempt.error,
        )
        .returning(DELIVERIES.next_attempt_at)
    ).one()
    return None if is_last else row.next_attempt_at


def jittered(pause_s: float) -> float:
    return pause_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


def note_failure(connection: Connection, webhook_id: UUID, attempt: Attempt) -> None:
    """Give an endpoint up that is gone, or that has failed for days."""
    row: AnyRow = connection.execute(
        update(registry.TABLE)
        .where(WEBHOOKS.id == webhook_id)
        .values(failing_since=func.coalesce(WEBHOOKS.failing_since, func.now()))
        .returning(
            (WEBHOOKS.failing_since < func.now() - literal(DISABLED_AFTER)).label(
                "too_long"
            )
        )
    ).one()
    if attempt.status == GONE:
        disable_in(connection, webhook_id, "It answered 410 Gone.")
    elif row.too_long:
        days = DISABLED_AFTER.days
        disable_in(
            connection,
            webhook_id,
            f"Nothing could be delivered for {days} days; the last: {attempt.error}",
        )


def disable_in(connection: Connection, webhook_id: UUID, reason: str) -> None:
    """Disable a webhook in the caller's transaction."""
    values: dict[str, Any] = {"disabled": True, "disabled_reason": reason}
    registry.change_in(connection, webhook_id, **values)
