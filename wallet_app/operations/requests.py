"""From a batch's request to a unit of the ledger."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid5

from uuid_utils.compat import uuid7

from wallet_app.http.caller import caller
from wallet_app.http.money_requests import error_of, key_from_header
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import Operation, Refusal


def unit_from(body: dict[str, Any]) -> Unit:
    """The operations of a batch; its Idempotency-Key gives each one its own key."""
    key, tenant_id = key_from_header(), caller().tenant_id
    operations = []
    for index, member in enumerate(body["operations"]):
        operation_type = OperationType[member["operation_type"]]
        wallet, *target = [member[name] for name in operation_type.wallet_fields]
        operations.append(
            Operation(
                tenant_id=tenant_id,
                operation_type=operation_type,
                wallet_uuid=wallet,
                target_uuid=target[0] if target else None,
                amount=member["amount"],
                description=member["description"],
                reference_id=member["reference_id"]
                or (uuid5(key, str(index)) if key else uuid7()),
                metadata=member["metadata"],
            )
        )
    return Unit(operations, atomic=body["atomic"])


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
