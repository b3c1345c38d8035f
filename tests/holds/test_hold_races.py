"""Capture, void and expiry at once; clocks that go back; thousands of holds."""

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from ops import Crowd, deposit, funded_wallet, operation, withdraw
from sqlalchemy import text

from wallet_app.database import reading, transaction
from wallet_app.holds import tidying
from wallet_app.ledger import posting
from wallet_app.ledger.posting import Receipt, Unit
from wallet_app.ledger.rules import Refusal

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def new_wallet(context):
    return funded_wallet


def post(*operations):
    results = posting.post([Unit([one]) for one in operations])
    return [outcome for outcomes in results for outcome in outcomes]


def hold(wallet, amount, **fields):
    return operation("HOLD", wallet, amount, **fields)


def acting(kind, made, amount=0, **fields):
    return operation(
        kind,
        made.wallet_uuid,
        amount,
        parent_reference_id=made.reference_id,
        **fields,
    )


def soon(seconds=3600):
    return datetime.now(UTC) + timedelta(seconds=seconds)


def money_of(wallet):
    with reading() as connection:
        row = connection.execute(
            text("SELECT balance, held, next_expiry FROM wallets WHERE uuid = :uuid"),
            {"uuid": wallet},
        ).one()
    return row.balance, row.held, row.next_expiry


def make_overdue(*operations):
    with transaction() as connection:
        for one in operations:
            for change in (
                "UPDATE holds SET expires_at = '2020-01-01Z' WHERE id = :id",
                "UPDATE hold_steps SET expires_at = '2020-01-01Z' WHERE hold_id = :id",
            ):
                connection.execute(text(change), {"id": one.reference_id})
        connection.execute(
            text("UPDATE wallets SET next_expiry = '2020-01-01Z' WHERE uuid = :uuid"),
            {"uuid": operations[0].wallet_uuid},
        )


@pytest.mark.parametrize("overdue", [False, True], ids=["in time", "overdue"])
def test_of_captures_and_voids_at_once_one_wins(app, new_wallet, overdue):
    crowd = Crowd(app, threads=16)
    for _ in range(5):
        wallet = new_wallet(100)
        made = hold(wallet, 80, expires_at=soon())
        assert isinstance(post(made)[0], Receipt)
        if overdue:
            make_overdue(made)
        operations = [acting(kind, made) for kind in ("CAPTURE", "VOID") * 8]
        outcomes = crowd.together(app.extensions["ledger"].submit, operations)
        won = [
            one.operation_type
            for one, outcome in zip(operations, outcomes, strict=True)
            if isinstance(outcome, Receipt)
        ]
        assert len(won) == (0 if overdue else 1)
        left = 20 if won == ["CAPTURE"] else 100
        assert money_of(wallet)[:2] == (left, 0)
        refusals = Counter(one.code for one in outcomes if isinstance(one, Refusal))
        how = {(): "expired", ("CAPTURE",): "captured", ("VOID",): "voided"}
        assert set(refusals) == {f"hold_already_{how[tuple(won)]}"}


def test_parts_captured_at_once_are_no_more_than_was_held(app, new_wallet):
    wallet = new_wallet(100)
    made = hold(wallet, 80)
    post(made)
    outcomes = Crowd(app).together(
        app.extensions["ledger"].submit,
        [acting("CAPTURE", made, 7) for _ in range(32)],
    )
    codes = Counter(
        one.code if isinstance(one, Refusal) else "captured" for one in outcomes
    )
    assert codes == {"captured": 11, "exceeds_hold": 21}
    assert money_of(wallet)[:2] == (23, 3)


def test_what_had_expired_stays_expired_when_the_clock_is_set_back(
    new_wallet, monkeypatch
):
    wallet = new_wallet(100)
    made, later = hold(wallet, 30, expires_at=soon(60)), hold(wallet, 20)
    post(made, later)

    class Clock(datetime):
        moment = datetime.now(UTC) + timedelta(hours=1)

        @classmethod
        def now(cls, tz=None):
            return cls.moment

    monkeypatch.setattr(posting, "datetime", Clock)
    assert post(deposit(wallet, 1))[0].entries[0].held_after == 20
    Clock.moment = LONG_AGO
    [refusal] = post(acting("CAPTURE", made))
    assert refusal.code == "hold_already_expired"
    # The wallet has seen the hour after: a hold that would have ended in it is refused.
    [late] = post(hold(wallet, 1, expires_at=soon(1800)))
    assert late.code == "validation_failed"
    [captured] = post(acting("CAPTURE", later))
    assert captured.hold.status == "captured"


def test_an_atomic_unit_that_is_refused_leaves_holds_as_they_were(new_wallet):
    wallet = new_wallet(100)
    made = hold(wallet, 50, expires_at=soon())
    post(made)
    before = money_of(wallet)
    refused = Unit(
        [
            acting("CAPTURE", made, 20),
            hold(wallet, 10, expires_at=soon(5)),
            acting("VOID", made),
            withdraw(wallet, 1000),
        ],
        atomic=True,
    )
    [outcomes] = posting.post([refused])
    assert outcomes[-1].code == "insufficient_funds"
    assert money_of(wallet) == before
    _, [captured] = posting.post([refused, Unit([acting("CAPTURE", made)])])
    assert captured.hold.captured == 50


def test_holds_never_draw_on_an_overdraft(new_wallet):
    wallet = new_wallet(100)
    with transaction() as connection:
        connection.execute(
            text("UPDATE wallets SET minimum_balance = -50 WHERE uuid = :uuid"),
            {"uuid": wallet},
        )
    refused, made, spent = post(
        hold(wallet, "100.01"), hold(wallet, 100), withdraw(wallet, 50)
    )
    assert refused.code == "insufficient_funds"
    assert isinstance(made, Receipt)
    assert isinstance(spent, Receipt)
    assert money_of(wallet)[:2] == (50, 100)


def test_holds_of_an_idle_wallet_are_tidied(new_wallet):
    wallet = new_wallet(1000)
    made = [hold(wallet, 1, expires_at=soon()) for _ in range(600)]
    lasting = hold(wallet, 5)
    posting.post([Unit([*made, lasting])])
    make_overdue(*made)
    assert tidying.tidy_for(30) == 600
    assert money_of(wallet) == (1000, 5, None)
    assert tidying.tidy_for(30) == 0


def test_the_next_expiry_is_looked_up_again_when_the_first_is_over(new_wallet):
    wallet = new_wallet(100)
    first, second = (
        hold(wallet, 1, expires_at=soon()),
        hold(wallet, 2, expires_at=soon()),
    )
    post(first, second)
    make_overdue(first)
    assert post(deposit(wallet, 1))[0].entries[0].held_after == 2
    assert money_of(wallet)[2] == second.expires_at


def test_another_wallets_hold_is_none_of_the_operations(new_wallet):
    wallet, other = new_wallet(100), new_wallet(100)
    made = hold(wallet, 10)
    post(made)
    [refusal] = post(
        operation("CAPTURE", other, 0, parent_reference_id=made.reference_id)
    )
    assert refusal.code == "hold_not_found"
    assert (
        post(operation("VOID", other, 0, parent_reference_id=uuid.uuid4()))[0].code
        == "hold_not_found"
    )
