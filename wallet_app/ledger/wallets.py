"""Creates wallets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from wallet_app.database import transaction
from wallet_app.ledger.models import Wallet


class WalletClashError(ValueError):
    """The uuid belongs to a wallet with another currency."""


def create(
    *, currency: str, uuid: UUID | None = None, created_at: datetime | None = None
) -> tuple[UUID, bool]:
    """Create a wallet; return its uuid and whether it is new.

    A wallet with this uuid and currency may exist already: a retry. With another
    currency: WalletClashError. `created_at` dates an imported wallet.
    """
    uuid = uuid or uuid7()
    values: dict[str, object] = {"uuid": uuid, "currency": currency}
    if created_at is not None:
        values |= {"created_at": created_at, "updated_at": created_at}
    with transaction() as session:
        created = session.scalar(
            insert(Wallet)
            .values(values)
            .on_conflict_do_nothing(index_elements=["uuid"])
            .returning(Wallet.id)
        )
        if created is not None:
            return uuid, True
        existing = session.scalar(select(Wallet.currency).where(Wallet.uuid == uuid))
    if existing != currency:
        raise WalletClashError(f"The wallet {uuid} holds {existing}, not {currency}.")
    return uuid, False
