from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from wallet_app.cli import generation
from wallet_app.cli.generation import Economy
from wallet_app.ledger import rules
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.rules import Operation, Refusal, Situation, WalletState
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.ledger.wallets import ImportedWallet

NOW = datetime(2026, 5, 17, 13, 45, tzinfo=UTC)
DAYS = 30
START, END = generation.full_days(DAYS, NOW)


def generate(
    seed: int = 1, *, wallets: int = 40, operations: int = 5000
) -> tuple[list[ImportedWallet], list[Operation]]:
    rng = Random(seed)
    made = generation.wallets(rng, count=wallets, start=START, end=END)
    times = generation.moments(rng, count=operations, start=START, days=DAYS)
    return made, list(Economy(rng, made).operations(times))


def states_of(wallets: list[ImportedWallet]) -> dict[object, WalletState]:
    return {
        (DEFAULT_TENANT_ID, wallet.uuid): WalletState(
            id=index,
            tenant_id=DEFAULT_TENANT_ID,
            uuid=wallet.uuid,
            balance=Decimal(0),
            currency=wallet.currency,
            status="active",
            version=0,
            updated_at=wallet.created_at,
        )
        for index, wallet in enumerate(wallets)
    }


def test_days_end_at_the_last_midnight():
    assert datetime(2026, 5, 17, tzinfo=UTC) == END
    assert timedelta(days=DAYS) == END - START


def test_same_seed_generates_the_same_data():
    assert generate(7) == generate(7)
    assert generate(7) != generate(8)


@pytest.mark.parametrize("wallets", [1, 2, 40])
def test_ledger_refuses_no_generated_operation(wallets):
    made, operations = generate(wallets=wallets)
    states = Situation(states_of(made))
    outcomes = [rules.decide(states, operation, NOW) for operation in operations]
    assert not [one for one in outcomes if isinstance(one, Refusal)]
    assert len(outcomes) == 5000


def test_times_never_go_back_and_are_all_past():
    _, operations = generate()
    times = [operation.occurred_at for operation in operations]
    assert times == sorted(times)
    assert START <= times[0] < times[-1] < END


def test_wallets_are_older_than_their_operations():
    made, operations = generate()
    created_at = {wallet.uuid: wallet.created_at for wallet in made}
    assert all(
        created_at[uuid] < operation.occurred_at
        for operation in operations
        for _, uuid in operation.wallet_keys
    )


def test_references_are_unique():
    _, operations = generate()
    assert len({operation.reference_id for operation in operations}) == 5000


def test_operations_are_of_three_types_and_mostly_withdrawals():
    _, operations = generate()
    types = Counter(operation.operation_type for operation in operations)
    assert set(types) == {"DEPOSIT", "WITHDRAW", "TRANSFER"}
    assert types.most_common(1)[0][0] is OperationType.WITHDRAW
    assert types[OperationType.TRANSFER] > 100


def test_wallets_are_mostly_in_usd_and_some_in_other_currencies():
    made, _ = generate(wallets=1000, operations=0)
    currencies = Counter(wallet.currency for wallet in made)
    assert 600 < currencies["USD"] < 800
    assert {"JPY", "KWD"} < set(currencies)


def test_a_few_wallets_are_much_busier_than_the_others():
    _, operations = generate(wallets=100)
    counts = Counter(operation.wallet_uuid for operation in operations)
    busiest = sum(count for _, count in counts.most_common(10))
    assert busiest > 5000 / 3


def test_amounts_are_small_large_and_round():
    _, operations = generate(wallets=1)
    amounts = [operation.amount for operation in operations]
    assert sum(amount < 10 for amount in amounts) > 250
    assert sum(amount > 1000 for amount in amounts) > 50
    assert sum(amount % 20 == 0 for amount in amounts) > 250


def test_balances_stay_at_what_people_have():
    made, operations = generate(wallets=1, operations=20_000)
    states = states_of(made)
    for operation in operations:
        rules.decide(Situation(states), operation, NOW)
    assert states[DEFAULT_TENANT_ID, made[0].uuid].balance < 50_000


def test_nights_are_quiet():
    _, operations = generate()
    hours = Counter(operation.occurred_at.hour for operation in operations)
    assert sum(hours[hour] for hour in range(6)) < 5000 * 0.06
    assert min(hours[hour] for hour in range(24)) > 0
