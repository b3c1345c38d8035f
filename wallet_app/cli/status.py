"""`flask wallet freeze | unfreeze | close`."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

import click
from flask.cli import with_appcontext

from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.cli.wallets import UUID_TYPE, show_wallet
from wallet_app.http.caller import caller
from wallet_app.status.changing import ACTIVE, CLOSED, FROZEN, change
from wallet_app.status.schemas import BLOCKS, Reason

# By command: what the wallet is then.
STATUSES = {"freeze": FROZEN, "unfreeze": ACTIVE, "close": CLOSED}
HELP = {
    "freeze": "Freeze a wallet: from now on it lets nothing through.",
    "unfreeze": "Let a frozen wallet go on.",
    "close": "Close an empty wallet, for good.",
}
REASON = FieldType("text", Reason().fields["reason"])
block_option = click.option(
    "--block",
    type=click.Choice(BLOCKS),
    default="all",
    show_default=True,
    help="out: money may still come in.",
)


def status_command(name: str) -> click.Command:
    function: Callable[..., None] = partial(act, STATUSES[name])
    for decorate in (
        with_appcontext,
        json_option,
        *([block_option] if name == "freeze" else []),
        click.option("--reason", type=REASON, required=True, help="For the audit log."),
        click.argument("uuid", type=UUID_TYPE),
    ):
        function = decorate(function)
    return click.command(name, help=HELP[name])(function)


def act(
    status: str, *, uuid: UUID, reason: str, as_json: bool, block: str | None = None
) -> None:
    change(
        tenant_id=caller().tenant_id,
        uuid=uuid,
        status=status,
        blocks=block,
        reason=reason,
    )
    show_wallet(uuid, as_json=as_json)
