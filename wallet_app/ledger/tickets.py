"""What waits for its turn: one caller's request, and how its wait may end."""

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from wallet_app.ledger.gathering import Gathering

Request = TypeVar("Request")


class QueueFullError(Exception):
    """The queue has no room; nothing was done."""


class DeadlineError(Exception):
    """The caller's deadline has passed; `taken` if somebody is serving it still."""

    def __init__(self, *, taken: bool) -> None:
        super().__init__()
        self.taken = taken


class InterruptedServiceError(Exception):
    """The serving thread was ended; what became of the request is unknown."""


class Ticket(Generic[Request]):
    """One tenant's caller's request; `size` is what it counts for in a batch."""

    __slots__ = (
        "deadline",
        "error",
        "gathering",
        "is_settled",
        "leads",
        "owner",
        "request",
        "result",
        "size",
        "taken",
        "tenant_id",
        "wake",
    )

    def __init__(
        self, request: Request, *, tenant_id: int, deadline_ms: float, size: int = 1
    ) -> None:
        self.request = request
        self.tenant_id = tenant_id
        self.size = size
        self.deadline = time.monotonic() + deadline_ms / 1000
        self.owner = threading.current_thread()
        self.gathering: Gathering[Request] | None = None
        self.leads = False
        self.taken = False
        self.is_settled = False
        self.result: Any = None
        self.error: BaseException | None = None
        # A bare lock wakes its one waiter at a fraction of an Event's cost.
        self.wake = threading.Lock()
        self.wake.acquire()

    def settle(self, result: Any) -> None:
        if not self.is_settled:
            self.result = result
            self.is_settled = True

    def fail(self, error: BaseException) -> None:
        if not self.is_settled:
            self.error = error
            self.is_settled = True

    def release(self) -> None:
        """Wake the owner; harmless when it is awake."""
        with suppress(RuntimeError):
            self.wake.release()

    def wait(self) -> Any:
        """Wait for the result, leading when it is this caller's turn.

        Raises what the request failed with, or DeadlineError.
        """
        try:
            while not self.is_settled:
                self.wait_a_turn()
        except BaseException:
            if self.gathering is not None:
                self.gathering.abandon(self)
            raise
        if self.error is not None:
            raise self.error
        return self.result

    def wait_a_turn(self) -> None:
        gathering = self.gathering
        assert gathering is not None, "the ticket has been queued"
        if self.leads:
            gathering.lead(self)
        elif not self.wake.acquire(timeout=max(0.0, self.deadline - time.monotonic())):
            gathering.expire(self)
