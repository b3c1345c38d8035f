"""`flask wallet create | set | show | history`, and one for each operation type."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import click
from flask.cli import with_appcontext
from marshmallow import ValidationError
from uuid_utils.compat import uuid7

from wallet_app.balances import queries
from wallet_app.balances.schemas import NewWallet, TransactionPage
from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.database import reading
from wallet_app.errors import InvalidRequest
from wallet_app.http.caller import caller
from wallet_app.http.fields import Amount, Labels, Moment, Uuid
from wallet_app.http.metadata import MetadataPart
from wallet_app.http.money_requests import ledger, receipt_of
from wallet_app.http.money_schemas import MoneyMove
from wallet_app.http.pages import decode_position, page_of, read_seq
from wallet_app.http.schemas import DetailsGiven, TransactionDetails, WalletDetails
from wallet_app.ledger import money, wallets
from wallet_app.ledger.operation_types import EntryType, OperationType
from wallet_app.ledger.posting import Receipt
from wallet_app.ledger.rules import Entry, Operation

MAX_ROWS = 1000
# By detail of a wallet, what says nothing of it.
NOTHING: dict[str, Any] = {"owner": None, "name": None, "labels": [], "metadata": None}
UUID_TYPE = FieldType("uuid", Uuid())
MOMENT = FieldType("time", Moment())
METADATA = FieldType("metadata", MetadataPart())


def described(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a wallet is found by."""
    fields = DetailsGiven().fields
    for decorate in (
        click.option("--metadata", type=METADATA, help="segment=eu, or JSON."),
        click.option("--label", "labels", multiple=True, help="One, or several."),
        click.option("--name", type=FieldType("name", fields["name"])),
        click.option("--owner", type=FieldType("owner", fields["owner"])),
    ):
        function = decorate(function)
    return function


def given_details(options: dict[str, Any]) -> dict[str, Any]:
    """The details that were named; raises click's BadParameter for bad labels."""
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if "labels" in given:
        try:
            given["labels"] = Labels().deserialize(list(given["labels"]))
        except ValidationError as error:
            message = f"Not labels: {error.messages}"
            raise click.BadParameter(message, param_hint="--label") from None
    return given


@click.command("create")
@click.option(
    "--currency",
    type=FieldType("currency", NewWallet().fields["currency"]),
    default="USD",
    show_default=True,
    help="ISO 4217 code, or a configured one.",
)
@click.option("--uuid", type=UUID_TYPE, help="One of your own makes a retry safe.")
@described
@json_option
@with_appcontext
def create_command(
    *, currency: str, uuid: UUID | None, as_json: bool, **details: Any
) -> None:
    """Create a wallet."""
    given = given_details(details)
    uuid, created = wallets.create(
        tenant_id=caller().tenant_id, currency=currency, uuid=uuid, **given
    )
    if not created:
        click.echo("Replayed: the wallet was there already.", err=True)
    show_wallet(uuid, as_json=as_json)


@click.command("set")
@click.argument("uuid", type=UUID_TYPE)
@described
@click.option(
    "--clear",
    "cleared",
    type=click.Choice(list(NOTHING)),
    multiple=True,
    help="Say nothing of it any more.",
)
@json_option
@with_appcontext
def set_command(
    *, uuid: UUID, cleared: tuple[str, ...], as_json: bool, **details: Any
) -> None:
    """Say whose a wallet is, its name, its labels; labels replace those before."""
    given = given_details(details)
    if both := given.keys() & set(cleared):
        raise click.UsageError(f"Either set or clear: {', '.join(sorted(both))}.")
    changes = given | {name: NOTHING[name] for name in cleared}
    if not changes:
        raise click.UsageError("Give --owner, --name, --label, --metadata or --clear.")
    wallets.change(tenant_id=caller().tenant_id, uuid=uuid, changes=changes)
    show_wallet(uuid, as_json=as_json)


@click.command("show")
@click.argument("uuid", type=UUID_TYPE)
@json_option
@with_appcontext
def show_command(uuid: UUID, as_json: bool) -> None:
    """Show a wallet and its balance."""
    show_wallet(uuid, as_json=as_json)


def carry_out(operation: Operation) -> Receipt:
    """Post an operation the way the API does, and say if it had been posted before."""
    receipt = receipt_of(ledger().submit(operation))
    if receipt.replayed:
        click.echo("Replayed: an earlier call with this reference did it.", err=True)
    return receipt


def show_wallet(uuid: UUID, *, as_json: bool) -> None:
    with reading() as connection:
        wallet = wallets.find(connection, caller().tenant_id, uuid)
    if as_json:
        output.document(WalletDetails().dump(wallet))
        return
    details = {
        "owner": wallet.owner,
        "name": wallet.name,
        "labels": ", ".join(wallet.labels or ()),
    }
    output.pairs(
        {
            "uuid": str(wallet.uuid),
            **{
                name: with_currency(getattr(wallet, name), wallet.currency)
                for name in ("balance", "held", "available")
            },
            **{name: value for name, value in details.items() if value},
            "status": wallet.status,
            "version": str(wallet.version),
            "created": in_utc(wallet.created_at),
            "updated": in_utc(wallet.updated_at),
        }
    )


