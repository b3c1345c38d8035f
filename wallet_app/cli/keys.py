"""`flask wallet keys`: who may call the API."""

from datetime import datetime, timedelta
from typing import Any

import click
from flask.cli import with_appcontext

from wallet_app.access import keys
from wallet_app.access.schemas import KeyDetails, KeyWithSecret, NewKey
from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.cli.tenants import limit_option, may_name_tenant
from wallet_app.database import reading
from wallet_app.http.caller import caller
from wallet_app.http.fields import Moment, moment_text
from wallet_app.http.scopes import Scope

key_argument = click.argument("key_id", metavar="KEY_ID")


def read_scopes(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    """Names with commas between them; `all` is all."""
    if text == "all":
        return list(Scope)
    names = text.split(",")
    for name in names:
        if name not in set(Scope):
            raise click.BadParameter(
                f"{name} is none of {', '.join(Scope)}; put commas between them."
            )
    return names


@click.group("keys")
def keys_group() -> None:
    """Say who may call the API, where WALLET_ACCESS=keys."""


@keys_group.command("create")
@click.option(
    "--name",
    required=True,
    type=FieldType("name", NewKey().fields["name"]),
    help="Who has it, for people.",
)
@click.option(
    "--scopes",
    required=True,
    callback=read_scopes,
    help="What it may do: wallets:read,operations:write or all.",
)
@click.option(
    "--expires",
    "expires_at",
    type=FieldType("time", Moment()),
    help="When it ends, such as 2027-01-01T00:00:00Z. Default: when it is revoked.",
)
@json_option
@may_name_tenant
def create_command(
    *,
    name: str,
    scopes: list[str],
    expires_at: datetime | None,
    as_json: bool,
) -> None:
    """Make a key, and show it this once."""
    made = keys.create(
        tenant_id=caller().tenant_id, name=name, scopes=scopes, expires_at=expires_at
    )
    output.members(KeyWithSecret().dump(made), as_json=as_json)


@keys_group.command("list")
@limit_option
@json_option
@may_name_tenant
def list_command(limit: int, as_json: bool) -> None:
    """List a tenant's keys, newest first."""
    with reading() as connection:
        rows = keys.list_page(connection, caller().tenant_id, limit=limit, before=None)
    if as_json:
        output.document(KeyDetails().dump(rows, many=True))
        return
    output.table(
        ("key", "name", "scopes", "end", "last used"),
        [
            (row.id, row.name, ",".join(row.scopes), end_of(row), used_at(row))
            for row in rows
        ],
        right=(),
    )


def end_of(row: Any) -> str:
    if row.revoked_at is not None:
        return f"revoked {moment_text(row.revoked_at)}"
    return "" if row.expires_at is None else moment_text(row.expires_at)


def used_at(row: Any) -> str:
    return "never" if row.last_used_at is None else moment_text(row.last_used_at)


@keys_group.command("show")
@key_argument
@json_option
@with_appcontext
def show_command(key_id: str, as_json: bool) -> None:
    """Show what is known of a key."""
    with reading() as connection:
        row = keys.find(connection, key_id, tenant_id=None)
    output.members(KeyDetails().dump(row), as_json=as_json)


@keys_group.command("rotate")
@key_argument
@click.option(
    "--grace-seconds",
    type=click.IntRange(0, int(keys.LONGEST_GRACE.total_seconds())),
    default=int(keys.GRACE.total_seconds()),
    show_default=True,
    help="How long the secret before it is good as well.",
)
@json_option
@with_appcontext
def rotate_command(key_id: str, grace_seconds: int, as_json: bool) -> None:
    """Give a key a new secret, and show it this once."""
    grace = timedelta(seconds=grace_seconds)
    made = keys.rotate(key_id, tenant_id=None, grace=grace)
    output.members(KeyWithSecret().dump(made), as_json=as_json)


@keys_group.command("revoke")
@key_argument
@json_option
@with_appcontext
def revoke_command(key_id: str, as_json: bool) -> None:
    """End a key, within five seconds and for good."""
    row = keys.revoke(key_id, tenant_id=None)
    output.members(KeyDetails().dump(row), as_json=as_json)
