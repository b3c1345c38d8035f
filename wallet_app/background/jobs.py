"""Jobs that a table decides: each is one worker's at a time, who holds a lease.

Messages only say that a job is worth a look: a lost one is replaced by the next beat, a
doubled one finds the job claimed.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, func, literal, or_, select, update
from uuid_utils.compat import uuid7

from wallet_app.database import reading, transaction
from wallet_app.database.conflicts import repeated

LEASE = timedelta(seconds=30)
MAX_ATTEMPTS = 10
DUE_AT_ONCE = 100


class LeaseLostError(RuntimeError):
    """The job is another worker's, was cancelled, or is further than thought."""


class Jobs:
    """The jobs of a table with `state`, `attempts`, `error` and a lease's columns.

    Those that are "pending" or "running" are to be worked at.
    """

    def __init__(self, table: Any) -> None:
        self.table, self.columns = table, table.c

    def is_free(self) -> Any:
        """Nobody works on it: it waits, or its worker has not been heard of lately."""
        state, until = self.columns.state, self.columns.leased_until
        return or_(state == "pending", and_(state == "running", until < func.now()))

    @repeated
    def due(self, given_up: Mapping[str, Any] | None = None) -> list[UUID]:
        """Jobs that a worker should take up, oldest first, a bounded number.

        Those whose workers died too often without a step forward have failed;
        `given_up` is what else is set of them.
        """
        failed = {"state": "failed", "error": "The worker was interrupted too often."}
        exhausted = self.is_free() & (self.columns.attempts >= MAX_ATTEMPTS)
        giving_up = update(self.table).where(exhausted)
        with transaction() as connection:
            connection.execute(giving_up.values(failed | dict(given_up or {})))
        waiting = select(self.columns.id).where(self.is_free())
        oldest = waiting.order_by(self.columns.created_at).limit(DUE_AT_ONCE)
        with reading() as connection:
            return list(connection.scalars(oldest))

    @repeated
    def claim(self, job_id: UUID, **values: Any) -> Row[Any] | None:
        """Take a free job for LEASE, with these values; None if it is not free."""
        columns = self.columns
        claiming = (
            update(self.table)
            .where(
                columns.id == job_id, self.is_free(), columns.attempts < MAX_ATTEMPTS
            )
            .values(
                state="running",
                attempts=columns.attempts + 1,
                lease_id=uuid7(),
                leased_until=func.now() + literal(LEASE),
                **values,
            )
            .returning(self.table)
        )
        with transaction() as connection:
            return connection.execute(claiming).one_or_none()

    @repeated
    def change(self, claimed: Row[Any], **values: Any) -> None:
        """Change a claimed job; raises LeaseLostError if it is no longer ours."""
        changing = (
            update(self.table)
            .where(
                self.columns.id == claimed.id,
                self.columns.lease_id == claimed.lease_id,
            )
            .values(values)
            .returning(self.columns.id)
        )
        with transaction() as connection:
            if connection.scalar(changing) is None:
                raise LeaseLostError(f"{self.table.name} {claimed.id}")

    def keep(self, claimed: Row[Any], **values: Any) -> None:
        """Change a claimed job, and keep the lease from now on."""
        self.change(claimed, leased_until=func.now() + literal(LEASE), **values)

    def give_back(self, claimed: Row[Any], **values: Any) -> None:
        """Change a claimed job, and end the lease."""
        self.change(claimed, lease_id=None, leased_until=None, **values)
