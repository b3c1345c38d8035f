"""Whatever the sequence of operations, the wallets stay right (no database)."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from ops import operation

from wallet_app.ledger import money, rules
from wallet_app.ledger.operation_types import INCOMING
from wallet_app.ledger.rules import Refusal, Situation, WalletState
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID

START = datetime(2026, 1, 1, tzinfo=UTC)
CURRENCIES = ("JPY", "USD", "KWD", "CLF")
NAMES = tuple(uuid.UUID(int=number) for number in range(1, 5))

amounts = st.one_of(
    st.integers(1, 200).map(Decimal),
    st.decimals("0.0001", "200", places=4),
    st.decimals("0.01", "200", places=2),
    st.integers(10**17, 10**18 - 1).map(Decimal),
)
steps = st.tuples(
    st.sampled_from(["DEPOSIT", "DEPOSIT", "WITHDRAW", "TRANSFER"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    amounts,
    st.one_of(st.none(), st.integers(0, 5)),
    # Clocks differ between machines, and imports bring dates of their own.
    st.integers(-3600, 3600),
    st.one_of(st.none(), st.integers(-3600, 3600)),
)


def operation_of(kind, name, other, amount, version, dated):
    return operation(
        kind,
        name,
        amount,
        target_uuid=other if kind == "TRANSFER" else None,
        expected_version=version,
        occurred_at=None if dated is None else START + timedelta(seconds=dated),
    )


def signed(entry):
    return entry.amount if entry.entry_type in INCOMING else -entry.amount


@given(st.sampled_from(CURRENCIES), st.lists(steps, max_size=40), st.data())
def test_no_sequence_of_operations_breaks_a_wallet(currency, sequence, data):
    other_currency = data.draw(st.sampled_from(CURRENCIES))
    wallets = {
        (DEFAULT_TENANT_ID, name): WalletState(
            id=number,
            tenant_id=DEFAULT_TENANT_ID,
            uuid=name,
            balance=Decimal(0),
            currency=currency if number < 3 else other_currency,
            status="frozen" if number == 2 else "active",
            version=0,
            updated_at=START,
        )
        for number, name in enumerate(NAMES)
    }
    histories = {name: [] for name in NAMES}
    for kind, name, other, amount, version, clock, dated in sequence:
        before = {key: replace(state) for key, state in wallets.items()}
        decision = rules.decide(
            Situation(wallets),
            operation_of(kind, name, other, amount, version, dated),
            START + timedelta(seconds=clock),
        )
        if isinstance(decision, Refusal):
            assert wallets == before
            continue
        assert [entry.amount for entry in decision] == [amount] * len(decision)
        changed = {(entry.tenant_id, entry.wallet_uuid) for entry in decision}
        assert len(changed) == len(decision) == (2 if kind == "TRANSFER" else 1)
        for untouched in wallets.keys() - changed:
            assert wallets[untouched] == before[untouched]
        for entry in decision:
            histories[entry.wallet_uuid].append(entry)
    for name, history in histories.items():
        check_history(wallets[DEFAULT_TENANT_ID, name], history)


def check_history(wallet, history):
    balance, moment = Decimal(0), START
    for seq, entry in enumerate(history, start=1):
        assert entry.seq == seq
        assert entry.balance_before == balance
        balance += signed(entry)
        assert entry.balance_after == balance
        assert 0 <= balance < money.LIMIT
        assert money.fraction_digits(entry.amount) == money.exponent(wallet.currency)
        assert entry.created_at >= moment
        moment = entry.created_at
    assert wallet.balance == balance
    assert wallet.version == len(history)


@given(
    st.sampled_from(CURRENCIES),
    st.integers(0, 10**20),
    st.integers(1, 10**20),
    st.sampled_from(["DEPOSIT", "WITHDRAW"]),
)
def test_every_step_is_exact_to_the_last_minor_unit(currency, held, moved, kind):
    digits = money.exponent(currency)
    limit = 10 ** (18 + digits)
    held, moved = held % limit, moved % limit or 1
    wallet = WalletState(
        id=1,
        tenant_id=DEFAULT_TENANT_ID,
        uuid=NAMES[0],
        balance=Decimal(held).scaleb(-digits),
        currency=currency,
        status="active",
        version=0,
        updated_at=START,
    )
    amount = Decimal(moved).scaleb(-digits)
    decision = rules.decide(
        Situation({wallet.key: wallet}), operation(kind, NAMES[0], amount), START
    )
    # Integers of minor units cannot round: what they say is true.
    result = held + moved if kind == "DEPOSIT" else held - moved
    if isinstance(decision, Refusal):
        assert result < 0 or result >= limit
    else:
        assert decision[0].balance_after == Decimal(result).scaleb(-digits)
        assert 0 <= result < limit
