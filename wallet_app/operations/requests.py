"""From a batch's request to a unit of the ledger."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from wallet_app.database import settled
from wallet_app.http.caller import caller
from wallet_app.http.money_requests import error_of, key_from_header, nothing_posted
from wallet_app.ledger import holds, refunds
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import ZERO, Operation, Refusal, way_back


def unit_from(body: dict[str, Any]) -> Unit:
    """The operations of a batch; its Idempotency-Key gives each one its own key."""
    key, tenant_id = key_from_header(), caller().tenant_id
    members = body["operations"]
    references = [
        member["reference_id"] or (uuid5(key, str(index)) if key else uuid7())
        for index, member in enumerate(members)
    ]
    with nothing_posted():
        operations = operations_from(tenant_id, members, references)
    return Unit(operations, atomic=body["atomic"])


def operations_from(
    tenant_id: int, members: Sequence[dict[str, Any]], references: Sequence[UUID]
) -> list[Operation]:
    """The operations of members that BatchMember has loaded."""
    hold_wallets = wallets_of_holds(tenant_id, members, references)
    originals = wallets_of_originals(tenant_id, members)
    operations = []
    for member, reference_id in zip(members, references, strict=True):
        operation_type = OperationType[member["operation_type"]]
        wallet: Any
        wallet, *target = [member.get(name) for name in operation_type.wallet_fields]
        hold: Any = member.get("hold")
        original = member.get("refund_of")
        # Of an unknown hold, none: the ledger refuses it by its own name.
        wallet = hold_wallets.get(hold, wallet)
        if original is not None and originals is not None:
            wallet, *target = originals.get(original, (original, None))
        operations.append(
            Operation(
                tenant_id=tenant_id,
                operation_type=operation_type,
                wallet_uuid=wallet,
                target_uuid=target[0] if target else None,
                amount=member.get("amount", ZERO),
                description=member["description"],
                reference_id=reference_id,
                parent_reference_id=hold or original,
                final=member.get("final", False),
                expires_at=member.get("expires_at"),
                expected_refunded=member.get("expected_refunded"),
                metadata=member["metadata"],
            )
        )
        if originals is not None:
            # A member may refund one before it.
            made = operations[-1].wallet_uuid, operations[-1].target_uuid
            originals.setdefault(reference_id, way_back(*made))
    return operations


def wallets_of_holds(
    tenant_id: int, members: Sequence[dict[str, Any]], references: Sequence[UUID]
) -> dict[UUID, UUID]:
    """The wallets of the holds that members name, by the holds' ids.

    A member may name a hold that one before it makes.
    """
    named = {member["hold"] for member in members if "hold" in member}
    if not named:
        return {}
    made = {
        reference: member["wallet"]
        for member, reference in zip(members, references, strict=True)
        if member["operation_type"] == OperationType.HOLD
    }
    with settled() as connection:
        return made | holds.wallets_of(connection, tenant_id, named)


def wallets_of_originals(
    tenant_id: int, members: Sequence[dict[str, Any]]
) -> dict[UUID, tuple[UUID, UUID | None]] | None:
    """A refund's wallets, by its original's reference; None: nothing is refunded."""
    named = {member["refund_of"] for member in members if "refund_of" in member}
    if not named:
        return None
    with settled() as connection:
        found = refunds.find(connection, tenant_id, named)
    return {reference: one.wallets for reference, one in found.items()}


def raise_whole_refusal(unit: Unit, outcomes: Sequence[Outcome]) -> None:
    """Raise what refuses the whole unit: one member of an atomic one, or no answer."""
    last = outcomes[-1]
    if not isinstance(last, Refusal):
        return
    if unit.atomic:
        raise error_of(last, index=len(outcomes) - 1)
    refusals = [one for one in outcomes if isinstance(one, Refusal)]
    if [one.code for one in refusals] == ["try_again"] * len(outcomes):
        # One answer for all of them: as uncertain as the most uncertain of them.
        uncertain = [one for one in refusals if one.facts.get("applied") == "unknown"]
        raise error_of(uncertain[0] if uncertain else last)
