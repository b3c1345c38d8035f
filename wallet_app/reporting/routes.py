"""Reports over HTTP."""

from typing import Any
from uuid import UUID

from wallet_app.database import reading
from wallet_app.errors import InvalidRequest, Unavailable, WalletNotFound
from wallet_app.http.api import WalletBlueprint
from wallet_app.reporting import queries, statistics
from wallet_app.reporting.schemas import WalletStatistics

blp = WalletBlueprint(
    "reporting", __name__, url_prefix="/api/v1", description="Statistics"
)


@blp.route("/wallets/<uuid:uuid>/statistics")
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, WalletStatistics)
def get_statistics(uuid: UUID) -> Any:
    """Read a wallet's statistics

    Exact at every moment: what was counted in the background plus what came since.
    """
    with reading() as session:
        return statistics.summarize(queries.wallet_statistics(session, uuid))
