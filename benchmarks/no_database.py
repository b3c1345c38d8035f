"""The yardstick of the service's own code: all of it, but for the database.

Every wallet exists, and lives in this process.
"""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from wallet_app import create_app
from wallet_app.ledger import posting
from wallet_app.ledger.posting import Batch, Outcome, Unit
from wallet_app.ledger.rules import WalletState

wallets: dict[UUID, WalletState] = {}
ids = itertools.count(1)


def post_in_memory(
    units: Sequence[Unit],
    *,
    lock_timeout_ms: int | None = None,  # noqa: ARG001
) -> list[list[Outcome]]:
    """Decide as posting.post does, and write nothing."""
    for uuid in posting.wallets_of(units):
        if uuid not in wallets:
            wallets[uuid] = new_wallet(uuid)
    batch = Batch(wallets=wallets, known={})
    outcomes = [batch.decide(unit) for unit in units]
    for entry in batch.entries:
        entry.id = next(ids)
    return outcomes


def new_wallet(uuid: UUID) -> WalletState:
    return WalletState(
        id=len(wallets) + 1,
        uuid=uuid,
        balance=Decimal(0),
        currency="USD",
        status="active",
        version=0,
        updated_at=datetime.now(UTC),
    )


posting.post = post_in_memory
app = create_app()