@click.command("history")
@click.argument("uuid", type=UUID_TYPE)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ROWS),
    default=20,
    show_default=True,
    help="How many transactions.",
)
@click.option(
    "--type", "entry_type", type=click.Choice(list(EntryType), case_sensitive=False)
)
@click.option("--since", type=MOMENT, help="Not before this time (ISO 8601).")
@click.option("--until", type=MOMENT, help="Before this time (ISO 8601).")
@click.option(
    "--order",
    type=click.Choice(["asc", "desc"]),
    default="desc",
    show_default=True,
    help="desc: newest first.",
)
@click.option("--cursor", help="Go on where an earlier page ended.")
@json_option
@with_appcontext
def history_command(
    *,
    uuid: UUID,
    limit: int,
    entry_type: EntryType | None,
    since: datetime | None,
    until: datetime | None,
    order: str,
    cursor: str | None,
    as_json: bool,
) -> None:
    """Show a wallet's transactions."""
    try:
        after_seq = decode_position(cursor, order, read_seq)
    except InvalidRequest:
        message = f"Give the cursor that a page with --order {order} ended with."
        raise click.BadParameter(message, param_hint="--cursor") from None
    given = {"operation_type": entry_type, "since": since, "until": until}
    with reading() as connection:
        wallet = wallets.find(connection, caller().tenant_id, uuid)
        entries = queries.list_entries(
            connection,
            wallet.id,
            limit=limit + 1,
            order=order,
            after_seq=after_seq,
            filters={name: value for name, value in given.items() if value is not None},
        )
    page = page_of(entries, limit, lambda entry: (order, entry.seq))
    if as_json:
        output.document(TransactionPage().dump(page))
    else:
        show_page(page)


def show_page(page: dict[str, Any]) -> None:
    if not page["data"]:
        output.text("No transactions.")
        return
    output.table(
        ("seq", "time", "type", "amount", "balance", "held", "description"),
        [row_of(entry) for entry in page["data"]],
        right=("seq", "amount", "balance", "held"),
    )
    if page["has_more"]:
        output.text(f"There are more: --cursor {page['next_cursor']}")


def row_of(entry: Entry) -> tuple[str, ...]:
    sign = " +-"[entry.entry_type.sign]
    return (
        str(entry.seq),
        in_utc(entry.created_at),
        entry.entry_type,
        sign + money.to_text(entry.amount, entry.currency),
        money.to_text(entry.balance_after, entry.currency),
        money.to_text(entry.held_after, entry.currency),
        entry.description or "",
    )


def moves_money(function: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options of a command that moves money."""
    fields = MoneyMove().fields
    for decorate in (
        with_appcontext,
        json_option,
        click.option(
            "--reference-id",
            type=UUID_TYPE,
            help="Makes a retry safe; one for each operation.",
        ),
        click.option("--metadata", type=METADATA, help="order=4711, or JSON."),
        click.option("--description", type=FieldType("text", fields["description"])),
        click.argument("amount", type=FieldType("amount", Amount())),
        click.argument("uuid", type=UUID_TYPE),
    ):
        function = decorate(function)
    return function


def move_command(operation_type: OperationType) -> click.Command:
    """`deposit`, `withdraw` and their like: one command a type."""
    name = operation_type.lower()
    return click.command(name, help=operation_type.purpose)(
        moves_money(partial(move, operation_type))
    )


def move(
    operation_type: OperationType,
    *,
    uuid: UUID,
    amount: Decimal,
    description: str | None,
    reference_id: UUID | None,
    metadata: dict[str, Any] | None,
    as_json: bool,
) -> None:
    """Post one operation the way the API does, and print its transaction."""
    operation = Operation(
        tenant_id=caller().tenant_id,
        operation_type=operation_type,
        wallet_uuid=uuid,
        amount=amount,
        description=description,
        reference_id=reference_id or uuid7(),
        metadata=metadata,
    )
    entry = carry_out(operation).entries[0]
    if as_json:
        output.document(TransactionDetails().dump(entry))
        return
    output.pairs(
        {
            "wallet": str(entry.wallet_uuid),
            "type": entry.entry_type,
            "amount": with_currency(entry.amount, entry.currency),
            "balance": with_currency(entry.balance_after, entry.currency),
            "seq": str(entry.seq),
            "reference": str(entry.reference_id),
            "time": in_utc(entry.created_at),
        }
    )


def with_currency(amount: Decimal, currency: str) -> str:
    return f"{money.to_text(amount, currency)} {currency}"


def in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
