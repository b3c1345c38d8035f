"""Drives the service and the model with the same random requests, step by step."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests import books
from tests.model import drafts, reports
from tests.model.accounts import DIGITS, OF_HOLDS, Operation, Wallet
from tests.model.drafts import NOBODY, NOBODYS_UUID, Draft
from tests.model.teller import Request, Teller, expect
from wallet_app.ledger import rules, wallets
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID

MAX_WALLETS = 8
PLACES = st.integers(0, 100)
CURRENCIES = st.sampled_from(sorted(DIGITS))
STATES = {"freeze": "frozen", "unfreeze": "active", "close": "closed"}
VERBS = {
    "CAPTURE": "capture",
    "VOID": "void",
    "HOLD_INCREASE": "increase",
    "HOLD_EXTEND": "extend",
}
BATCH = {
    "key_in": st.sampled_from(["header", "nowhere"]),
    "earlier": st.none() | PLACES,
}

# How much was done, and what was answered, over all machines.
SEQUENCES: Counter[str] = Counter()
STEPS: Counter[str] = Counter()
ANSWERS: Counter[str] = Counter()


def step(**drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule of the machine; its runs are counted."""

    def decorate(function: Callable[..., None]) -> Any:
        @functools.wraps(function)
        def counted(self: Any, **arguments: Any) -> None:
            STEPS[function.__name__] += 1
            function(self, **arguments)

        return rule(**drawn)(counted)

    return decorate


