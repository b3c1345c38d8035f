"""Reads of what is refunded."""

from uuid import UUID

from sqlalchemy import Connection

from wallet_app.errors import OperationNotFound
from wallet_app.ledger import refunds
from wallet_app.ledger.rules import Original


def find(connection: Connection, tenant_id: int, reference_id: UUID) -> Original:
    """The operation; raises OperationNotFound, also for another tenant's."""
    found = refunds.find(connection, tenant_id, [reference_id])
    if reference_id not in found:
        raise OperationNotFound(f"No operation has the reference {reference_id}.")
    return found[reference_id]
