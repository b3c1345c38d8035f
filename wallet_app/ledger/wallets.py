"""Creates and finds wallets."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Integer,
    String,
    Uuid,
    bindparam,
    case,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from wallet_app.database import AnyRow, read_copy, settled, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import PreconditionFailed, WalletNotFound
from wallet_app.ledger import details, locking
from wallet_app.ledger.holds import HOLDS
from wallet_app.ledger.journal import (
    CREATED,
    FROZEN,
    KIND_OF_STATUS,
    UPDATED,
    append_created,
)
from wallet_app.ledger.models import Wallet
from wallet_app.ledger.sql import WALLETS, unnested
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.ledger.told import IDS, telling

# What is held by holds whose time is over is free, though nobody has come by yet to
# release it: looked for only where the row says that there may be some.
MOMENT = func.greatest(func.now(), WALLETS.updated_at)
OVERDUE = case(
    (
        WALLETS.next_expiry <= MOMENT,
        select(
            func.coalesce(
                func.sum(HOLDS.amount - HOLDS.captured - HOLDS.released),
                literal_column("0"),
            )
        )
        .where(
            HOLDS.wallet_id == WALLETS.id,
            HOLDS.status == literal_column("'open'"),
            HOLDS.expires_at <= MOMENT,
        )
        .correlate(Wallet.__table__)
        .scalar_subquery(),
    ),
    else_=literal_column("0"),
)
ONLY_WALLETS = select(
    WALLETS.id,
    WALLETS.tenant_id,
    WALLETS.uuid,
    WALLETS.balance,
    WALLETS.currency,
    WALLETS.status,
    WALLETS.version,
    WALLETS.created_at,
    WALLETS.updated_at,
    (WALLETS.held - OVERDUE).label("held"),
    (WALLETS.balance - WALLETS.held + OVERDUE - WALLETS.minimum_balance).label(
        "available"
    ),
    WALLETS.revision,
    WALLETS.blocks,
)
SELECT_WALLETS = details.with_details(ONLY_WALLETS)
PLACE = WALLETS.id, WALLETS.tenant_id, WALLETS.uuid, WALLETS.created_at
TENANT = bindparam("tenant_id", type_=Integer)
SELECT_WALLET = SELECT_WALLETS.where(
    WALLETS.tenant_id == TENANT, WALLETS.uuid == bindparam("uuid", type_=Uuid)
)
TELL = telling(SELECT_WALLETS.where(WALLETS.id == func.any(IDS)))
RAISE_REVISION = (
    update(Wallet.__table__)
    .where(WALLETS.id == bindparam("wallet_id", type_=BigInteger))
    .values(revision=WALLETS.revision + 1)
)
VERSION = select(WALLETS.version).where(
    WALLETS.id == bindparam("wallet_id", type_=BigInteger)
)
Found = TypeVar("Found")
MAX_WALLETS_AT_ONCE = 1000
IMPORTED_COLUMNS = {
    "uuid": Uuid,
    "currency": String,
    "created_at": DateTime(timezone=True),
    "updated_at": DateTime(timezone=True),
}
IMPORTED = unnested("imported", IMPORTED_COLUMNS)
INSERT_IMPORTED = (
    insert(Wallet.__table__)
    .from_select(["tenant_id", *IMPORTED_COLUMNS], select(TENANT, *IMPORTED.c))
    .on_conflict_do_nothing(index_elements=["uuid", "tenant_id"])
    .returning(Wallet.id)
)


def find(connection: Connection, tenant_id: int, uuid: UUID) -> AnyRow:
    """The wallet's row; raises WalletNotFound, also for another tenant's."""
    this = {"tenant_id": tenant_id, "uuid": uuid}
    row = connection.execute(SELECT_WALLET, this).one_or_none()
    if row is None:
        raise WalletNotFound(f"There is no wallet {uuid}.")
    return row


def read_history(
    wallet_id: int, version: int, read: Callable[[Connection], Found]
) -> Found:
    """What `read` finds where the wallet's history reaches up to a version, or beyond.

    That may be a replica.
    """

    def is_fresh(connection: Connection) -> bool:
        known = connection.scalar(VERSION, {"wallet_id": wallet_id})
        return known is not None and known >= version

    return read_copy(is_fresh, read)


class WalletClashError(ValueError):
    """The uuid belongs to a wallet with another currency."""


def tell(connection: Connection, kind: str, wallet_ids: Collection[int]) -> None:
    """Have an event tell what wallets are now, in the transaction that changes them.

    It holds their locks: a wallet's events have the order of its changes.
    """
    connection.execute(TELL, {"kind": kind, "ids": list(wallet_ids)})


@repeated
def create(
    *,
    tenant_id: int = DEFAULT_TENANT_ID,
    currency: str,
    uuid: UUID | None = None,
    created_at: datetime | None = None,
    **details_given: Any,
) -> tuple[UUID, bool]:
    """Create a wallet; return its uuid and whether it is new.

    A wallet with this uuid and currency may exist already: a retry. With another
    currency: WalletClashError. Other tenants' wallets have nothing to do with it.
    `created_at` dates an imported wallet. `details_given`: owner, name, labels and
    metadata of a new one; each may be absent.
    """
    uuid = uuid or uuid7()
    values: dict[str, object] = {
        "tenant_id": tenant_id,
        "uuid": uuid,
        "currency": currency,
    }
    if created_at is not None:
        values |= {"created_at": created_at, "updated_at": created_at}
    with transaction() as connection:
        created = connection.execute(
            insert(Wallet.__table__)
            .values(values)
            .on_conflict_do_nothing(index_elements=["uuid", "tenant_id"])
            .returning(*PLACE)
        ).one_or_none()
        if created is not None:
            if details_given:
                details.put(connection, created, details_given)
                tell(connection, CREATED, [created.id])
            else:
                append_created(connection, tenant_id, [created.id])
            return uuid, True
    with settled() as connection:
        existing = find(connection, tenant_id, uuid)
    if existing.currency != currency:
        raise WalletClashError(
            f"The wallet {uuid} holds {existing.currency}, not {currency}."
        )
    return uuid, False


def lock(
    connection: Connection,
    tenant_id: int,
    uuid: UUID,
    expected: Callable[[AnyRow], bool] | None = None,
) -> AnyRow:
    """Lock a wallet in the caller's transaction; return its row.

    Raises WalletNotFound, and PreconditionFailed if the wallet is not as `expected`.
    """
    locking.lock_row(connection, (tenant_id, uuid))
    wallet = find(connection, tenant_id, uuid)
    if expected is not None and not expected(wallet):
        raise PreconditionFailed(
            "The wallet has changed since then: read it again, then decide.",
            version=wallet.version,
        )
    return wallet


@repeated
def change(
    *,
    tenant_id: int,
    uuid: UUID,
    changes: Mapping[str, Any],
    expected: Callable[[AnyRow], bool] | None = None,
) -> AnyRow:
    """Change a wallet's details, and raise its revision; return its row.

    What is so already is left alone. `changes`: owner, name, labels and metadata, each
    of which may be absent. Raises WalletNotFound, and PreconditionFailed if the wallet
    is not as `expected`.
    """
    with transaction() as connection:
        wallet = lock(connection, tenant_id, uuid, expected)
        changes = details.differing(wallet, changes)
        if not changes:
            return wallet
        details.put(connection, wallet, changes)
        connection.execute(RAISE_REVISION, {"wallet_id": wallet.id})
        tell(connection, UPDATED, [wallet.id])
        return find(connection, tenant_id, uuid)


def freeze(connection: Connection, wallet_ids: Collection[int]) -> int:
    """Let wallets move no money, in the caller's transaction; how many did so far."""
    active = WALLETS.id.in_(wallet_ids) & (WALLETS.status == "active")
    freezing = update(Wallet.__table__).where(active)
    values = {"status": "frozen", "blocks": "all", "revision": WALLETS.revision + 1}
    frozen = connection.scalars(freezing.values(values).returning(WALLETS.id)).all()
    tell(connection, FROZEN, frozen)
    return len(frozen)


