"""Wallets' limits over HTTP."""

from typing import Any
from uuid import UUID

from wallet_app.errors import (
    InvalidAmount,
    InvalidRequest,
    PreconditionFailed,
    Unavailable,
    WalletClosed,
    WalletNotFound,
    WalletOverdrawn,
)
from wallet_app.http.api import BODY_PROBLEMS, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.etags import (
    CHANGE_IF_MATCH,
    ETAG_HEADER,
    header_of,
    is_in_if_match,
)
from wallet_app.http.scopes import Scope
from wallet_app.wallet_limits.changing import replace_limits, show
from wallet_app.wallet_limits.schemas import LimitsAsked, LimitsDetails, answer_of

blp = WalletBlueprint(
    "wallet_limits",
    __name__,
    url_prefix="/api/v1/wallets/<uuid:uuid>",
    description="What a wallet may hold and move",
)
EXAMPLE = {
    "minimum_balance": "-100.00",
    "largest_operation": "500.00",
    "velocity": {"day": {"max_count": 20, "max_amount": "1000.00"}},
}


@blp.route("/limits", scope=Scope.WALLETS_READ)
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, LimitsDetails, headers=ETAG_HEADER)
def get_limits(uuid: UUID) -> Any:
    """Show a wallet's limits, and what is left of them"""
    allowed = show(caller().tenant_id, uuid)
    return answer_of(allowed), 200, header_of(allowed.wallet)


@blp.route("/limits", methods=["PUT"], scope=Scope.ADMIN)
@blp.arguments(LimitsAsked, example=EXAMPLE)
@blp.doc(parameters=[CHANGE_IF_MATCH])
@blp.problems(
    *BODY_PROBLEMS,
    WalletNotFound,
    WalletClosed,
    WalletOverdrawn,
    InvalidAmount,
    PreconditionFailed,
)
@blp.response(200, LimitsDetails, headers=ETAG_HEADER)
def put_limits(body: dict[str, Any], uuid: UUID) -> Any:
    """Replace a wallet's limits

    What is left out is no limit any more. A period that stays limited keeps what has
    been counted in it; one that is new begins to count now.
    """
    allowed = replace_limits(
        tenant_id=caller().tenant_id, uuid=uuid, wanted=body, expected=is_in_if_match
    )
    return answer_of(allowed), 200, header_of(allowed.wallet)
