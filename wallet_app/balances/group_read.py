"""Concurrent reads of single wallets share one statement."""

from wallet_app.balances import queries
from wallet_app.database import AnyRow, reading
from wallet_app.errors import Unavailable, WalletNotFound
from wallet_app.ledger.gathering import Gather, Gathering
from wallet_app.ledger.rules import Key
from wallet_app.ledger.tickets import (
    DeadlineError,
    InterruptedServiceError,
    QueueFullError,
    Ticket,
)


class GroupRead:
    """Reads wallets for all callers of the process.

    A read takes place after its caller has asked for it, so it sees every operation
    that had been answered by then.
    """

    def __init__(self, *, deadline_ms: int) -> None:
        self.deadline_ms = deadline_ms
        self.gathering: Gathering[Key] = Gathering(
            Gather(queue_length=10_000, batch_size=1000), self.serve
        )

    def find(self, wallet: Key) -> AnyRow:
        """The wallet's row; raises WalletNotFound or Unavailable."""
        ticket = Ticket(wallet, tenant_id=wallet[0], deadline_ms=self.deadline_ms)
        try:
            self.gathering.submit(ticket)
            row: AnyRow | None = ticket.wait()
        except (QueueFullError, DeadlineError, InterruptedServiceError):
            raise Unavailable("Too many reads are waiting.") from None
        if row is None:
            raise WalletNotFound(f"There is no wallet {wallet[1]}.")
        return row

    def serve(self, batch: list[Ticket[Key]]) -> None:
        try:
            with reading() as connection:
                rows = queries.read_wallets(connection, {t.request for t in batch})
        except Exception as error:
            for ticket in batch:
                ticket.fail(error)
            return
        for ticket in batch:
            ticket.settle(rows.get(ticket.request))