def set_status(
    connection: Connection, wallet_id: int, status: str, blocks: str | None
) -> None:
    """Give a wallet that the caller has locked another status, in its transaction."""
    changing = update(Wallet.__table__).where(WALLETS.id == wallet_id)
    values = {"status": status, "blocks": blocks, "revision": WALLETS.revision + 1}
    connection.execute(changing.values(values))
    tell(connection, KIND_OF_STATUS[status], [wallet_id])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedWallet:
    """A wallet that comes with its own uuid and date."""

    uuid: UUID
    currency: str
    created_at: datetime


@repeated
def create_many(
    wallets: Sequence[ImportedWallet], *, tenant_id: int = DEFAULT_TENANT_ID
) -> int:
    """Create up to 1,000 imported wallets; return how many had not been there."""
    assert len(wallets) <= MAX_WALLETS_AT_ONCE, "the caller cuts it into chunks"
    created_at = [wallet.created_at for wallet in wallets]
    arrays = {
        "tenant_id": tenant_id,
        "imported_uuid": [wallet.uuid for wallet in wallets],
        "imported_currency": [wallet.currency for wallet in wallets],
        "imported_created_at": created_at,
        "imported_updated_at": created_at,
    }
    with transaction() as connection:
        created = connection.scalars(INSERT_IMPORTED, arrays).all()
        append_created(connection, tenant_id, created)
        return len(created)
