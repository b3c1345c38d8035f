"""The books watched: what does not agree is found, kept, and can freeze a wallet."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import books
import pytest
from sqlalchemy import text

from wallet_app.books import checking, sweeping
from wallet_app.books.tasks import sweep
from wallet_app.database import db, reading, transaction


@pytest.fixture
def spoil(context):
    """Change tables by hand, past the rules; afterwards everything is deleted."""

    def run(sql, **parameters):
        with transaction() as connection:
            assert connection.execute(text(sql), parameters).rowcount > 0

    yield run
    books.empty()


@pytest.fixture
def history(client, make_wallet):
    """Make a wallet with some deposits of 1."""

    def make(count):
        wallet = make_wallet()
        for _ in range(count):
            deposit(client, wallet)
        return wallet

    return make


def deposit(client, wallet, status=200):
    body = {"operation_type": "DEPOSIT", "amount": "1.00"}
    answer = client.post(f"/api/v1/wallets/{wallet}/operation", json=body)
    assert answer.status_code == status, answer.text
    return answer


def transfer(client, source, target):
    body = {"from_wallet": str(source), "to_wallet": str(target), "amount": "1.00"}
    assert client.post("/api/v1/transfers", json=body).status_code == 200


def found():
    """What a check of all wallets finds, in steps of any size: (wallet, kind)."""
    steps = list(sweeping.check_all())
    assert {entries: found_by(entries) for entries in (1, 2, 3)} == {
        entries: found_by(sweeping.ENTRIES_A_STEP) for entries in (1, 2, 3)
    }
    return sorted((m.wallet_uuid, m.kind) for step in steps for m in step.mismatches)


def found_by(entries):
    kinds, place = set(), checking.Place()
    with reading() as connection:
        while place is not None:
            step = checking.check(connection, place, entries=entries)
            kinds |= {(one.wallet_uuid, one.kind) for one in step.mismatches}
            place = step.place
    return kinds


def kept():
    with reading() as connection:
        return connection.execute(
            text(
                "SELECT uuid, kind, cleared_at IS NULL FROM books_mismatches"
                " JOIN wallets ON wallets.id = wallet_id ORDER BY kind"
            )
        ).all()


def sweep_row():
    with reading() as connection:
        return connection.execute(text("SELECT * FROM books_sweeps")).one()


def end_of_interval():
    """A day goes by."""
    with transaction() as connection:
        connection.execute(
            text("UPDATE books_sweeps SET started_at = started_at - interval '1 day'")
        )


def test_sound_books_are_found_sound(context, client, history):
    one, other = history(5), history(3)
    for _ in range(2):
        transfer(client, one, other)
        transfer(client, other, one)
    history(0)
    assert found() == []
    wallets, entries = zip(
        *((s.wallets, s.entries) for s in sweeping.check_all()), strict=True
    )
    assert (sum(wallets), sum(entries)) == (3, 16)


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("balance", "UPDATE wallets SET balance = balance + 1 WHERE uuid = :uuid"),
        (
            "history",
            "DELETE FROM transactions WHERE seq = 3 AND wallet_id ="
            " (SELECT id FROM wallets WHERE uuid = :uuid)",
        ),
        (
            "history",
            "UPDATE transactions SET amount = 2, balance_after = balance_before + 2"
            " WHERE seq = 3 AND wallet_id ="
            " (SELECT id FROM wallets WHERE uuid = :uuid)",
        ),
        (
            "history",
            "UPDATE transactions SET balance_before = balance_before + 7,"
            " balance_after = balance_after + 7"
            " WHERE seq = 4 AND wallet_id ="
            " (SELECT id FROM wallets WHERE uuid = :uuid)",
        ),
    ],
)
def test_a_wallet_that_differs_from_its_history_is_found(history, spoil, kind, sql):
    history(2)
    wallet = history(5)
    history(2)
    spoil(sql, uuid=wallet)
    assert found() == [(wallet, kind)]


def test_last_wallet_of_a_page_is_checked(history, spoil, monkeypatch):
    monkeypatch.setattr(checking, "WALLETS_A_STEP", 2)
    wallets = [history(1) for _ in range(5)]
    spoil("UPDATE wallets SET balance = balance + 1")
    assert found() == sorted((wallet, "balance") for wallet in wallets)


def test_a_last_entry_that_is_gone_is_missed(history, spoil):
    wallet = history(4)
    spoil("DELETE FROM transactions WHERE seq = 4")
    assert found() == [(wallet, "balance"), (wallet, "history")]


def test_an_entry_behind_the_version_is_found(history, spoil):
    wallet = history(4)
    spoil("UPDATE wallets SET version = 3, balance = 3")
    assert found() == [(wallet, "version")]


@pytest.mark.parametrize(
    "change",
    [
        "counterparty_uuid = gen_random_uuid()",
        "reference_id = NULL",
        "transfer_id = gen_random_uuid()",
        "operation_type = 'WITHDRAW', transfer_id = NULL, counterparty_uuid = NULL",
        "transfer_id = NULL, counterparty_uuid = NULL",
    ],
)
def test_legs_of_a_transfer_that_do_not_match_are_found(client, history, spoil, change):
    source, target = history(3), history(3)
    transfer(client, source, target)
    spoil(f"UPDATE transactions SET {change} WHERE operation_type = 'TRANSFER_OUT'")
    mismatches = found()
    assert (target, "transfer") in mismatches
    assert {kind for _, kind in mismatches} == {"transfer"}


def test_legs_with_different_amounts_are_found(client, history, spoil):
    source, target = history(3), history(3)
    transfer(client, source, target)
    spoil(
        "UPDATE transactions SET amount = 2, balance_after = balance_before + 2"
        " WHERE operation_type = 'TRANSFER_IN'"
    )
    spoil("UPDATE wallets SET balance = balance + 1 WHERE uuid = :uuid", uuid=target)
    assert found() == sorted([(source, "transfer"), (target, "transfer")])


def test_a_third_leg_is_found(client, history, spoil):
    source, target, third = history(3), history(3), history(3)
    transfer(client, source, target)
    spoil(
        "INSERT INTO transactions (wallet_id, seq, operation_type, amount,"
        " balance_before, balance_after, transfer_id, counterparty_uuid, created_at)"
        " SELECT wallets.id, 4, 'TRANSFER_IN', 1, 3, 4, transfer_id, :source, now()"
        " FROM wallets, transactions WHERE uuid = :third"
        " AND operation_type = 'TRANSFER_OUT'",
        third=third,
        source=source,
    )
    spoil("UPDATE wallets SET balance = 4, version = 4 WHERE uuid = :uuid", uuid=third)
    assert found() == sorted((one, "transfer") for one in (source, target, third))


def test_sweep_goes_on_where_it_was(context, history, monkeypatch):
    monkeypatch.setattr(sweeping, "ENTRIES_A_STEP", 2)
    history(5)
    assert sweeping.sweep_on()
    first = sweep_row()
    assert (first.seq, first.balance, first.entries, first.wallets) == (2, 2, 2, 0)
    assert sweeping.sweep_on()
    assert sweep_row().seq == 4
    while sweeping.sweep_on():
        pass
    last = sweep_row()
    assert (last.entries, last.wallets, last.wallet_id) == (5, 1, 0)
    assert last.finished_at is not None


def test_next_sweep_begins_when_its_time_has_come(context, history):
    history(2)
    sweep.run()
    sweep.run()
    assert sweep_row().wallets == 1
    end_of_interval()
    sweep.run()
    assert sweep_row().wallets == 2


def test_two_sweeps_at_once_check_nothing_twice(app, context, history):
    history(2)
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with app.app_context(), transaction() as connection:
            connection.execute(sweeping.ADD_SWEEP)
            connection.execute(sweeping.LOCK_SWEEP).one()
            entered.set()
            leave.wait(30)

    sweeping.sweep_on()
    before = sweep_row()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert entered.wait(30)
        try:
            assert not sweeping.sweep_on()
            assert sweep_row() == before
        finally:
            leave.set()
        held.result(30)
    while sweeping.sweep_on():
        pass
    assert sweep_row().wallets == 1


def test_money_moves_while_a_sweep_reads(app, context, client, history, monkeypatch):
    """A wallet that goes on is compared with its history at one moment."""
    monkeypatch.setattr(checking, "WALLETS_A_STEP", 1)
    wallet = history(3)
    original = checking.spans

    def late(*arguments):
        chosen = original(*arguments)
        deposit(client, wallet)
        return chosen

    monkeypatch.setattr(checking, "spans", late)
    steps = list(sweeping.check_all())
    assert [one for step in steps for one in step.mismatches] == []


def test_mismatch_is_logged_and_kept_until_it_is_repaired(history, spoil, caplog):
    wallet = history(2)
    spoil("UPDATE wallets SET balance = 9")
    with caplog.at_level(logging.ERROR):
        sweep.run()
    assert f"wallet {wallet}: balance: it holds 9" in caplog.text
    assert kept() == [(wallet, "balance", True)]
    end_of_interval()
    sweep.run()
    assert kept() == [(wallet, "balance", True)]
    spoil("UPDATE wallets SET balance = 2")
    end_of_interval()
    sweep.run()
    assert kept() == [(wallet, "balance", False)]


def test_a_fault_far_back_is_not_cleared_by_a_sound_end(history, spoil, monkeypatch):
    monkeypatch.setattr(sweeping, "ENTRIES_A_STEP", 2)
    wallet = history(5)
    spoil(
        "UPDATE transactions SET amount = 2, balance_after = balance_before + 2"
        " WHERE seq = 1"
    )
    for _ in range(2):
        while sweeping.sweep_on():
            pass
        assert kept() == [(wallet, "history", True)]
        end_of_interval()


def test_wallet_stays_active_unless_freezing_is_configured(client, history, spoil):
    wallet = history(2)
    spoil("UPDATE wallets SET balance = 9")
    sweep.run()
    deposit(client, wallet)


def test_wallet_that_differs_is_frozen_if_configured(
    app, client, history, spoil, monkeypatch
):
    monkeypatch.setitem(app.extensions, "freeze_on_mismatch", True)
    wallet, other = history(2), history(2)
    spoil("UPDATE wallets SET balance = 9 WHERE uuid = :uuid", uuid=wallet)
    sweep.run()
    assert deposit(client, wallet, 409).get_json()["code"] == "wallet_not_active"
    deposit(client, other)


def test_audit_command_says_that_books_are_sound(runner, context, history):
    history(3)
    result = runner.invoke(args=["wallet", "audit"])
    assert (result.exit_code, result.stdout) == (
        0,
        "1 wallets with 3 entries checked.\nThe books are sound.\n",
    )


def test_audit_command_fails_on_a_mismatch(runner, history, spoil):
    wallet = history(3)
    spoil("UPDATE wallets SET balance = 9")
    result = runner.invoke(args=["wallet", "audit", "--json"])
    assert result.exit_code == 1
    assert str(wallet) in result.stdout
    assert "1 wallets do not agree" in result.stderr
    assert kept() == [(wallet, "balance", True)]


def test_a_step_reads_no_more_than_its_bound(context, history):
    history(40)
    with db.engine.connect() as connection:
        step = checking.check(connection, checking.Place(), entries=10)
    assert (step.entries, step.place.seq) == (10, 10)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE refunded_operations SET refunded = refunded - 1",
        "UPDATE refunded_operations SET amount = amount + 1",
        "UPDATE refunds SET refunded = 0.51 WHERE refunded = 0.5",
        "DELETE FROM refunds WHERE refunded = 0.5",
    ],
    ids=["refunded", "amount", "step", "missing"],
)
def test_what_is_noted_of_refunds_is_what_they_add_up_to(
    spoil, client, make_wallet, change
):
    wallet = make_wallet()
    original = deposit(client, wallet).get_json()["reference_id"]
    for amount in ("0.25", "0.25", "0.50"):
        path = f"/api/v1/operations/{original}/refund"
        client.post(path, json={"amount": amount})
    assert found() == []
    spoil(change)
    assert found() == [(wallet, "history")]
