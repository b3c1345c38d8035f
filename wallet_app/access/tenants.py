"""The tenants that there are."""

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from wallet_app.access import audit
from wallet_app.database import AnyRow, transaction
from wallet_app.database.conflicts import repeated
from wallet_app.errors import TenantExists, TenantNotFound
from wallet_app.ledger.tenants import Tenant

TABLE = Tenant.__table__
TENANTS = TABLE.c


@repeated
def create(name: str) -> AnyRow:
    """A new tenant; raises TenantExists."""
    adding = insert(TABLE).values(name=name).on_conflict_do_nothing()
    with transaction() as connection:
        row = connection.execute(adding.returning(*TENANTS)).one_or_none()
        if row is None:
            raise TenantExists(f"There is a tenant {name} already.")
        audit.record(
            connection,
            "tenant.created",
            row.id,
            after={"name": name},
            tenant_id=row.id,
        )
    return row


def find(connection: Connection, name: str) -> AnyRow:
    """The tenant of a name; raises TenantNotFound."""
    row = connection.execute(select(*TENANTS).where(TENANTS.name == name)).one_or_none()
    if row is None:
        raise TenantNotFound(f"There is no tenant {name}.")
    return row


def list_page(connection: Connection, *, limit: int, after: str) -> Sequence[AnyRow]:
    """Up to `limit` tenants in the order of their names, behind a name."""
    statement = select(*TENANTS).where(TENANTS.name > after)
    return connection.execute(statement.order_by(TENANTS.name).limit(limit)).all()
