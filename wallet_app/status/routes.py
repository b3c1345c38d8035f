"""Freezing and closing over HTTP."""

from typing import Any
from uuid import UUID

from wallet_app.database import AnyRow
from wallet_app.errors import WalletClosed, WalletNotEmpty, WalletNotFound
from wallet_app.http.api import BODY_PROBLEMS, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.etags import ETAG_HEADER, header_of
from wallet_app.http.schemas import WalletDetails
from wallet_app.http.scopes import Scope
from wallet_app.status.changing import ACTIVE, CLOSED, FROZEN, change
from wallet_app.status.schemas import Freeze, Reason

blp = WalletBlueprint(
    "status",
    __name__,
    url_prefix="/api/v1/wallets/<uuid:uuid>",
    description="What a wallet may do",
)
REASON = {"reason": "Card reported stolen"}


def changed(
    uuid: UUID, status: str, *, reason: str, block: str | None = None
) -> tuple[AnyRow, int, dict[str, str]]:
    """The caller's wallet, with another status, as it is answered."""
    wallet = change(
        tenant_id=caller().tenant_id,
        uuid=uuid,
        status=status,
        blocks=block,
        reason=reason,
    )
    return wallet, 200, header_of(wallet)


@blp.route("/freeze", methods=["POST"], scope=Scope.ADMIN)
@blp.arguments(Freeze, example=REASON | {"block": "out"})
@blp.problems(*BODY_PROBLEMS, WalletNotFound, WalletClosed)
@blp.response(200, WalletDetails, headers=ETAG_HEADER)
def freeze_wallet(body: dict[str, Any], uuid: UUID) -> Any:
    """Freeze a wallet

    From its answer on, no operation is applied that the wallet does not let through.
    With `"block": "out"` money may still come in, and holds that there are may be
    captured, voided and extended; with `all` nothing moves.
    """
    return changed(uuid, FROZEN, **body)


@blp.route("/unfreeze", methods=["POST"], scope=Scope.ADMIN)
@blp.arguments(Reason, example={"reason": "Owner has called"})
@blp.problems(*BODY_PROBLEMS, WalletNotFound, WalletClosed)
@blp.response(200, WalletDetails, headers=ETAG_HEADER)
def unfreeze_wallet(body: dict[str, Any], uuid: UUID) -> Any:
    """Let a frozen wallet go on"""
    return changed(uuid, ACTIVE, **body)


@blp.route("/close", methods=["POST"], scope=Scope.ADMIN)
@blp.arguments(Reason, example={"reason": "Account ended by its owner"})
@blp.problems(*BODY_PROBLEMS, WalletNotFound, WalletClosed, WalletNotEmpty)
@blp.response(200, WalletDetails, headers=ETAG_HEADER)
def close_wallet(body: dict[str, Any], uuid: UUID) -> Any:
    """Close an empty wallet, for good

    Its balance is zero and nothing is held. It can be read for ever.
    """
    return changed(uuid, CLOSED, **body)
