"""Sends each request to the service and to the model, and compares their answers."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import Flask
from werkzeug.test import TestResponse

from tests.model.accounts import (
    OF_HOLDS,
    Entry,
    Operation,
    Outcome,
    Receipt,
    Refusal,
)
from tests.model.bank import Bank

API = "/api/v1"


def expect(shown: Any, expected: Any) -> None:
    """The service's word against the model's."""
    if shown != expected:
        raise AssertionError(f"the service says {shown!r}, the model {expected!r}")


@dataclass(frozen=True)
class Request:
    """A request that moves money, as it is sent, and what it means to the model."""

    path: str
    body: dict[str, Any]
    operations: tuple[Operation, ...]
    headers: dict[str, str] = field(default_factory=dict)


class Teller:
    """A client of both."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.bank = Bank()
        self.answers: Counter[str] = Counter()

    def call(self, method: str, path: str, **request: Any) -> TestResponse:
        # Buffered, so that a file is closed.
        answer = self.client.open(API + path, method=method, buffered=True, **request)
        code = answer.status_code
        kind = str(code) if code < 400 else f"{code} {answer.get_json()['code']}"
        self.answers[kind] += 1
        return answer

    def get(self, path: str, **query: Any) -> Any:
        answer = self.call("GET", path, query_string=query)
        expect(answer.status_code, 200)
        return answer.get_json()

    def send(self, request: Request) -> None:
        """Both do it; whatever the service says, the model must have said as well."""
        answer = self.call(
            "POST", request.path, json=request.body, headers=request.headers
        )
        if "operations" in request.body:
            atomic = request.body["atomic"]
            outcomes = self.bank.post_batch(request.operations, atomic=atomic)
            self.check_batch(answer, request.operations, outcomes, atomic=atomic)
        else:
            outcome = self.bank.post_alone(request.operations[0])
            self.check_single(answer, request.operations[0], outcome)

    def check_single(
        self, answer: TestResponse, operation: Operation, outcome: Outcome
    ) -> None:
        if isinstance(outcome, Refusal):
            check_refusal(answer, outcome)
            return
        expect(answer.status_code, 201 if operation.kind == "HOLD" else 200)
        replayed = answer.headers.get("Idempotent-Replayed") == "true"
        expect(replayed, outcome.replayed)
        body = answer.get_json()
        if operation.kind == "TRANSFER":
            legs = [body["outgoing"], body["incoming"]]
        else:
            legs = body.get("transactions", [body])
        self.learn(operation.key, legs[0]["reference_id"])
        self.compare(outcome, legs)
        if operation.kind == "TRANSFER":
            names = ("reference_id", "amount", "currency")
            expect([body[name] for name in names], [legs[0][name] for name in names])
        elif operation.kind in (*OF_HOLDS, "REFUND"):
            del body["transactions"]
            expect(body, self.around(outcome))

    def around(self, receipt: Receipt) -> dict[str, Any]:
        """What the answer to an operation of a hold, or to a refund, says besides."""
        kind = receipt.operation.kind
        told = {"reference_id": receipt.reference, "operation_type": kind}
        if receipt.hold is not None:
            return told | {"hold": receipt.hold.shown()}
        wallet, parent = receipt.entries[0].wallet, receipt.operation.parent
        left = self.bank.applied(parent).amount - receipt.refunded
        return told | {
            "refund_of": parent,
            "amount": wallet.text(receipt.amount),
            "currency": wallet.currency,
            "refunded": wallet.text(receipt.refunded),
            "remaining": wallet.text(left),
        }

    def check_batch(
        self,
        answer: TestResponse,
        operations: Sequence[Operation],
        outcomes: Sequence[Outcome],
        *,
        atomic: bool,
    ) -> None:
        last = outcomes[-1]
        if atomic and isinstance(last, Refusal):
            check_refusal(answer, last)
            expect(answer.get_json()["index"], len(outcomes) - 1)
            return
        expect(answer.status_code, 200)
        body = answer.get_json()
        refused = sum(isinstance(one, Refusal) for one in outcomes)
        replayed = sum(isinstance(one, Receipt) and one.replayed for one in outcomes)
        expect(body["refused"], refused)
        expect(body["applied"], len(outcomes) - refused - replayed)
        expect([one["index"] for one in body["outcomes"]], list(range(len(outcomes))))
        for operation, outcome, member in zip(
            operations, outcomes, body["outcomes"], strict=True
        ):
            self.learn(operation.key, member["reference_id"])
            if isinstance(outcome, Refusal):
                told = (member["status"], member["code"])
                expect(told, (outcome.status, outcome.code))
                continue
            code = "replayed" if outcome.replayed else "ok"
            expect((member["status"], member["code"]), (200, code))
            self.compare(outcome, member["transactions"])

    def learn(self, key: Hashable, reference: str) -> None:
        """A key is one reference for ever; a UUID is its own."""
        if key is None:
            return
        if isinstance(key, str):
            expect(reference, key)
        expect(reference, self.bank.references.setdefault(key, reference))

    def compare(self, receipt: Receipt, shown: Sequence[dict[str, Any]]) -> None:
        """Entries as they are shown; the first time, their id and time are learnt."""
        expect(len(shown), len(receipt.entries))
        for entry, told in zip(receipt.entries, shown, strict=True):
            if entry.id is None:
                learn_entry(entry, told)
            expect(told, entry.shown())


def learn_entry(entry: Entry, told: dict[str, Any]) -> None:
    """What only the service can say; time never goes back along a history."""
    entry.id, entry.reference = told["id"], told["reference_id"]
    UUID(told["reference_id"])
    if entry.created_at is None:
        earlier = entry.wallet.history[: entry.seq - 1]
        previous = earlier[-1].created_at if earlier else entry.wallet.created_at
        expect(told["created_at"] >= previous, True)
        entry.created_at = told["created_at"]


def check_refusal(answer: TestResponse, refusal: Refusal) -> None:
    problem = answer.get_json()
    told = {name: problem.get(name) for name in ("status", "code", *refusal.facts)}
    expected = {"status": refusal.status, "code": refusal.code, **refusal.facts}
    expect(told, expected)
