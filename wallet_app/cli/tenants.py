"""`flask wallet --tenant` and `tenants`, and the audit log of one of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any

import click
from flask.cli import with_appcontext

from wallet_app.access import audit, tenants
from wallet_app.access.schemas import AuditDetails, NewKey
from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.config import TENANT_NAME
from wallet_app.database import reading
from wallet_app.http.caller import Caller, caller, commanding
from wallet_app.http.fields import moment_text

MAX_ROWS = 1000
# A tenant's name has the form of a key's.
NAME = FieldType("name", NewKey().fields["name"])
tenant_option = click.Option(
    ["--tenant"],
    type=NAME,
    envvar=TENANT_NAME,
    show_envvar=True,
    help="Whose wallets, webhooks, keys, ...; without it, the default tenant's.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(1, MAX_ROWS), default=100, show_default=True
)


@contextmanager
def commanding_for(name: str) -> Iterator[None]:
    """Carry out a command for the tenant of this name; raises TenantNotFound."""
    with reading() as connection:
        tenant_id = tenants.find(connection, name).id
    before = commanding.set(Caller(tenant_id))
    try:
        yield
    finally:
        commanding.reset(before)


def may_name_tenant(command: Callable[..., None]) -> Callable[..., None]:
    """For commands whose subject is a tenant: it may be named behind them as well."""

    @click.option("--tenant", type=NAME, help="Whose.")
    @with_appcontext
    @wraps(command)
    def carry_out(*, tenant: str | None, **options: Any) -> None:
        with commanding_for(tenant) if tenant else nullcontext():
            command(**options)

    return carry_out


@click.group("tenants")
def tenants_group() -> None:
    """Keep worlds of wallets apart in one service."""


@tenants_group.command("create")
@click.argument("name", type=NAME)
@with_appcontext
def create_command(name: str) -> None:
    """Add a tenant."""
    tenant = tenants.create(name)
    output.text(f"The tenant {output.printable(tenant.name)} has the id {tenant.id}.")


@tenants_group.command("list")
@limit_option
@click.option("--after", default="", help="Only names behind this one.")
@json_option
@with_appcontext
def list_command(limit: int, after: str, as_json: bool) -> None:
    """List the tenants by name."""
    with reading() as connection:
        rows = tenants.list_page(connection, limit=limit, after=after)
    if as_json:
        output.document([dict(row._mapping) for row in rows])
        return
    output.table(
        ("id", "name", "created"),
        [(str(row.id), row.name, moment_text(row.created_at)) for row in rows],
        right=("id",),
    )


@click.command("audit-log")
@limit_option
@click.option("--action", help="Only these acts, such as key.revoked.")
@click.option("--object", "subject", help="Only what was done to this id.")
@json_option
@may_name_tenant
def audit_log_command(
    *, limit: int, action: str | None, subject: str | None, as_json: bool
) -> None:
    """Show who has done what to keys, webhooks and the like, newest first."""
    given = {"action": action, "object": subject}
    with reading() as connection:
        rows = audit.list_page(
            connection,
            caller().tenant_id,
            limit=limit,
            before=None,
            filters={name: one for name, one in given.items() if one is not None},
        )
    if as_json:
        output.document(AuditDetails().dump(rows, many=True))
        return
    output.table(
        ("time", "actor", "action", "object", "changed"),
        [
            (
                moment_text(row.created_at),
                row.actor,
                row.action,
                row.object,
                ", ".join(changed(row.before, row.after)),
            )
            for row in rows
        ],
        right=(),
    )


def changed(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[str]:
    """The names of what an act has made different."""
    before, after = before or {}, after or {}
    names = [*before, *(name for name in after if name not in before)]
    return [name for name in names if before.get(name) != after.get(name)]
