"""What operations do to wallets, without a database."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from ops import deposit, transfer, withdraw

from wallet_app.ledger import rules
from wallet_app.ledger.operation_types import EntryType
from wallet_app.ledger.rules import Refusal, Situation, WalletState
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def wallet(balance="0", currency="USD", **fields):
    values = {
        "id": fields.pop("id", 1),
        "tenant_id": DEFAULT_TENANT_ID,
        "uuid": uuid.uuid4(),
        "balance": Decimal(balance),
        "currency": currency,
        "status": "active",
        "version": 0,
        "updated_at": NOW - timedelta(days=1),
    }
    return WalletState(**(values | fields))


def decide(operation, *wallets, now=NOW):
    situation = Situation({state.key: state for state in wallets})
    return rules.decide(situation, operation, now)


def refused(operation, *wallets):
    """The refusal, after a look that it changed no wallet."""
    before = [replace(state) for state in wallets]
    decision = decide(operation, *wallets)
    assert isinstance(decision, Refusal)
    assert list(wallets) == before
    return decision


def test_deposit_raises_the_balance_and_records_it():
    state = wallet("10.00", version=4)
    operation = deposit(state.uuid, "2.5", description="tips")
    (entry,) = decide(operation, state)
    assert (entry.seq, entry.entry_type) == (5, EntryType.DEPOSIT)
    assert str(entry.amount) == "2.50"
    assert str(entry.balance_before) == "10.00"
    assert str(entry.balance_after) == "12.50"
    assert entry.description == "tips"
    assert entry.reference_id == operation.reference_id
    assert (entry.wallet_uuid, entry.created_at) == (state.uuid, NOW)
    assert (state.balance, state.version, state.updated_at) == (Decimal("12.5"), 5, NOW)


def test_withdrawal_of_the_whole_balance_leaves_zero():
    state = wallet("10.00")
    (entry,) = decide(withdraw(state.uuid, 10), state)
    assert (entry.balance_after, state.balance) == (0, 0)


def test_withdrawal_of_a_cent_too_much_is_refused_with_the_difference():
    state = wallet("10.00")
    refusal = refused(withdraw(state.uuid, "10.01"), state)
    assert refusal.code == "insufficient_funds"
    assert refusal.facts == {"available": "10.00", "short_by": "0.01"}


def test_balance_stays_below_its_limit():
    state = wallet("999999999999999999.98")
    assert (
        refused(deposit(state.uuid, "0.02"), state).code,
        refused(deposit(state.uuid, "999999999999999999.99"), state).code,
    ) == ("balance_limit_exceeded", "balance_limit_exceeded")
    (entry,) = decide(deposit(state.uuid, "0.01"), state)
    assert str(entry.balance_after) == "999999999999999999.99"


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "1.5"), ("JPY", "1.0"), ("USD", "1.005")]
)
def test_amount_finer_than_the_currency_is_refused(currency, amount):
    state = wallet("10", currency)
    refusal = refused(withdraw(state.uuid, amount), state)
    assert refusal.code == "invalid_amount"
    assert list(refusal.facts["errors"]) == ["amount"]


@pytest.mark.parametrize("make", [deposit, withdraw])
def test_frozen_wallet_moves_no_money(make):
    state = wallet("10.00", status="frozen")
    assert refused(make(state.uuid, 1), state).code == "wallet_not_active"


def test_frozen_wallet_neither_sends_nor_receives():
    frozen, other = wallet("10.00", status="frozen"), wallet("10.00", id=2)
    there = transfer(frozen.uuid, other.uuid, 1)
    back = transfer(other.uuid, frozen.uuid, 1)
    assert refused(there, frozen, other).code == "wallet_not_active"
    assert refused(back, frozen, other).code == "wallet_not_active"


def test_unknown_wallet_is_refused_on_either_side():
    known, unknown = wallet("10.00"), uuid.uuid4()
    for operation in (
        deposit(unknown, 1),
        transfer(known.uuid, unknown, 1),
        transfer(unknown, known.uuid, 1),
    ):
        refusal = refused(operation, known)
        assert refusal.code == "wallet_not_found"
        assert str(unknown) in refusal.detail


def test_transfer_is_one_entry_in_each_wallet():
    source, target = wallet("10.00", version=3), wallet("1.00", id=2, version=8)
    operation = transfer(source.uuid, target.uuid, "4.00")
    outgoing, incoming = decide(operation, source, target)
    assert (source.balance, target.balance) == (6, 5)
    assert (source.version, target.version) == (4, 9)
    assert (outgoing.entry_type, incoming.entry_type) == ("TRANSFER_OUT", "TRANSFER_IN")
    assert (outgoing.seq, incoming.seq) == (4, 9)
    assert outgoing.counterparty_uuid == target.uuid
    assert incoming.counterparty_uuid == source.uuid
    assert outgoing.reference_id == incoming.reference_id == operation.reference_id


def test_transfer_refused_by_its_target_leaves_the_source_alone():
    source = wallet("10.00")
    target = wallet("999999999999999999.99", id=2)
    refusal = refused(transfer(source.uuid, target.uuid, 1), source, target)
    assert refusal.code == "balance_limit_exceeded"


def test_transfer_to_itself_or_across_currencies_is_refused():
    dollars, yen = wallet("10.00"), wallet("10", "JPY", id=2)
    itself = transfer(dollars.uuid, dollars.uuid, 1)
    assert refused(itself, dollars).code == "same_wallet"
    across = transfer(dollars.uuid, yen.uuid, 1)
    assert refused(across, dollars, yen).code == "currency_mismatch"


def test_operation_that_expects_another_version_is_refused():
    state = wallet("10.00", version=7)
    refusal = refused(withdraw(state.uuid, 1, expected_version=6), state)
    assert refusal.code == "precondition_failed"
    assert refusal.facts == {"version": 7}
    assert not isinstance(
        decide(withdraw(state.uuid, 1, expected_version=7), state), Refusal
    )


def test_a_transfers_expected_version_is_the_sources():
    source, target = wallet("10.00", version=7), wallet(id=2, version=3)
    operation = transfer(source.uuid, target.uuid, 1, expected_version=7)
    assert not isinstance(decide(operation, source, target), Refusal)


def test_a_clock_that_is_behind_does_not_turn_time_back():
    state = wallet("10.00", updated_at=NOW)
    (entry,) = decide(deposit(state.uuid, 1), state, now=NOW - timedelta(seconds=1))
    assert entry.created_at == state.updated_at == NOW


def test_imported_operation_keeps_its_date_unless_history_is_later():
    state = wallet(updated_at=NOW - timedelta(days=9))
    then, earlier = NOW - timedelta(days=5), NOW - timedelta(days=7)
    (first,) = decide(deposit(state.uuid, 1, occurred_at=then), state)
    (second,) = decide(deposit(state.uuid, 1, occurred_at=earlier), state)
    assert (first.created_at, second.created_at) == (then, then)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": Decimal("3.01")},
        {"description": "other"},
        {"description": None},
        {"wallet_uuid": uuid.uuid4()},
        {"operation_type": rules.OperationType.WITHDRAW},
        {
            "operation_type": rules.OperationType.TRANSFER,
            "target_uuid": uuid.uuid4(),
        },
    ],
    ids="+".join,
)
def test_retry_with_other_content_is_a_clash(change):
    state = wallet("10.00")
    operation = deposit(state.uuid, "3.00", description="one")
    (entry,) = decide(operation, state)
    assert rules.is_same(operation, entry)
    assert not rules.is_same(replace(operation, **change), entry)


def test_retry_may_write_the_same_amount_differently():
    state = wallet("10.00")
    operation = deposit(state.uuid, "3")
    (entry,) = decide(operation, state)
    assert rules.is_same(replace(operation, amount=Decimal("3.00")), entry)


def test_retry_of_a_transfer_to_another_wallet_is_a_clash():
    source, target = wallet("10.00"), wallet(id=2)
    operation = transfer(source.uuid, target.uuid, 1)
    outgoing, _ = decide(operation, source, target)
    assert rules.is_same(operation, outgoing)
    assert not rules.is_same(replace(operation, target_uuid=uuid.uuid4()), outgoing)
