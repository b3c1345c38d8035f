"""Batches of operations in one database transaction."""

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from ops import deposit, transfer, withdraw
from sqlalchemy import text

from wallet_app.database import reading
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Receipt, Unit
from wallet_app.ledger.rules import Refusal
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID


def post(*operations):
    """Each operation as a unit of its own, all in one batch: their outcomes."""
    results = posting.post([Unit([operation]) for operation in operations])
    return [outcome for outcomes in results for outcome in outcomes]


def post_together(*operations):
    """The operations as one atomic unit: its outcomes."""
    return posting.post([Unit(operations, atomic=True)])[0]


def codes(outcomes):
    """What became of each operation: a refusal's code, or "replayed" or "posted"."""
    return [
        outcome.code
        if isinstance(outcome, Refusal)
        else "replayed"
        if outcome.replayed
        else "posted"
        for outcome in outcomes
    ]


def balances(*uuids):
    with reading() as session:
        rows = session.execute(text("SELECT uuid, balance FROM wallets")).all()
    held = dict(map(tuple, rows))
    return [held[one] for one in uuids]


def count_transactions():
    with reading() as session:
        return session.scalar(text("SELECT count(*) FROM transactions"))


def test_a_refusal_leaves_its_neighbours_alone(new_wallet):
    rich, poor, unknown = new_wallet(100), new_wallet(1), uuid.uuid4()
    outcomes = post(
        withdraw(rich, 60),
        withdraw(poor, 2),
        deposit(unknown, 5),
        withdraw(rich, 60),
        deposit(poor, 1),
        withdraw(poor, 2),
        deposit(rich, "0.001"),
        withdraw(rich, 40),
    )
    assert codes(outcomes) == [
        "posted",
        "insufficient_funds",
        "wallet_not_found",
        "insufficient_funds",
        "posted",
        "posted",
        "invalid_amount",
        "posted",
    ]
    assert balances(rich, poor) == [0, 0]


def test_outcomes_are_in_the_order_of_the_operations(new_wallet):
    one, other = new_wallet(), new_wallet()
    operations = [deposit(one if i % 3 else other, i + 1) for i in range(50)]
    receipts = post(*operations)
    assert [receipt.entries[0].reference_id for receipt in receipts] == [
        operation.reference_id for operation in operations
    ]
    assert [receipt.entries[0].amount for receipt in receipts] == [
        operation.amount for operation in operations
    ]


def test_receipt_is_what_the_database_holds(new_wallet):
    source, target = new_wallet("10.50"), new_wallet()
    operations = [
        deposit(source, "0.10", description="ten cents"),
        withdraw(source, "0.20"),
        transfer(source, target, "3.33", description="rent"),
    ]
    written = post(*operations)
    assert codes(post(*operations)) == ["replayed"] * 3
    assert [
        replace(receipt, replayed=False) for receipt in post(*operations)
    ] == written


def test_same_reference_twice_in_one_batch_moves_money_once(new_wallet):
    wallet = new_wallet(10)
    operation = withdraw(wallet, 10)
    first, second = post(operation, operation)
    assert codes([first, second]) == ["posted", "replayed"]
    assert second.entries == first.entries
    assert balances(wallet) == [0]


def test_same_reference_in_two_batches_moves_money_once(new_wallet):
    wallet = new_wallet(10)
    operation = withdraw(wallet, 10)
    (first,), (second,) = post(operation), post(operation)
    assert codes([first, second]) == ["posted", "replayed"]
    assert second.entries == first.entries
    assert balances(wallet) == [0]


def test_transfer_with_same_reference_moves_money_once(new_wallet):
    source, target = new_wallet(10), new_wallet()
    operation = transfer(source, target, 4)
    assert codes(post(operation, operation)) == ["posted", "replayed"]
    (again,) = post(operation)
    assert codes([again]) == ["replayed"]
    assert [entry.entry_type for entry in again.entries] == [
        "TRANSFER_OUT",
        "TRANSFER_IN",
    ]
    assert balances(source, target) == [6, 4]


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_same_reference_with_other_content_moves_nothing(new_wallet, in_one_batch):
    wallet, other = new_wallet(10), new_wallet(10)
    first = deposit(wallet, 1, description="one")
    clashes = [
        replace(first, amount=Decimal(2)),
        replace(first, description=None),
        replace(first, wallet_uuid=other),
        withdraw(wallet, 1, reference_id=first.reference_id, description="one"),
        transfer(wallet, other, 1, reference_id=first.reference_id, description="one"),
    ]
    if in_one_batch:
        outcomes = post(first, *clashes)
    else:
        outcomes = [*post(first), *(post(clash)[0] for clash in clashes)]
    assert codes(outcomes) == ["posted"] + ["idempotency_key_reused"] * len(clashes)
    assert balances(wallet, other) == [11, 10]


