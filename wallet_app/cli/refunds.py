"""`flask wallet refund`."""

from decimal import Decimal
from uuid import UUID

import click
from flask.cli import with_appcontext
from uuid_utils.compat import uuid7

from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.cli.wallets import UUID_TYPE, carry_out, with_currency
from wallet_app.database import reading
from wallet_app.http.caller import caller
from wallet_app.http.fields import Amount
from wallet_app.http.money_schemas import DescribedMove, RefundedSoFar
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.rules import ZERO, Operation
from wallet_app.refunds import queries
from wallet_app.refunds.schemas import RefundOperation, answer_of

REASON = FieldType("text", DescribedMove().fields["description"])


@click.command("refund", help=OperationType.REFUND.purpose)
@click.argument("original", type=UUID_TYPE)
@click.option("--amount", type=FieldType("amount", Amount()), help="Without it, all.")
@click.option("--reason", type=REASON)
@click.option(
    "--expected-refunded",
    type=FieldType("amount", RefundedSoFar()),
    help="Refuse it when another sum has been refunded before.",
)
@click.option("--reference-id", type=UUID_TYPE, help="Makes a retry safe.")
@json_option
@with_appcontext
def refund_command(
    original: UUID,
    amount: Decimal | None,
    reason: str | None,
    expected_refunded: Decimal | None,
    reference_id: UUID | None,
    as_json: bool,
) -> None:
    with reading() as connection:
        refunded = queries.find(connection, caller().tenant_id, original)
    wallet_uuid, target_uuid = refunded.wallets
    operation = Operation(
        tenant_id=caller().tenant_id,
        operation_type=OperationType.REFUND,
        wallet_uuid=wallet_uuid,
        target_uuid=target_uuid,
        amount=amount or ZERO,
        description=reason,
        reference_id=reference_id or uuid7(),
        parent_reference_id=original,
        expected_refunded=expected_refunded,
    )
    receipt = carry_out(operation)
    answer = answer_of(receipt)
    if as_json:
        output.document(RefundOperation().dump(answer))
        return
    output.pairs(
        {
            "refund": str(answer["reference_id"]),
            "of": str(original),
            **{
                name: with_currency(answer[name], answer["currency"])
                for name in ("amount", "refunded", "remaining")
            },
        }
    )
