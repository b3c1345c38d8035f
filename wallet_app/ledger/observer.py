"""What the ledger tells of its work, to whoever watches it."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wallet_app.ledger.posting import Outcome, Unit


@dataclass(frozen=True, slots=True)
class Times:
    """Moments of a posting, by time.perf_counter(), in seconds.

    The wallets are locked, and the references known, at `locked`; what is written is
    on its way, together with COMMIT, at `written`.
    """

    began: float
    locked: float
    written: float
    committed: float


class Observer:
    """Is told; this one does nothing. None of its methods may raise or wait."""

    def submitted(self, unit: "Unit") -> None:
        """A caller has come."""

    def taken(self, operations: int, waited_s: float) -> None:
        """A batch is taken from the queue, whose first caller has waited so long."""

    def posted(self, units: "Sequence[Unit]", times: Times) -> None:
        """A transaction is committed."""

    def answered(self, unit: "Unit", outcomes: "Sequence[Outcome] | None") -> None:
        """A caller goes, without outcomes if an error was raised."""


# Of the ledger for which the current thread, or greenlet, is at work.
observing: ContextVar[Observer] = ContextVar("observing", default=Observer())  # noqa: B039
