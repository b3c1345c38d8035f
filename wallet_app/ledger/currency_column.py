"""How the database holds the code of a currency."""

from typing import Any

from sqlalchemy import ColumnElement, String, Text, cast
from sqlalchemy.types import TypeDecorator

from wallet_app.ledger.money import MAX_CODE


class CurrencyCode(TypeDecorator[str]):
    """Up to twelve letters, read as text without a length.

    PostgreSQL refuses prepared statements whose columns have got another length: so
    the length may be changed while the service works.
    """

    impl = String(MAX_CODE)
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[str]:
        return cast(column, Text)
