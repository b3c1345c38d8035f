"""Statistics and summaries over HTTP."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from wallet_app.database import reading
from wallet_app.errors import InvalidRequest, Unavailable, WalletNotFound
from wallet_app.http.api import WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.scopes import Scope
from wallet_app.ledger import wallets
from wallet_app.statistics import (
    service_statistics,
    summaries,
    wallet_statistics,
)
from wallet_app.statistics.schemas import (
    DayRange,
    ServiceStatistics,
    Summaries,
    SummaryQuery,
    WalletStatistics,
)

blp = WalletBlueprint(
    "statistics",
    __name__,
    url_prefix="/api/v1",
    description="Statistics and summaries",
)
DAYS_OF = {"day": 1, "week": 7, "month": 30}
DEFAULT_PERIODS = 30


@blp.route("/wallets/<uuid:uuid>/statistics", scope=Scope.REPORTS_READ)
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, WalletStatistics)
def get_statistics(uuid: UUID) -> Any:
    """Read a wallet's statistics

    Exact at every moment: what was counted in the background plus what came since.
    """
    with reading() as connection:
        wallet = wallets.find(connection, caller().tenant_id, uuid)
    return wallets.read_history(
        wallet.id,
        wallet.version,
        lambda connection: wallet_statistics.read_wallet_statistics(
            connection, caller().tenant_id, uuid
        ),
    )


@blp.route("/wallets/<uuid:uuid>/summaries", scope=Scope.REPORTS_READ)
@blp.arguments(SummaryQuery, location="query")
@blp.problems(WalletNotFound, InvalidRequest, Unavailable)
@blp.response(200, Summaries)
def list_summaries(query: dict[str, Any], uuid: UUID) -> Any:
    """Summarize a wallet's history by day, week or month

    Each period opens with the balance that the one before it closed with. Without
    `from` and `to`: about the last thirty periods.
    """
    zone, granularity = query["tz"], query["granularity"]
    first, last = DayRange.days(query, zone)
    last = last or summaries.today(zone)
    first = first or last - timedelta(DAYS_OF[granularity] * (DEFAULT_PERIODS - 1))
    found = summaries.periods_asked_for(granularity, first, last, zone)
    with reading() as connection:
        wallet = wallets.find(connection, caller().tenant_id, uuid)
    rows = wallets.read_history(
        wallet.id,
        wallet.version,
        lambda connection: summaries.read_summaries(connection, wallet, found, zone),
    )
    return {
        "uuid": wallet.uuid,
        "currency": wallet.currency,
        "granularity": granularity,
        "tz": zone.key,
        "data": rows,
    }


@blp.route("/statistics", scope=Scope.REPORTS_READ)
@blp.arguments(DayRange, location="query")
@blp.problems(InvalidRequest, Unavailable)
@blp.response(200, ServiceStatistics)
def get_service_statistics(query: dict[str, Any]) -> Any:
    """Read the statistics of all wallets together

    By currency and type of all time, and by day for up to a year; without `from` and
    `to`, the last thirty days. Days are UTC days.
    """
    first, last = DayRange.days(query, summaries.UTC_ZONE)
    last = last or summaries.today(summaries.UTC_ZONE)
    first = first or last - timedelta(service_statistics.DEFAULT_DAYS - 1)
    with service_statistics.snapshot() as connection:
        return service_statistics.read_service_statistics(
            connection, caller().tenant_id, first_day=first, last_day=last
        )