def test_reference_of_a_transfer_clashes_with_a_deposit_to_its_target(new_wallet):
    source, target = new_wallet(10), new_wallet()
    there = transfer(source, target, 4)
    post(there)
    clash = deposit(target, 4, reference_id=there.reference_id)
    assert codes(post(clash)) == ["idempotency_key_reused"]


def test_a_refusal_is_not_stored(new_wallet):
    wallet = new_wallet()
    operation = withdraw(wallet, 5)
    assert codes(post(operation)) == ["insufficient_funds"]
    assert codes(post(deposit(wallet, 5), operation)) == ["posted", "posted"]


def test_replay_answers_even_when_the_operation_would_be_refused_now(new_wallet):
    wallet = new_wallet(10)
    operation = withdraw(wallet, 10, expected_version=1)
    assert codes(post(operation)) == ["posted"]
    assert codes(post(operation)) == ["replayed"]


def test_reused_reference_is_refused_for_an_unknown_wallet_too(new_wallet):
    operation = deposit(new_wallet(), 1)
    post(operation)
    clash = replace(operation, wallet_uuid=uuid.uuid4())
    assert codes(post(clash)) == ["idempotency_key_reused"]


def test_expected_version_counts_the_neighbours_of_the_batch(new_wallet):
    wallet = new_wallet(10)
    outcomes = post(
        deposit(wallet, 1, expected_version=1),
        deposit(wallet, 1, expected_version=1),
        deposit(wallet, 1, expected_version=2),
    )
    assert codes(outcomes) == ["posted", "precondition_failed", "posted"]


def test_atomic_unit_posts_everything(new_wallet):
    one, other = new_wallet(10), new_wallet()
    outcomes = post_together(
        withdraw(one, 4), deposit(other, 4), transfer(one, other, 6)
    )
    assert codes(outcomes) == ["posted"] * 3
    assert balances(one, other) == [0, 10]


def test_atomic_unit_with_a_refusal_posts_nothing(new_wallet):
    one, other = new_wallet(10), new_wallet()
    before = count_transactions()
    outcomes = post_together(
        withdraw(one, 4), transfer(one, other, 6), withdraw(one, "0.01")
    )
    assert codes(outcomes)[-1] == "insufficient_funds"
    assert balances(one, other) == [10, 0]
    assert count_transactions() == before


def test_refused_atomic_unit_keeps_what_an_earlier_unit_did_to_its_wallet(new_wallet):
    one, other = new_wallet(10), new_wallet()
    results = posting.post(
        [
            Unit([deposit(one, 5), transfer(one, other, 1)]),
            Unit([withdraw(one, 14), transfer(one, other, 1)], atomic=True),
            Unit([withdraw(one, 14), deposit(other, 2)], atomic=True),
        ]
    )
    assert [codes(outcomes)[-1] for outcomes in results] == [
        "posted",
        "insufficient_funds",
        "posted",
    ]
    assert balances(one, other) == [0, 3]


def test_refused_atomic_unit_forgets_its_references(new_wallet):
    wallet = new_wallet(10)
    operation = withdraw(wallet, 4)
    results = posting.post(
        [
            Unit([operation, withdraw(wallet, 7)], atomic=True),
            Unit([operation]),
        ]
    )
    assert codes(results[0])[-1] == "insufficient_funds"
    assert codes(results[1]) == ["posted"]
    assert balances(wallet) == [6]


def test_refused_atomic_unit_keeps_an_earlier_units_reference(new_wallet):
    wallet = new_wallet(10)
    operation = withdraw(wallet, 4)
    results = posting.post(
        [
            Unit([operation]),
            Unit([operation, withdraw(wallet, 7)], atomic=True),
            Unit([operation]),
        ]
    )
    assert [codes(outcomes)[-1] for outcomes in results] == [
        "posted",
        "insufficient_funds",
        "replayed",
    ]
    assert balances(wallet) == [6]


def test_atomic_unit_that_was_posted_before_is_replayed_as_a_whole(new_wallet):
    one, other = new_wallet(10), new_wallet()
    unit = [withdraw(one, 10), deposit(other, 10), transfer(other, one, 3)]
    assert codes(post_together(*unit)) == ["posted"] * 3
    assert codes(post_together(*unit)) == ["replayed"] * 3
    assert balances(one, other) == [3, 7]


def test_atomic_unit_with_the_same_reference_twice_moves_money_once(new_wallet):
    wallet = new_wallet(10)
    operation = withdraw(wallet, 6)
    assert codes(post_together(operation, operation)) == ["posted", "replayed"]
    assert balances(wallet) == [4]


