"""Sets a wallet's limits, under its lock: the next batch keeps them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from wallet_app.access import audit
from wallet_app.database import AnyRow, reading, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import (
    InvalidAmount,
    WalletClosed,
    WalletOverdrawn,
)
from wallet_app.ledger import limits, money, wallets
from wallet_app.ledger.journal import UPDATED
from wallet_app.ledger.limit_rules import ZERO, Limits, Period, Velocity


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A wallet, with what it may go down to and its limits at this moment."""

    wallet: AnyRow
    limits: Limits

    @property
    def minimum_balance(self) -> Decimal:
        """What is neither held nor available."""
        wallet = self.wallet
        minimum: Decimal = wallet.balance - wallet.held - wallet.available
        return minimum


def show(tenant_id: int, uuid: UUID) -> Allowed:
    """Raises WalletNotFound."""
    with reading() as connection:
        wallet = wallets.find(connection, tenant_id, uuid)
        found = limits.find(connection, wallet, datetime.now(UTC))
        return Allowed(wallet=wallet, limits=found)


@repeated
def replace_limits(
    *,
    tenant_id: int,
    uuid: UUID,
    wanted: Mapping[str, Any],
    expected: Callable[[AnyRow], bool] | None = None,
) -> Allowed:
    """Give a wallet these limits and no others; return them.

    What is so already is left alone. `wanted`: minimum_balance, maximum_balance and
    largest_operation, None for none, and velocity, by period with max_count and
    max_amount. A period that goes on being limited keeps what has been counted. Raises
    WalletNotFound, WalletClosed, InvalidAmount for digits that the currency has not,
    WalletOverdrawn if the wallet is below the minimum, and PreconditionFailed if it is
    not as `expected`.
    """
    now = datetime.now(UTC)
    with transaction() as connection:
        wallet = wallets.lock(connection, tenant_id, uuid, expected)
        if wallet.status == "closed":
            raise WalletClosed(f"The wallet {uuid} is closed, which is final.")
        minimum = wanted["minimum_balance"] or ZERO
        refuse_digits(wanted, wallet.currency)
        refuse_minimum(wallet, minimum)
        before = Allowed(wallet=wallet, limits=limits.find(connection, wallet, now))
        moment = max(now, wallet.updated_at)
        after = Limits(
            maximum_balance=wanted["maximum_balance"],
            largest_operation=wanted["largest_operation"],
            velocities=velocities(wanted["velocity"] or {}, before.limits, moment),
        )
        if (before.minimum_balance, before.limits) == (minimum, after):
            return before
        limits.put(connection, wallet, minimum_balance=minimum, limits=after)
        wallets.tell(connection, UPDATED, [wallet.id])
        changed = Allowed(
            wallet=wallets.find(connection, tenant_id, uuid), limits=after
        )
        audit.record(
            connection,
            "wallet.limited",
            uuid,
            before=settings_of(before),
            after=settings_of(changed),
            tenant_id=tenant_id,
        )
        return changed


def refuse_digits(wanted: Mapping[str, Any], currency: str) -> None:
    amounts = [("minimum_balance", wanted["minimum_balance"])]
    amounts += [("maximum_balance", wanted["maximum_balance"])]
    amounts += [("largest_operation", wanted["largest_operation"])]
    amounts += [
        (f"velocity.{period}.max_amount", asked["max_amount"])
        for period, asked in (wanted["velocity"] or {}).items()
        if asked
    ]
    for name, amount in amounts:
        if amount is not None and not money.fits(abs(amount), currency):
            digits = money.exponent(currency)
            detail = f"{currency} has {digits} digits after the decimal point."
            raise InvalidAmount(detail, errors={name: [detail]})


def refuse_minimum(wallet: AnyRow, minimum: Decimal) -> None:
    """A wallet that owes money already owes it still: nobody can forbid that."""
    has = wallet.balance - wallet.held
    if has < min(minimum, ZERO):
        text = money.to_text(has, wallet.currency)
        raise WalletOverdrawn(
            f"The wallet has {text} {wallet.currency} without what is held: bring it up"
            " to the minimum first.",
            has=text,
        )


def velocities(
    wanted: Mapping[str, Mapping[str, Any] | None], before: Limits, moment: datetime
) -> tuple[Velocity, ...]:
    """What is wanted; a new one begins to count now."""
    known = {one.period: one for one in before.velocities}
    found = []
    for period in Period:
        asked = wanted.get(period)
        if not asked:
            continue
        bounds = {name: asked[name] for name in ("max_count", "max_amount")}
        if period in known:
            found.append(replace(known[period], **bounds))
        else:
            start = period.start(moment)
            found.append(Velocity(period=period, start=start, **bounds))
    return tuple(found)


def settings_of(allowed: Allowed) -> dict[str, Any]:
    """What has been set, for the audit log."""

    def as_text(amount: Decimal | None) -> str | None:
        if amount is None:
            return None
        return money.to_text(amount, allowed.wallet.currency)

    return {
        "minimum_balance": as_text(allowed.minimum_balance),
        "maximum_balance": as_text(allowed.limits.maximum_balance),
        "largest_operation": as_text(allowed.limits.largest_operation),
        "velocity": {
            one.period: {
                "max_count": one.max_count,
                "max_amount": as_text(one.max_amount),
            }
            for one in allowed.limits.velocities
        },
    }
