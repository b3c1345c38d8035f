"""The steps of the smoke test, in their order; each builds on those before it."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from wallet_app.cli.http_client import Answer
from wallet_app.cli.smoke_checks import (
    Unexpected,
    Walk,
    answers,
    is_replay,
    loads_locally,
    refuses,
    same,
)
from wallet_app.ledger.operation_types import EntryType

Step = Callable[[Walk], None]
STEPS: list[tuple[str, Step]] = []
MAX_PAGES = 10


def step(name: str) -> Callable[[Step], Step]:
    """Add a function to the steps; it raises Unexpected when it fails."""

    def register(function: Step) -> Step:
        STEPS.append((name, function))
        return function

    return register


@step("the service lives")
def live(walk: Walk) -> None:
    answers(walk.api.get("/healthz"), 200, status="ok")


@step("it reaches its database")
def ready(walk: Walk) -> None:
    status = answers(walk.api.get("/readyz"), 200)["status"]
    # Degraded: only the background work is late.
    same("status", expected=True, got=status in {"ok", "degraded"})


@step("it describes itself in OpenAPI 3.1")
def openapi(walk: Walk) -> None:
    document = answers(walk.api.get("/openapi.json"), 200)
    same("version", expected="3.1", got=document["openapi"][:3])
    path = "/api/v1/wallets/{uuid}/operation"
    same(f"POST {path}", expected=True, got="post" in document["paths"][path])


@step("the pages /docs and /redoc need no internet")
def docs(walk: Walk) -> None:
    loads_locally(walk.api, "/docs")
    loads_locally(walk.api, "/redoc")


@step("create a wallet")
def create(walk: Walk) -> None:
    answer = walk.api.post("/api/v1/wallets", {"uuid": walk.wallet, "currency": "USD"})
    empty = {"balance": "0.00", "currency": "USD", "status": "active", "version": 0}
    answers(answer, 201, uuid=walk.wallet, **empty)
    same("Location", expected=walk.path, got=answer.headers.get("Location"))


@step("create it again: nothing new")
def create_again(walk: Walk) -> None:
    answer = walk.api.post("/api/v1/wallets", {"uuid": walk.wallet, "currency": "USD"})
    answers(answer, 201, uuid=walk.wallet, version=0)
    is_replay(answer)


@step("say whose it is, and find it by that")
def find_by_owner(walk: Walk) -> None:
    said = {"owner": walk.wallet, "labels": ["smoke"]}
    answer = walk.api.call("PATCH", walk.path, json.dumps(said))
    answers(answer, 200, uuid=walk.wallet, **said)
    page = answers(walk.api.get(f"/api/v1/wallets?owner={walk.wallet}"), 200)
    found = [one["uuid"] for one in page["data"]]
    same("wallets of the owner", expected=[walk.wallet], got=found)


@step("deposit 1000")
def deposit(walk: Walk) -> None:
    answer = walk.operate("DEPOSIT", 1000, reference_id=walk.deposit_reference)
    answers(
        answer,
        200,
        wallet_uuid=walk.wallet,
        seq=1,
        operation_type="DEPOSIT",
        amount="1000.00",
        balance_before="0.00",
        balance_after="1000.00",
        currency="USD",
        reference_id=walk.deposit_reference,
    )


@step("withdraw 500 with an Idempotency-Key")
def withdraw(walk: Walk) -> None:
    answer = withdraw_with_key(walk)
    changes = {"balance_before": "1000.00", "balance_after": "500.00"}
    walk.withdrawal = answers(answer, 200, seq=2, amount="500.00", **changes)


@step("withdraw it again: the first answer, and no money moves")
def replay_key(walk: Walk) -> None:
    answer = withdraw_with_key(walk)
    same("body", expected=walk.withdrawal, got=answers(answer, 200))
    is_replay(answer)


def withdraw_with_key(walk: Walk) -> Answer:
    body = {"operation_type": "WITHDRAW", "amount": "500.00", "description": "smoke"}
    key = f"smoke {walk.wallet}"
    return walk.api.post(f"{walk.path}/operation", body, Idempotency_Key=key)


@step("deposit again with the same reference_id: no money moves")
def replay_reference(walk: Walk) -> None:
    answer = walk.operate("DEPOSIT", 1000, reference_id=walk.deposit_reference)
    answers(answer, 200, seq=1, balance_after="1000.00")
    is_replay(answer)


@step("the same reference_id for another amount: 422")
def reuse_reference(walk: Walk) -> None:
    answer = walk.operate("DEPOSIT", 1001, reference_id=walk.deposit_reference)
    refuses(answer, 422, "idempotency_key_reused")


@step("withdraw a cent too much: 409")
def overdraw(walk: Walk) -> None:
    answer = walk.operate("WITHDRAW", "500.01")
    facts = {"available": "500.00", "short_by": "0.01"}
    refuses(answer, 409, "insufficient_funds", **facts)


@step("a new wallet has no limits")
def limits(walk: Walk) -> None:
    shown = {"minimum_balance": "0.00", "largest_operation": None}
    answers(walk.api.get(f"{walk.path}/limits"), 200, **shown)


@step("deposit 0.1 and 0.2 as JSON numbers: exact")
def exact(walk: Walk) -> None:
    answers(walk.operate("DEPOSIT", 0.1), 200, balance_after="500.10")
    answers(walk.operate("DEPOSIT", 0.2), 200, balance_after="500.30")


@step("a tenth of a cent: 422")
def too_many_digits(walk: Walk) -> None:
    refuses(walk.operate("DEPOSIT", "0.001"), 422, "invalid_amount")


@step("an unknown field: 422")
def unknown_field(walk: Walk) -> None:
    refuses(walk.operate("DEPOSIT", 1, amuont=2), 422, "validation_failed")


@step("a body that is not JSON: 400")
def malformed(walk: Walk) -> None:
    answer = walk.api.call("POST", f"{walk.path}/operation", "{")
    refuses(answer, 400, "malformed_request")


@step("an unknown wallet: 404")
def unknown_wallet(walk: Walk) -> None:
    refuses(walk.api.get(f"/api/v1/wallets/{uuid4()}"), 404, "wallet_not_found")


@step("transfer 0.30 to a second wallet: both transactions")
def transfer(walk: Walk) -> None:
    walk.api.post("/api/v1/wallets", {"uuid": walk.other, "currency": "USD"})
    body = {"from_wallet": walk.wallet, "to_wallet": walk.other, "amount": "0.30"}
    answer = walk.api.post(
        "/api/v1/transfers", body | {"metadata": {"order": walk.other}}
    )
    walk.transfer = answers(answer, 200, amount="0.30", currency="USD")
    outgoing, incoming = walk.transfer["outgoing"], walk.transfer["incoming"]
    same("balances", expected=("500.00", "0.30"), got=balances(outgoing, incoming))
    same("counterparty", expected=walk.other, got=outgoing["counterparty_uuid"])


def balances(*entries: dict[str, Any]) -> tuple[str, ...]:
    return tuple(entry["balance_after"] for entry in entries)


@step("look the transfer up by its reference_id")
def look_up(walk: Walk) -> None:
    reference = walk.transfer["reference_id"]
    legs = [walk.transfer["outgoing"], walk.transfer["incoming"]]
    members = {"operation_type": "TRANSFER", "transactions": legs}
    answers(walk.api.get(f"/api/v1/operations/{reference}"), 200, **members)


@step("search the transfer by its metadata: both transactions")
def search(walk: Walk) -> None:
    path = f"/api/v1/transactions?metadata=order={walk.other}"
    legs = [walk.transfer["incoming"], walk.transfer["outgoing"]]
    answers(walk.api.get(path), 200, data=legs)


@step("an operation that never was: 404")
def look_up_unknown(walk: Walk) -> None:
    answer = walk.api.get(f"/api/v1/operations/{uuid4()}")
    refuses(answer, 404, "operation_not_found")


@step("a batch: each member has an outcome of its own")
def batch(walk: Walk) -> None:
    answer = post_batch(walk, atomic=False)
    body = answers(answer, 200, applied=1, refused=1)
    codes = [outcome["code"] for outcome in body["outcomes"]]
    same("codes", expected=["ok", "insufficient_funds"], got=codes)


@step("an atomic batch with a refusal: nothing is applied")
def atomic_batch(walk: Walk) -> None:
    answer = post_batch(walk, atomic=True)
    refuses(answer, 409, "insufficient_funds", index=1)


def post_batch(walk: Walk, *, atomic: bool) -> Answer:
    """A transfer that takes all from the second wallet, and one that finds nothing.

    The atomic one comes later, when already the first of them would find nothing.
    """
    back = {
        "operation_type": "TRANSFER",
        "from_wallet": walk.other,
        "to_wallet": walk.wallet,
        "amount": "0.30",
    }
    deposit = {"operation_type": "DEPOSIT", "wallet": walk.wallet, "amount": "1.00"}
    members = [deposit if atomic else back, back]
    body = {"operations": members, "atomic": atomic}
    return walk.api.post("/api/v1/operations/batch", body)


@step("the history: pages that chain, balances that add up")
def history(walk: Walk) -> None:
    walk.history = read_history(walk, limit=3)
    seqs = [entry["seq"] for entry in walk.history]
    same("seqs", expected=[6, 5, 4, 3, 2, 1], got=seqs)
    balance = Decimal(0)
    for entry in reversed(walk.history):
        same("balance", expected=balance, got=Decimal(entry["balance_before"]))
        balance += Decimal(entry["amount"]) * EntryType[entry["operation_type"]].sign
        same("balance", expected=balance, got=Decimal(entry["balance_after"]))


def read_history(walk: Walk, *, limit: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(MAX_PAGES):
        page = answers(
            walk.api.get(f"{walk.path}/transactions?limit={limit}{cursor}"), 200
        )
        entries += page["data"]
        if not page["has_more"]:
            same("next_cursor", expected=None, got=page["next_cursor"])
            return entries
        same("rows on a page", expected=limit, got=len(page["data"]))
        cursor = f"&cursor={page['next_cursor']}"
    raise Unexpected(f"expected the pages to end, got {MAX_PAGES} of them")


@step("the balance is the history's last")
def balance(walk: Walk) -> None:
    last = walk.history[0]["balance_after"]
    same("balance", expected="500.30", got=last)
    funds = {"balance": last, "held": "0.00", "available": last}
    same(
        "body",
        expected={"uuid": walk.wallet, "currency": "USD"} | funds,
        got=answers(walk.api.get(f"{walk.path}/balance"), 200),
    )
    answers(walk.api.get(walk.path), 200, balance=last, version=len(walk.history))


@step("the statistics agree with the history")
def statistics(walk: Walk) -> None:
    count = len(walk.history)
    members = {"count": count, "as_of_seq": count, "net_flow": "500.30"}
    body = answers(walk.api.get(f"{walk.path}/statistics"), 200, **members)
    for by_type in body["operations"]:
        name = by_type["operation_type"]
        amounts = [
            Decimal(entry["amount"])
            for entry in walk.history
            if entry["operation_type"] == name
        ]
        expected = (
            len(amounts),
            str(sum(amounts)),
            str(min(amounts)),
            str(max(amounts)),
        )
        got = tuple(by_type[key] for key in ("count", "total", "smallest", "largest"))
        same(f"{name} (count, total, smallest, largest)", expected=expected, got=got)
    types = {entry["operation_type"] for entry in walk.history}
    same(
        "types",
        expected=types,
        got={one["operation_type"] for one in body["operations"]},
    )


@step("refund a cent of the withdrawal: no more than it moved")
def refund(walk: Walk) -> None:
    original = walk.withdrawal["reference_id"]
    path = f"/api/v1/operations/{original}/refund"
    answer = walk.api.post(path, {"amount": "0.01", "expected_refunded": "0"})
    facts = {"refunded": "0.01", "remaining": "499.99"}
    body = answers(answer, 200, refund_of=original, **facts)
    same("balances", expected=("500.31",), got=balances(*body["transactions"]))
    too_much = walk.api.post(path, {"amount": "500.00"})
    refuses(too_much, 409, "exceeds_refundable", **facts)
    members = {"refunded": "0.01", "refunds": [body["reference_id"]]}
    answers(walk.api.get(f"/api/v1/operations/{original}"), 200, **members)


@step("hold 100.00, try a capture, take 30.00 of it: the rest is available again")
def hold(walk: Walk) -> None:
    held = answers(walk.api.post(f"{walk.path}/holds", {"amount": "100.00"}), 201)
    path = f"/api/v1/holds/{held['hold']['id']}"
    funds = {"balance": "500.31", "held": "100.00", "available": "400.31"}
    answers(walk.api.get(f"{walk.path}/balance"), 200, **funds)
    taken = {"amount": "30.00", "final": True}
    tried = walk.api.post(f"{path}/capture?dry_run=true", taken)
    answers(tried, 200)
    answers(walk.api.get(path), 200, status="open", captured="0.00")
    answers(walk.api.post(f"{path}/capture", taken), 200)
    members = {"status": "captured", "captured": "30.00", "released": "70.00"}
    answers(walk.api.get(path), 200, **members)
    refuses(walk.api.post(f"{path}/void", {}), 409, "hold_already_captured")
    funds = {"balance": "470.31", "held": "0.00", "available": "470.31"}
    answers(walk.api.get(f"{walk.path}/balance"), 200, **funds)


@step("a limit of 20.00 an operation: no more passes")
def keep_limit(walk: Walk) -> None:
    path = f"{walk.path}/limits"
    limited = walk.api.call("PUT", path, json.dumps({"largest_operation": "20.00"}))
    answers(limited, 200, largest_operation="20.00")
    refuses(walk.operate("WITHDRAW", "20.01"), 409, "limit_exceeded")
    answers(walk.operate("WITHDRAW", "20.00"), 200, balance_after="450.31")


@step("freeze it: nothing leaves, until it is unfrozen")
def freeze(walk: Walk) -> None:
    reason = {"reason": "smoke"}
    frozen = walk.api.post(f"{walk.path}/freeze", reason | {"block": "out"})
    answers(frozen, 200, status="frozen", block="out")
    refuses(walk.operate("WITHDRAW", "1.00"), 409, "wallet_not_active")
    answers(walk.operate("DEPOSIT", "1.00"), 200, balance_after="451.31")
    answers(walk.api.post(f"{walk.path}/unfreeze", reason), 200, status="active")


@step("close the second wallet, which is empty: it takes nothing more")
def close(walk: Walk) -> None:
    reason = {"reason": "smoke"}
    refuses(walk.api.post(f"{walk.path}/close", reason), 409, "wallet_not_empty")
    path = f"/api/v1/wallets/{walk.other}"
    answers(walk.api.post(f"{path}/close", reason), 200, status="closed")
    deposit = {"operation_type": "DEPOSIT", "amount": "1.00"}
    refuses(walk.api.post(f"{path}/operation", deposit), 409, "wallet_not_active")