def test_transfer_writes_two_entries_that_point_to_each_other(new_wallet):
    source, target = new_wallet(10), new_wallet(1)
    operation = transfer(source, target, 4, description="rent")
    (receipt,) = post(operation)
    outgoing, incoming = receipt.entries
    assert [outgoing.wallet_uuid, incoming.wallet_uuid] == [source, target]
    assert [outgoing.counterparty_uuid, incoming.counterparty_uuid] == [target, source]
    assert [outgoing.balance_after, incoming.balance_after] == [6, 5]
    assert [outgoing.seq, incoming.seq] == [2, 2]
    assert outgoing.description == incoming.description == "rent"
    assert outgoing.reference_id == incoming.reference_id == operation.reference_id
    assert outgoing.id != incoming.id


def test_a_batch_may_pass_money_on_through_many_wallets(new_wallet):
    chain = [new_wallet(10), *(new_wallet() for _ in range(5))]
    hops = itertools.pairwise(chain)
    outcomes = post(*(transfer(source, target, 10) for source, target in hops))
    assert codes(outcomes) == ["posted"] * 5
    assert balances(*chain) == [0, 0, 0, 0, 0, 10]


def test_history_does_not_go_back_in_time_when_a_clock_does(context, new_wallet):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    wallet, _ = wallets.create(currency="USD", created_at=tomorrow)
    (first, second) = post(deposit(wallet, 1), deposit(wallet, 1))
    assert first.entries[0].created_at == second.entries[0].created_at == tomorrow


def test_imported_operations_keep_their_dates(context):
    start = datetime(2020, 1, 1, tzinfo=UTC)
    wallet, _ = wallets.create(currency="USD", created_at=start)
    dates = [start + timedelta(hours=hour) for hour in range(3)]
    outcomes = post(*(deposit(wallet, 1, occurred_at=date) for date in dates))
    assert [outcome.entries[0].created_at for outcome in outcomes] == dates


@pytest.mark.parametrize(
    ("currency", "amount"),
    [
        ("JPY", "999999999999999999"),
        ("USD", "0.01"),
        ("USD", "999999999999999999.99"),
        ("KWD", "0.001"),
        ("CLF", "12345678901234567.8999"),
    ],
)
def test_amounts_are_stored_exactly(new_wallet, currency, amount):
    wallet = new_wallet(0, currency)
    post(deposit(wallet, amount))
    with reading() as session:
        stored = session.execute(
            text("SELECT amount::text, balance::text FROM transactions, wallets")
        ).one()
    assert tuple(stored) == (amount, amount)


def test_nothing_is_written_when_everything_is_refused(new_wallet):
    wallet = new_wallet(1)
    before = count_transactions()
    with statements() as sent:
        post(withdraw(wallet, 2), deposit(uuid.uuid4(), 1))
    assert not [one for one in sent if one.split()[0] in {"INSERT", "UPDATE"}]
    assert count_transactions() == before


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement that posting sends to the database meanwhile."""
    sent: list[str] = []
    execute = psycopg.Connection.execute

    def note(connection, query, *args, **options):
        sent.append(query.decode())
        return execute(connection, query, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", note)
        yield sent


def test_number_of_statements_does_not_grow_with_the_batch(new_wallet):
    pool = [new_wallet(100) for _ in range(10)]

    def batch(size):
        return [
            transfer(pool[i % 10], pool[(i + 1) % 10], 1)
            if i % 3 == 0
            else deposit(pool[i % 10], 1)
            for i in range(size)
        ]

    one, many = batch(1), batch(500)
    counts = []
    for operations in (one, many, one, many):
        with statements() as sent:
            outcomes = post(*operations)
        counts.append(len(sent))
    assert codes(outcomes) == ["replayed"] * 500
    # Lock, look up, update, insert; then, for replays: lock, look up, read.
    assert counts == [4, 4, 3, 3]


def test_all_units_are_posted_in_one_transaction(new_wallet):
    one, other = new_wallet(10), new_wallet(10)
    post(withdraw(one, 1), transfer(one, other, 1), deposit(other, 1))
    with reading() as session:
        ids = session.scalars(
            text("SELECT DISTINCT xmin::text FROM transactions WHERE seq > 1")
        ).all()
    assert len(ids) == 1


def test_receipts_reads_what_became_of_references(context, new_wallet):
    source, target = new_wallet(10), new_wallet()
    there, unknown = transfer(source, target, 4), uuid.uuid4()
    (written,) = post(there)
    with reading() as session:
        found = posting.find_receipt(session, there.key)
        assert posting.find_receipt(session, (DEFAULT_TENANT_ID, unknown)) is None
    assert found == Receipt(written.entries, replayed=True)
