"""`flask wallet list | transactions`: which there are, by what they are found by."""

from typing import Any

import click
import marshmallow as ma
from flask.cli import with_appcontext

from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.cli.wallets import in_utc, with_currency
from wallet_app.errors import WalletError
from wallet_app.finding import routes
from wallet_app.finding.schemas import (
    TransactionSearch,
    TransactionsFound,
    WalletPage,
    WalletQuery,
)
from wallet_app.http.pages import MAX_PAGE


def options_of(schema: type[ma.Schema]) -> Any:
    """An option for each query parameter, with the same name and the same rules."""

    def decorate(function: Any) -> Any:
        for name, field in reversed(schema().fields.items()):
            shown = f"--{(field.data_key or name).replace('_', '-')}"
            default = MAX_PAGE if name == "limit" else field.load_default
            function = click.option(
                shown,
                name,
                type=FieldType("value", field),
                default=None if default is ma.missing else default,
                help=str(field.metadata.get("description", "")),
            )(function)
        return function

    return decorate


def given(options: dict[str, Any]) -> dict[str, Any]:
    """What the command line names, and what has a default."""
    always = ("limit", "cursor", "sort")
    return {k: v for k, v in options.items() if v is not None or k in always}


@click.command("list")
@options_of(WalletQuery)
@json_option
@with_appcontext
def list_command(*, as_json: bool, **options: Any) -> None:
    """List wallets, by what they are found by."""
    page = find(routes.wallet_page, options)
    if as_json:
        output.document(WalletPage().dump(page))
        return
    rows = [
        (
            str(one.uuid),
            with_currency(one.balance, one.currency),
            with_currency(one.available, one.currency),
            one.status,
            one.owner or "",
            one.name or "",
            ", ".join(one.labels or ()),
        )
        for one in page["data"]
    ]
    headers = ("uuid", "balance", "available", "status", "owner", "name", "labels")
    output.table(headers, rows, right=("balance", "available"))
    tell_of_more(page)


@click.command("transactions")
@options_of(TransactionSearch)
@json_option
@with_appcontext
def transactions_command(*, as_json: bool, **options: Any) -> None:
    """Search the transactions of all wallets, newest first."""
    page = find(routes.transaction_page, options)
    if as_json:
        output.document(TransactionsFound().dump(page))
        return
    rows = [
        (
            in_utc(one.created_at),
            str(one.wallet_uuid),
            one.entry_type,
            with_currency(one.amount, one.currency),
            str(one.reference_id),
        )
        for one in page["data"]
    ]
    headers = ("time", "wallet", "type", "amount", "reference")
    output.table(headers, rows, right=("amount",))
    tell_of_more(page)


def find(page_of: Any, options: dict[str, Any]) -> dict[str, Any]:
    try:
        page: dict[str, Any] = page_of(given(options))
    except WalletError as error:
        raise click.UsageError(error.detail) from None
    return page


def tell_of_more(page: dict[str, Any]) -> None:
    if page["has_more"]:
        output.text(f"There may be more: --cursor {page['next_cursor']}")
