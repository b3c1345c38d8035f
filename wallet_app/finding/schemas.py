"""What comes in and goes out about finding."""

from decimal import Decimal
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf

from wallet_app.finding.wallet_queries import BY_NAME, NEWEST_FIRST, OLDEST_FIRST
from wallet_app.http.fields import (
    TEXT_PATTERN,
    Amount,
    Moment,
    Text,
    Uuid,
)
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.metadata import MetadataPart
from wallet_app.http.pages import PageQuery
from wallet_app.http.schemas import (
    TransactionDetails,
    TransactionFilters,
    WalletDetails,
)
from wallet_app.ledger import details, money

SHORT_PAGE = "of what was looked at; follow it though a page is short, or empty"


class Balance(Amount):
    """A balance to compare with: an amount, nothing, or less than nothing."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = str(value).removeprefix("-")
        if money.PLAIN_DECIMAL.fullmatch(text) and not Decimal(text):
            return Decimal(0)
        amount = super()._deserialize(text, attr, data, **kwargs)
        return -amount if text != str(value) else amount


BALANCE_PATTERN = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"


def check_code(code: str) -> None:
    if not money.CODE.fullmatch(code):
        raise ma.ValidationError("Give a currency code, such as USD.")


class WalletQuery(PageQuery):
    """Which wallets, in which order."""

    owner = Text(
        validate=Length(1, details.MAX_OWNER), metadata={"pattern": TEXT_PATTERN}
    )
    label = Text(
        validate=Length(1, details.MAX_LABEL), metadata={"pattern": TEXT_PATTERN}
    )
    # Also one that is not configured any more.
    currency = ma.fields.String(
        validate=check_code, metadata={"pattern": f"^{money.CODE.pattern}$"}
    )
    status = ma.fields.String(validate=OneOf(["active", "frozen", "closed"]))
    min_balance = Balance(
        metadata={"description": "No less than this", "pattern": BALANCE_PATTERN}
    )
    max_balance = Balance(
        metadata={"description": "No more than this", "pattern": BALANCE_PATTERN}
    )
    since = Moment(
        data_key="from",
        metadata={"description": "Created not before this time (inclusive)"},
    )
    until = Moment(
        data_key="to", metadata={"description": "Created before this time (exclusive)"}
    )
    sort = ma.fields.String(
        load_default=NEWEST_FIRST,
        validate=OneOf([NEWEST_FIRST, OLDEST_FIRST, BY_NAME]),
        metadata={
            "description": f"`{NEWEST_FIRST}`: newest first. "
            f"`{BY_NAME}`: those that have a name"
        },
    )


class TransactionSearch(TransactionFilters):
    """Which transactions."""

    reference_id = Uuid()
    wallet = Uuid(metadata={"description": "Of this wallet"})
    metadata = MetadataPart(
        metadata={
            "description": "What their metadata holds: `order=4711`, or a JSON object",
            "pattern": r"^[A-Za-z0-9_]+=[^\u0000]*$",
        }
    )


class WalletPage(LeanSchema):
    """A page of wallets."""

    data = Members(WalletDetails)
    has_more = ma.fields.Boolean(metadata={"description": "Whether more may follow"})
    next_cursor = ma.fields.String(
        allow_none=True, metadata={"description": f"The end {SHORT_PAGE}"}
    )


class TransactionsFound(LeanSchema):
    """A page of transactions."""

    data = Members(TransactionDetails)
    has_more = ma.fields.Boolean(metadata={"description": "Whether more may follow"})
    next_cursor = ma.fields.String(
        allow_none=True, metadata={"description": f"The end {SHORT_PAGE}"}
    )