class MoneyMachine(RuleBasedStateMachine):
    """Creates wallets and moves money, over HTTP and in the model."""

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self.app = app
        with app.app_context():
            books.empty()
        self.teller = Teller(app)
        self.bank = lambda: self.teller.bank
        self.sent: list[Request] = []
        self.serial = 0

    def teardown(self) -> None:
        SEQUENCES["done"] += 1
        ANSWERS.update(self.teller.answers)

    @contextmanager
    def in_app(self) -> Iterator[None]:
        with self.app.app_context():
            yield

    def new_uuid(self) -> str:
        self.serial += 1
        return str(UUID(int=self.serial))

    def wallet(self, place: int) -> Wallet:
        known = list(self.bank().wallets.values())
        return known[place % len(known)]

    def uuid_at(self, place: int) -> str:
        return NOBODYS_UUID if place == NOBODY else self.wallet(place).uuid

    # Wallets

    @initialize(currency=st.sampled_from(["USD", "USD", "JPY", "KWD"]))
    def begin_with_three(self, currency: str) -> None:
        for one in ("USD", "USD", currency):
            self.create(one)
        # Something to spend, so that not everything is refused.
        self.send(self.single(Draft("DEPOSIT", 0, 0, "500", None, None, "body")))
        self.send(
            self.single(Draft("DEPOSIT", 1, 0, "50.5", None, {"order": "7"}, "header"))
        )

    def create(self, currency: str) -> None:
        uuid = self.new_uuid()
        body = {"currency": currency, "uuid": uuid}
        answer = self.teller.call("POST", "/wallets", json=body)
        expect(answer.status_code, 201)
        told = answer.get_json()
        wallet = self.bank().open(uuid, currency, told["created_at"])
        expect(told, wallet.shown())

    @step(place=PLACES, currency=CURRENCIES, again=st.booleans())
    def create_wallet(self, place: int, currency: str, again: bool) -> None:
        if not again and len(self.bank().wallets) < MAX_WALLETS:
            self.create(currency)
            return
        wallet = self.wallet(place)
        body = {"currency": currency, "uuid": wallet.uuid}
        answer = self.teller.call("POST", "/wallets", json=body)
        if currency == wallet.currency:
            expect(answer.status_code, 201)
            expect(answer.headers["Idempotent-Replayed"], "true")
            expect(answer.get_json(), wallet.shown())
        else:
            expect(answer.get_json()["code"], "wallet_exists")

    @precondition(lambda self: len(self.bank().wallets) < MAX_WALLETS)
    @step(currency=CURRENCIES, days=st.integers(1, 70))
    def import_wallet(self, currency: str, days: int) -> None:
        created_at = datetime.now(UTC) - timedelta(days)
        uuid = self.new_uuid()
        with self.in_app():
            wallets.create(currency=currency, uuid=UUID(uuid), created_at=created_at)
        self.bank().open(uuid, currency, reports.text_of(created_at))

    @step(place=PLACES, owner=drafts.owners, labels=drafts.labels)
    def say_whose_it_is(self, place: int, owner: str | None, labels: list[str]) -> None:
        wallet = self.wallet(place)
        if (wallet.owner, wallet.labels) != (owner, labels):
            wallet.owner, wallet.labels = owner, labels
            wallet.revision += 1
        body = {"owner": owner, "labels": labels}
        answer = self.teller.call("PATCH", f"/wallets/{wallet.uuid}", json=body)
        expect(answer.get_json(), wallet.shown())

    @step(
        place=PLACES,
        verb=st.sampled_from(["freeze", "unfreeze", "unfreeze", "unfreeze", "close"]),
        block=st.sampled_from(["out", "all"]),
    )
    def set_status(self, place: int, verb: str, block: str) -> None:
        wallet = self.wallet(place)
        blocks = {"block": block} if verb == "freeze" else {}
        new = STATES[verb], blocks.get("block")
        answer = self.teller.call(
            "POST", f"/wallets/{wallet.uuid}/{verb}", json={"reason": "why"} | blocks
        )
        if (wallet.status, wallet.block) != new:
            if wallet.status == "closed":
                expect(answer.get_json()["code"], "wallet_closed")
                return
            if verb == "close" and (wallet.balance or wallet.held):
                expect(answer.get_json()["code"], "wallet_not_empty")
                return
            wallet.status, wallet.block = new
            wallet.revision += 1
        expect(answer.get_json(), wallet.shown())

    @step(
        place=PLACES,
        minimum=st.sampled_from(["-200", "-20", "0", "0", "5"]),
        maximum=st.sampled_from([None, None, "600", "2000"]),
        largest=st.sampled_from([None, None, "150"]),
    )
    def limit(
        self, place: int, minimum: str, maximum: str | None, largest: str | None
    ) -> None:
        """In whole units; velocity, whose periods end, is left to other proofs."""
        wallet = self.wallet(place)
        asked = {
            "minimum_balance": minimum,
            "maximum_balance": maximum,
            "largest_operation": largest,
        }
        path = f"/wallets/{wallet.uuid}/limits"
        answer = self.teller.call("PUT", path, json=asked)
        wanted = [one and wallet.units(one) for one in asked.values()]
        if wallet.status == "closed":
            expect(answer.get_json()["code"], "wallet_closed")
            return
        if wallet.balance - wallet.held < min(wanted[0], 0):
            expect(answer.get_json()["code"], "wallet_overdrawn")
            return
        if wanted != [wallet.minimum, wallet.maximum, wallet.largest]:
            wallet.minimum, wallet.maximum, wallet.largest = wanted
            wallet.revision += 1
        told = answer.get_json()
        shown = [None if one is None else wallet.text(one) for one in wanted]
        expect([told[name] for name in asked], shown)

    # Money

    def send(self, request: Request) -> None:
        self.sent.append(request)
        self.teller.send(request)

    @step(alone=drafts.alone)
    def move(self, alone: list[Draft]) -> None:
        for draft in alone:
            self.send(self.single(draft))

    @step(members=drafts.members, **BATCH)
    def batch(self, members: list[Draft], key_in: str, earlier: int | None) -> None:
        self.send(self.batch_of(members, key_in, earlier, atomic=False))

    @step(members=drafts.members, **BATCH)
    def atomic_batch(
        self, members: list[Draft], key_in: str, earlier: int | None
    ) -> None:
        self.send(self.batch_of(members, key_in, earlier, atomic=True))

    @precondition(lambda self: self.sent)
    @step(place=PLACES)
    def send_again(self, place: int) -> None:
        self.teller.send(self.sent[place % len(self.sent)])

    @precondition(lambda self: self.sent)
    @step(place=PLACES, draft=drafts.drafts(key_in=("nowhere",)))
    def send_other_content_with_the_same_key(self, place: int, draft: Draft) -> None:
        """It may happen to be the same content: then it is a retry."""
        earlier = self.sent[place % len(self.sent)]
        key = earlier.operations[-1].key
        if not isinstance(key, str):
            return
        request = self.single(draft)
        self.teller.send(
            Request(
                request.path,
                {**request.body, "reference_id": key},
                (replace(request.operations[0], key=key),),
            )
        )

    @step(
        draft=drafts.drafts(kinds=drafts.PLAIN, key_in=("body",)),
        hours=st.integers(1, 400),
    )
    def import_operation(self, draft: Draft, hours: int) -> None:
        """As `flask wallet seed` does: dated, and not over HTTP."""
        request = self.single(draft)
        operation = request.operations[0]
        wallet = self.bank().wallets.get(operation.wallet)
        if wallet is None:
            return
        last = datetime.fromisoformat(wallet.updated_at)
        dated = min(last + timedelta(hours=hours), datetime.now(UTC))
        outcome = self.bank().post(
            replace(operation, occurred_at=reports.text_of(dated))
        )
        with self.in_app():
            found = self.app.extensions["ledger"].submit(
                rules.Operation(
                    tenant_id=DEFAULT_TENANT_ID,
                    operation_type=OperationType[operation.kind],
                    wallet_uuid=UUID(operation.wallet),
                    target_uuid=operation.target and UUID(operation.target),
                    amount=Decimal(operation.amount),
                    description=operation.description,
                    metadata=operation.metadata,
                    reference_id=UUID(operation.key),
                    occurred_at=dated,
                )
            )
        expect(getattr(found, "code", "ok"), getattr(outcome, "code", "ok"))
        if not hasattr(outcome, "code"):
            shown = self.teller.get(f"/operations/{operation.key}")
            self.teller.compare(outcome, shown["transactions"])

    # From a draft to a request

    def keyed(self, reference: str, key_in: str) -> tuple[dict[str, str], Any]:
        """The headers, and the key as the model knows it."""
        if key_in == "header":
            text_key = f"order {self.new_uuid()}"
            return {"Idempotency-Key": text_key}, ("header", text_key)
        if key_in == "both":
            return {"Idempotency-Key": reference}, reference
        return {}, reference if key_in == "body" else None

    def single(self, draft: Draft) -> Request:
        reference = self.new_uuid()
        headers, key = self.keyed(reference, draft.key_in)
        operation = self.operation_of(draft, key)
        legs = self.bank().legs(operation)
        if draft.if_match is not None and isinstance(legs, list):
            expected = legs[0][0].version + draft.if_match
            headers |= {"If-Match": f'"{expected}"'}
            operation = replace(operation, expected_version=expected)
        body = member_body(operation)
        if draft.key_in in ("body", "both"):
            body["reference_id"] = reference
        else:
            del body["reference_id"]
        return Request(path_of(body), body, (operation,), headers)

    def batch_of(
        self, members: list[Draft], key_in: str, earlier: int | None, *, atomic: bool
    ) -> Request:
        """`earlier` repeats an operation that was sent before, as one more member."""
        headers, key = self.keyed("", key_in)
        parts = [self.member(draft) for draft in members]
        if earlier is not None and self.sent:
            again = self.sent[earlier % len(self.sent)].operations[0]
            if isinstance(again.key, str) and again.expected_version is None:
                parts.append((again, member_body(again)))
        operations = tuple(
            replace(one, key=(key, index)) if key and one.key is None else one
            for index, (one, _) in enumerate(parts)
        )
        body = {"operations": [body for _, body in parts], "atomic": atomic}
        return Request("/operations/batch", body, operations, headers)

    def member(self, draft: Draft) -> tuple[Operation, dict[str, Any]]:
        _, key = self.keyed(self.new_uuid(), draft.key_in)
        operation = self.operation_of(draft, key)
        return operation, member_body(operation)

    def operation_of(self, draft: Draft, key: Any) -> Operation:
        kind = draft.kind
        parent, wallet = None, None
        if kind == "REFUND":
            receipts = self.bank().receipts.values()
            parent = nth_newest([one.reference for one in receipts], draft.wallet)
        elif kind in OF_HOLDS and kind != "HOLD":
            parent = nth_newest([one.id for one in self.bank().holds], draft.wallet)
        else:
            wallet = self.uuid_at(draft.wallet)
        has_amount = kind not in ("VOID", "HOLD_EXTEND") and not (
            draft.takes_all and kind in ("CAPTURE", "REFUND")
        )
        has_target = kind == "TRANSFER" or (kind == "CAPTURE" and draft.target % 2)
        expires_at = None
        if kind == "HOLD_EXTEND" or (kind == "HOLD" and draft.days):
            ahead = timedelta(days=draft.days or 1)
            expires_at = reports.text_of(datetime.now(UTC) + ahead)
        return Operation(
            kind=kind,
            wallet=wallet,
            target=self.uuid_at(draft.target) if has_target else None,
            amount=draft.amount if has_amount else None,
            description=draft.description,
            metadata=draft.metadata,
            key=key,
            parent=parent,
            final=kind == "CAPTURE" and draft.final,
            expires_at=expires_at,
            expected_refunded=draft.expects if kind == "REFUND" else None,
        )


