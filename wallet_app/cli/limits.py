"""`flask wallet limits | set-limits`."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import click
from flask.cli import with_appcontext

from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.cli.wallets import UUID_TYPE
from wallet_app.http.caller import caller
from wallet_app.ledger.limit_rules import Period
from wallet_app.wallet_limits.changing import Allowed, replace_limits, show
from wallet_app.wallet_limits.schemas import (
    LimitsAsked,
    LimitsDetails,
    VelocityAsked,
    answer_of,
)

# By field, what it says.
HELP = {
    "minimum_balance": "What withdrawals leave; below zero, an overdraft.",
    "maximum_balance": "What comes in makes it no more than that.",
    "largest_operation": "No operation is larger.",
}
BOUNDS = ("max_count", "max_amount")


def limit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each limit that the API takes."""
    for period in reversed(Period):
        for name, field in reversed(VelocityAsked().fields.items()):
            kind = FieldType(name.removeprefix("max_"), field)
            flag = f"--{period}-{name.replace('_', '-')}"
            function = click.option(flag, type=kind, help="Of what leaves.")(function)
    for name, words in reversed(HELP.items()):
        kind = FieldType("amount", LimitsAsked().fields[name])
        flag = f"--{name.replace('_', '-')}"
        function = click.option(flag, type=kind, help=words)(function)
    return function


@click.command("limits")
@click.argument("uuid", type=UUID_TYPE)
@json_option
@with_appcontext
def limits_command(uuid: UUID, as_json: bool) -> None:
    """Show a wallet's limits, and what has been counted."""
    print_limits(show(caller().tenant_id, uuid), as_json=as_json)


@click.command("set-limits")
@click.argument("uuid", type=UUID_TYPE)
@limit_options
@json_option
@with_appcontext
def set_limits_command(uuid: UUID, as_json: bool, **given: Any) -> None:
    """Replace a wallet's limits: what is left out is no limit any more."""
    velocity = {
        period: bounds
        for period in Period
        if any((bounds := {one: given[f"{period}_{one}"] for one in BOUNDS}).values())
    }
    wanted = {name: given[name] for name in HELP} | {"velocity": velocity}
    allowed = replace_limits(tenant_id=caller().tenant_id, uuid=uuid, wanted=wanted)
    print_limits(allowed, as_json=as_json)


def print_limits(allowed: Allowed, *, as_json: bool) -> None:
    shown = LimitsDetails().dump(answer_of(allowed))
    if as_json:
        output.document(shown)
        return
    currency = shown["currency"]
    pairs = {
        name.replace("_", " "): f"{shown[name]} {currency}"
        for name in HELP
        if shown[name] is not None
    }
    for period, velocity in shown["velocity"].items():
        if velocity is None:
            continue
        if velocity["max_count"] is not None:
            most = velocity["max_count"]
            pairs[f"{period}, operations"] = f"{velocity['count']} of {most}"
        if velocity["max_amount"] is not None:
            most = f"{velocity['max_amount']} {currency}"
            pairs[f"{period}, amount"] = f"{velocity['amount']} of {most}"
    output.pairs(pairs)
