"""`flask wallet hold | capture | void | increase | extend | holds`."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import click
from flask.cli import with_appcontext
from uuid_utils.compat import uuid7

from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.cli.wallets import UUID_TYPE, carry_out, in_utc, with_currency
from wallet_app.database import reading
from wallet_app.holds import queries
from wallet_app.holds.schemas import HoldOperation, answer_of
from wallet_app.http.caller import caller
from wallet_app.http.fields import Amount
from wallet_app.http.money_schemas import DescribedMove, HoldExpiry
from wallet_app.http.schemas import HOLD_STATES, HoldDetails
from wallet_app.ledger import wallets
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.rules import ZERO, Hold, Operation

MAX_ROWS = 1000
AMOUNT = FieldType("amount", Amount())
EXPIRY = FieldType("time", HoldExpiry())

amount_argument = click.argument("amount", type=AMOUNT)
amount_option = click.option("--amount", type=AMOUNT, help="Without it, all.")
expires_option = click.option("--expires-at", type=EXPIRY, help="When (ISO 8601).")
expires_argument = click.argument("expires_at", type=EXPIRY)
final_option = click.option("--final", is_flag=True, help="Give back what is left.")
to_option = click.option("--to-wallet", type=UUID_TYPE, help="Where the money goes.")

# By command: what it does, and what it takes besides what they all take.
COMMANDS: dict[str, tuple[OperationType, tuple[Callable[..., Any], ...]]] = {
    "hold": (OperationType.HOLD, (amount_argument, expires_option)),
    "capture": (OperationType.CAPTURE, (amount_option, final_option, to_option)),
    "void": (OperationType.VOID, ()),
    "increase": (OperationType.HOLD_INCREASE, (amount_argument,)),
    "extend": (OperationType.HOLD_EXTEND, (expires_argument,)),
}


def hold_command(name: str) -> click.Command:
    operation_type, options = COMMANDS[name]
    function: Callable[..., Any] = partial(act, operation_type)
    description = FieldType("text", DescribedMove().fields["description"])
    for decorate in (
        with_appcontext,
        json_option,
        click.option("--reference-id", type=UUID_TYPE, help="Makes a retry safe."),
        click.option("--description", type=description),
        *reversed(options),
        click.argument("uuid", type=UUID_TYPE),
    ):
        function = decorate(function)
    return click.command(name, help=operation_type.purpose)(function)


def act(
    operation_type: OperationType,
    *,
    uuid: UUID,
    description: str | None,
    reference_id: UUID | None,
    as_json: bool,
    amount: Decimal | None = None,
    expires_at: datetime | None = None,
    final: bool = False,
    to_wallet: UUID | None = None,
) -> None:
    """Post an operation of a hold, or of a wallet, the way the API does."""
    wallet_uuid, hold_id = uuid, None
    if operation_type is not OperationType.HOLD:
        with reading() as connection:
            wallet_uuid = queries.find(connection, caller().tenant_id, uuid).wallet_uuid
        hold_id = uuid
    operation = Operation(
        tenant_id=caller().tenant_id,
        operation_type=operation_type,
        wallet_uuid=wallet_uuid,
        target_uuid=to_wallet,
        amount=amount or ZERO,
        description=description,
        reference_id=reference_id or uuid7(),
        parent_reference_id=hold_id,
        final=final,
        expires_at=expires_at,
    )
    receipt = carry_out(operation)
    if as_json:
        output.document(HoldOperation().dump(answer_of(receipt, operation_type)))
    elif receipt.hold is not None:
        output.pairs(pairs_of(receipt.hold))


def pairs_of(hold: Hold) -> dict[str, str]:
    return {
        "hold": str(hold.id),
        "wallet": str(hold.wallet_uuid),
        "status": hold.status,
        "remaining": with_currency(hold.remaining, hold.currency),
        "captured": with_currency(hold.captured, hold.currency),
        "expires": "never" if hold.expires_at is None else in_utc(hold.expires_at),
    }


@click.command("holds")
@click.argument("uuid", type=UUID_TYPE)
@click.option("--status", type=click.Choice(HOLD_STATES))
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ROWS),
    default=20,
    show_default=True,
    help="How many holds.",
)
@json_option
@with_appcontext
def holds_command(uuid: UUID, status: str | None, limit: int, as_json: bool) -> None:
    """Show a wallet's holds, newest first."""
    with reading() as connection:
        wallet = wallets.find(connection, caller().tenant_id, uuid)
        found = queries.list_holds(
            connection,
            caller().tenant_id,
            limit=limit,
            status=status,
            wallet_id=wallet.id,
            before=None,
        )
    if as_json:
        output.document(HoldDetails().dump(found, many=True))
    elif not found:
        output.text("No holds.")
    else:
        rows = [tuple(pairs_of(hold).values()) for hold in found]
        output.table(tuple(pairs_of(found[0])), rows, right=("remaining", "captured"))
