"""The yardstick of the service's own code: all of it, but for the database.

Every wallet exists, and lives in this process.
"""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from wallet_app import create_app
from wallet_app.ledger import posting
from wallet_app.ledger.posting import Batch, Outcome, Unit
from wallet_app.ledger.rules import Key, WalletState

wallets: dict[Key, WalletState] = {}
ids = itertools.count(1)


def post_in_memory(
    units: Sequence[Unit],
    *,
    lock_timeout_ms: int | None = None,  # noqa: ARG001
) -> list[list[Outcome]]:
    """Decide as posting.post does, and write nothing."""
    for key in {key for unit in units for key in unit.wallet_keys}:
        if key not in wallets:
            wallets[key] = new_wallet(key)
    batch = Batch(wallets=wallets, known={})
    outcomes = [batch.decide(unit) for unit in units]
    for entry in batch.entries:
        entry.id = next(ids)
    return outcomes


def new_wallet(key: Key) -> WalletState:
    return WalletState(
        id=len(wallets) + 1,
        tenant_id=key[0],
        uuid=key[1],
        balance=Decimal(0),
        currency="USD",
        status="active",
        version=0,
        updated_at=datetime.now(UTC),
    )


posting.post = post_in_memory
app = create_app()
