"""The database refuses wrong rows itself, whoever writes them."""

import uuid

import ops
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from wallet_app.database import db, reading
from wallet_app.ledger import posting
from wallet_app.ledger.operation_types import EntryType

GOOD_STEP = {
    "wallet_id": None,
    "seq": 2,
    "operation_type": "DEPOSIT",
    "amount": 5,
    "balance_before": 10,
    "balance_after": 15,
    "description": None,
    "reference_id": None,
    "created_at": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def wallet_id(new_wallet):
    """A wallet that holds 10.00 at version 1."""
    wallet = new_wallet(10)
    with reading() as session:
        return session.scalar(
            text("SELECT id FROM wallets WHERE uuid = :uuid"), {"uuid": wallet}
        )


def write(statement, **values):
    """Run the statement and take it back: only whether it is refused counts."""
    with db.engine.connect() as connection:
        connection.execute(text(statement), values)
        connection.rollback()


def insert_step(**changes):
    step = GOOD_STEP | changes
    places = ", ".join(f":{name}" for name in step)
    write(f"INSERT INTO transactions ({', '.join(step)}) VALUES ({places})", **step)


def test_a_right_step_is_taken(wallet_id):
    insert_step(wallet_id=wallet_id)
    insert_step(wallet_id=wallet_id, operation_type="WITHDRAW", balance_after=5)
    # The last capture of a hold gives back the rest of it.
    capture = {"operation_type": "CAPTURE", "balance_after": 5, "held_before": 9}
    insert_step(wallet_id=wallet_id, held_after=1, **capture)


@pytest.mark.parametrize(
    ("guard", "changes"),
    [
        ("ck_transactions_amount_positive", {"amount": 0, "balance_after": 10}),
        ("ck_transactions_amount_positive", {"amount": -5, "balance_after": 5}),
        ("ck_transactions_entry_adds_up", {"balance_after": 16}),
        ("ck_transactions_entry_adds_up", {"balance_after": 5}),
        (
            "ck_transactions_entry_adds_up",
            {"operation_type": "WITHDRAW"},
        ),
        (
            "ck_transactions_entry_adds_up",
            {"operation_type": "TRANSFER_OUT"},
        ),
        (
            "ck_transactions_entry_adds_up",
            {"operation_type": "TRANSFER_IN", "balance_after": 5},
        ),
        ("ck_transactions_entry_adds_up", {"operation_type": "GIFT"}),
        ("ck_transactions_entry_adds_up", {"operation_type": "VOID"}),
        ("ck_transactions_entry_adds_up", {"held_after": 5}),
        (
            "ck_transactions_entry_adds_up",
            {"operation_type": "HOLD", "balance_after": 10, "held_after": 6},
        ),
        (
            "ck_transactions_entry_adds_up",
            {"operation_type": "VOID", "balance_after": 10, "held_before": 9},
        ),
        (
            "ck_transactions_entry_adds_up",
            {
                "operation_type": "CAPTURE",
                "balance_after": 5,
                "held_before": 9,
                "held_after": 5,
            },
        ),
        (
            "ck_transactions_entry_adds_up",
            {
                "operation_type": "VOID",
                "balance_after": 10,
                "held_before": 4,
                "held_after": -1,
            },
        ),
        ("ck_transactions_seq_positive", {"seq": 0}),
        ("uq_transactions_wallet_id_seq", {"seq": 1}),
        ("fk_transactions_wallet_id_tenant_id", {"wallet_id": 0}),
        ("fk_transactions_wallet_id_tenant_id", {"tenant_id": 2}),
        (
            "ck_transactions_counterparty_of_a_transfer",
            {"counterparty_uuid": uuid.uuid4()},
        ),
    ],
)
def test_a_wrong_step_is_refused_by_its_guard(wallet_id, guard, changes):
    with pytest.raises(IntegrityError, match=f'"{guard}"'):
        insert_step(**{"wallet_id": wallet_id} | changes)


@pytest.mark.parametrize(
    "column",
    [
        "wallet_id",
        "seq",
        "operation_type",
        "amount",
        "balance_before",
        "balance_after",
        "created_at",
    ],
)
def test_a_step_without_its_facts_is_refused(wallet_id, column):
    with pytest.raises(IntegrityError, match=f'"{column}"'):
        insert_step(**{"wallet_id": wallet_id} | {column: None})


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
def test_an_amount_that_is_no_number_is_refused(wallet_id, amount):
    with pytest.raises(IntegrityError):
        insert_step(wallet_id=wallet_id, amount=amount)


@pytest.mark.parametrize("balance", ["NaN", "Infinity"])
def test_a_balance_that_is_no_number_is_refused(wallet_id, balance):
    with pytest.raises(IntegrityError, match="ck_wallets_balance_below_limit"):
        write(f"UPDATE wallets SET balance = '{balance}'")


def test_a_reference_is_unique(wallet_id):
    with reading() as session:
        taken = session.scalar(text("SELECT reference_id FROM transactions"))
    with pytest.raises(
        IntegrityError, match='"uq_transactions_reference_id_tenant_id"'
    ):
        insert_step(wallet_id=wallet_id, reference_id=taken)


@pytest.mark.parametrize(
    ("guard", "change"),
    [
        ("ck_wallets_available_not_negative", "balance = -0.01"),
        ("ck_wallets_available_not_negative", "held = balance + 0.01"),
        (
            "ck_wallets_available_not_negative",
            "minimum_balance = -5, balance = -5, held = 0.01",
        ),
        ("ck_wallets_available_not_negative", "held = -0.01"),
        ("ck_wallets_status_known", "status = 'closed'"),
        ("ck_wallets_balance_below_limit", "balance = 1000000000000000000"),
        ("ck_wallets_version_not_negative", "version = -1"),
        ("ck_wallets_status_known", "status = 'lost'"),
    ],
)
def test_a_wrong_wallet_is_refused_by_its_guard(wallet_id, guard, change):
    with pytest.raises(IntegrityError, match=f'"{guard}"'):
        write(f"UPDATE wallets SET {change}")


def test_a_wallets_uuid_is_unique(wallet_id):
    with pytest.raises(IntegrityError, match='"uq_wallets_uuid_tenant_id"'):
        write("INSERT INTO wallets (uuid) SELECT uuid FROM wallets")


def test_a_wallets_tenant_is_a_known_one(context):
    with pytest.raises(IntegrityError, match='"fk_wallets_tenant_id"'):
        write("INSERT INTO wallets (uuid, tenant_id) VALUES (gen_random_uuid(), 0)")


def test_a_wallet_with_a_history_cannot_be_deleted(wallet_id):
    with pytest.raises(IntegrityError, match='"fk_transactions_wallet_id_tenant_id"'):
        write("DELETE FROM wallets")


def test_a_wallet_that_once_received_money_cannot_be_deleted(new_wallet):
    source, target = new_wallet(10), new_wallet()
    posting.post([posting.Unit([ops.transfer(source, target, 10)])])
    with pytest.raises(IntegrityError, match='"fk_transactions_wallet_id_tenant_id"'):
        write("DELETE FROM wallets WHERE uuid = :target", target=target)


@pytest.mark.parametrize("entry_type", EntryType)
def test_the_guards_know_every_entry_type(wallet_id, entry_type):
    """A new one takes a migration: the tables' guards are written out there."""
    transfer = {"transfer_id": uuid.uuid4(), "counterparty_uuid": uuid.uuid4()}
    insert_step(
        wallet_id=wallet_id,
        operation_type=entry_type,
        balance_after=10 + 5 * entry_type.sign,
        held_before=7,
        held_after=7 + 5 * entry_type.held_sign,
        **(transfer if "TRANSFER" in entry_type else {}),
    )


def test_a_new_wallet_is_active_and_empty(context):
    with db.engine.connect() as connection:
        row = connection.execute(
            text(
                "INSERT INTO wallets (uuid) VALUES (:uuid)"
                " RETURNING balance, currency, status, version, created_at, updated_at"
            ),
            {"uuid": uuid.uuid4()},
        ).one()
        connection.rollback()
    assert tuple(row)[:4] == (0, "USD", "active", 0)
    assert row.created_at == row.updated_at


def test_updates_of_a_hot_wallet_touch_no_index(context):
    """Otherwise each operation would write to every index of the table (no HOT)."""
    with reading() as session:
        indexed = session.scalars(
            text(
                "SELECT DISTINCT attname FROM pg_index"
                " JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)"
                " WHERE indrelid = 'wallets'::regclass"
            )
        ).all()
        options = session.scalar(
            text("SELECT reloptions FROM pg_class WHERE relname = 'wallets'")
        )
    assert not {"balance", "version", "updated_at"} & set(indexed)
    assert "fillfactor=50" in options
