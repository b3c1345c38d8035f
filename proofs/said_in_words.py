"""What Schemathesis cannot know: rules that are said in words, wallets that there are.

It takes every request that fits the schemas for a valid one. One that is refused for
one of these rules, and for nothing else, is rightly refused.
"""

import json
import os
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

from wallet_app.http.fields import CANONICAL_UUID

# They depend on what the wallet is, or on what was posted before.
CODES = {
    "currency_mismatch",
    "idempotency_key_reused",
    "invalid_amount",
    "precondition_failed",
    "same_wallet",
}
OF_SOME_TYPES = (
    "amount",
    "expected_refunded",
    "expires_at",
    "final",
    "from_wallet",
    "hold",
    "refund_of",
    "to_wallet",
    "wallet",
)
# The end of a field's path, and the beginning of what is said of it.
RULES = (
    *((name, "Give a time that lies in the years") for name in ("at", "from", "to")),
    ("at", "Give a time that has passed."),
    ("to", "Give a time that has passed."),
    ("to", "`from` must lie before `to`."),
    ("to", "The period must be over"),
    ("to", "Ask for "),
    ("to", "`to` lies before `from`."),
    ("to", "Give a year from"),
    ("from", "Give a year from"),
    ("tz", "Give an IANA time zone"),
    ("cursor", "Give next_cursor as the page before gave it"),
    ("reference_id", "Give reference_id or Idempotency-Key"),
    ("expires_at", "Give a time that lies in the years"),
    ("expires_at", "Give a time in the next"),
    ("expires_at", "Give a time that is still to come"),
    # Of a body of lines.
    ("1", ""),
    ("max_count", "Give max_count, max_amount or both."),
    # A batch's member has the fields of its type.
    *((name, "Not for a ") for name in OF_SOME_TYPES),
    *((name, "Missing data for required field.") for name in OF_SOME_TYPES),
)


WALLETS_VARIABLE = "WALLETS_THAT_THERE_ARE"


@schemathesis.serializer("application/x-ndjson")
def write_lines(context: Any, value: Any) -> Any:
    """A text as it is, whatever its lines are; anything else on one line."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Transfers and batches name wallets that there are: no link can give them two."""
    known = os.environ[WALLETS_VARIABLE].split(",")
    body = case.body if isinstance(case.body, dict) else {}
    members = body.get("operations", [])
    for one in [body, *(members if isinstance(members, list) else [])]:
        for place, name in enumerate(("from_wallet", "to_wallet", "wallet")):
            if isinstance(one, dict) and is_uuid(one.get(name)):
                one[name] = known[place % len(known)]


def is_uuid(value: Any) -> bool:
    return isinstance(value, str) and CANONICAL_UUID.fullmatch(value) is not None


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep a failure, unless the request broke a rule that is said in words."""
    if isinstance(failure, AcceptedNegativeData):
        # Amounts are taken as JSON numbers, too; of this one any is an amount.
        body = case.body if isinstance(case.body, dict) else {}
        return not isinstance(body.get("minimum_balance"), int)
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = json.loads(response.content)
    if problem["code"] in CODES:
        return False
    said = list(messages(problem.get("errors", {})))
    return not said or not all(is_a_rule(*one) for one in said)


def messages(errors: Any, field: str = "") -> Any:
    """Every (field, message) of a problem's errors, at any depth."""
    if isinstance(errors, dict):
        for name, inner in errors.items():
            yield from messages(inner, name)
    else:
        for message in errors:
            yield field, message


def is_a_rule(field: str, message: str) -> bool:
    return any(field == name and message.startswith(start) for name, start in RULES)
