"""Changes what a wallet may do, under its lock: the next batch sees it."""

from uuid import UUID

from wallet_app.access import audit
from wallet_app.database import AnyRow, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import WalletClosed, WalletNotEmpty
from wallet_app.ledger import money, wallets

ACTIVE, FROZEN, CLOSED = "active", "frozen", "closed"
ACTIONS = {ACTIVE: "wallet.unfrozen", FROZEN: "wallet.frozen", CLOSED: "wallet.closed"}


@repeated
def change(
    *,
    tenant_id: int,
    uuid: UUID,
    status: str,
    blocks: str | None = None,
    reason: str | None = None,
) -> AnyRow:
    """Give a wallet another status; return its row.

    What is so already is left alone. Raises WalletNotFound; WalletClosed, since that is
    final; WalletNotEmpty if it is to be closed while it holds money or owes some.
    """
    with transaction() as connection:
        wallet = wallets.lock(connection, tenant_id, uuid)
        if (wallet.status, wallet.blocks) == (status, blocks):
            return wallet
        if wallet.status == CLOSED:
            raise WalletClosed(f"The wallet {uuid} is closed, which is final.")
        if status == CLOSED:
            refuse_money(wallet)
        wallets.set_status(connection, wallet.id, status, blocks)
        audit.record(
            connection,
            ACTIONS[status],
            uuid,
            before={"status": wallet.status, "block": wallet.blocks},
            after={"status": status, "block": blocks, "reason": reason},
            tenant_id=tenant_id,
        )
        return wallets.find(connection, tenant_id, uuid)


def refuse_money(wallet: AnyRow) -> None:
    """Raise WalletNotEmpty unless there is nothing in the wallet."""
    if wallet.balance or wallet.held:
        balance, held = (
            money.to_text(amount, wallet.currency)
            for amount in (wallet.balance, wallet.held)
        )
        raise WalletNotEmpty(
            f"The wallet has a balance of {balance} {wallet.currency}, of which {held} "
            "is held: bring it to zero before you close it.",
            balance=balance,
            held=held,
        )