def nth_newest(references: list[str], place: int) -> str:
    if place == NOBODY or not references:
        return NOBODYS_UUID
    return references[-1 - place % len(references)]


def member_body(operation: Operation) -> dict[str, Any]:
    """An operation as a member of a batch."""
    kind = operation.kind
    if kind == "TRANSFER":
        names = {"from_wallet": operation.wallet, "to_wallet": operation.target}
    elif kind == "REFUND":
        names = {"refund_of": operation.parent}
    elif operation.parent is not None:
        names = {"hold": operation.parent, "to_wallet": operation.target}
    else:
        names = {"wallet": operation.wallet}
    given = names | {
        "amount": operation.amount,
        "final": operation.final or None,
        "expires_at": operation.expires_at,
        "expected_refunded": operation.expected_refunded,
    }
    return {name: value for name, value in given.items() if value is not None} | {
        "operation_type": kind,
        "description": operation.description,
        "metadata": operation.metadata,
        "reference_id": operation.key if isinstance(operation.key, str) else None,
    }


def path_of(member: dict[str, Any]) -> str:
    """Where it is sent by itself; takes out of it what the path says."""
    kind = member["operation_type"]
    if kind in ("DEPOSIT", "WITHDRAW"):
        return f"/wallets/{member.pop('wallet')}/operation"
    del member["operation_type"]
    if kind == "TRANSFER":
        return "/transfers"
    if kind == "HOLD":
        return f"/wallets/{member.pop('wallet')}/holds"
    if kind == "REFUND":
        return f"/operations/{member.pop('refund_of')}/refund"
    return f"/holds/{member.pop('hold')}/{VERBS[kind]}"
