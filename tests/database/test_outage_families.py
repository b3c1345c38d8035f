"""Whatever a failing database says is a 503, its link is left, and money moves once."""

import contextlib
import uuid

import pytest
from every_call import (
    WALLETS,
    assert_not_available,
    assert_try_again,
    driver_connections,
    money_calls,
    other_writes,
    reads,
    send,
)
from sqlalchemy import text

from wallet_app.background.tasks import OutageError
from wallet_app.database import reading
from wallet_app.statistics.tasks import roll_up

pytestmark = pytest.mark.usefixtures("short_pauses")
LINK_OF_NO_USE = ["08006", "25006", "25P03", "57P01", "57P02", "57P03", "57P05"]
NOT_NOW = ["53100", "53200", "53300", "55P03", "57014", "58030"]
LEFT_OPEN_BY_COMMIT = ["08006", "25006", "40003", "53100", "57014", "57P01", "XX000"]


def entries():
    with reading() as connection:
        return connection.scalar(text("SELECT count(*) FROM transactions"))


# What the server says by force: a view in the place of the wallets says it


@pytest.fixture
def saying(admin):
    """Have each statement about a wallet fail; the first ones, if told how many."""

    @contextlib.contextmanager
    def say(state, times=1_000_000):
        admin.execute("CREATE SEQUENCE attempts")
        admin.execute(
            "CREATE FUNCTION trouble() RETURNS boolean LANGUAGE plpgsql AS $$"
            f" BEGIN IF nextval('attempts') <= {times} THEN"
            f" RAISE EXCEPTION 'trouble' USING ERRCODE = '{state}';"
            " END IF; RETURN true; END $$"
        )
        admin.execute("ALTER TABLE wallets RENAME TO kept_wallets")
        admin.execute(
            "CREATE VIEW wallets AS SELECT * FROM kept_wallets WHERE trouble()"
            " WITH CHECK OPTION"
        )
        try:
            yield
        finally:
            admin.execute("DROP VIEW wallets")
            admin.execute("ALTER TABLE kept_wallets RENAME TO wallets")
            admin.execute("DROP FUNCTION trouble; DROP SEQUENCE attempts")

    return say


@pytest.mark.parametrize("state", LINK_OF_NO_USE + NOT_NOW)
def test_what_a_failing_database_says_is_no_defect_anywhere(
    client, runner, context, two, saying, state
):
    with saying(state):
        for call in money_calls(*two):
            assert_try_again(send(client, call), applied="no")
        for call in other_writes(two[0]) + reads(two[0]):
            assert_try_again(send(client, call))
        with pytest.raises(OutageError, match="trouble"):
            roll_up()
        assert_not_available(runner, "show", two[0])
        assert_not_available(runner, "create")
        assert_not_available(runner, "deposit", two[0], 1)
    for call in money_calls(*two) + other_writes(two[0]) + reads(two[0]):
        assert send(client, call).status_code < 300


@pytest.mark.parametrize("state", ["08006", "25006", "57014"])
def test_what_acts_on_a_hold_or_a_refund_says_that_nothing_was_applied(
    client, two, saying, state
):
    """The hold, or what is refunded, is looked up before anything is posted."""
    amount = {"amount": "1.00"}
    deposit = client.post(f"{WALLETS}/{two[0]}/operation", json=money_calls(*two)[0][2])
    hold = client.post(f"{WALLETS}/{two[0]}/holds", json=amount).json["hold"]["id"]
    paid = deposit.json["reference_id"]
    members = [
        {"operation_type": "VOID", "hold": hold},
        {"operation_type": "REFUND", "refund_of": paid},
    ]
    with saying(state):
        for call in [
            ("POST", f"/api/v1/holds/{hold}/capture", {}),
            ("POST", f"/api/v1/holds/{hold}/increase", amount),
            ("POST", f"/api/v1/holds/{hold}/void", {}),
            ("POST", f"/api/v1/operations/{paid}/refund", amount),
            *(
                ("POST", "/api/v1/operations/batch", {"operations": [one]})
                for one in members
            ),
        ]:
            assert_try_again(send(client, call), applied="no")


@pytest.mark.parametrize("state", LINK_OF_NO_USE + NOT_NOW)
@pytest.mark.parametrize("kind", ["money", "write", "read"])
def test_connection_leaves_the_pool_if_its_link_is_of_no_use(
    client, fresh_pool, two, saying, state, kind
):
    call = {"money": money_calls(*two), "write": other_writes(0), "read": reads(two[0])}
    (used,) = driver_connections(1)
    with saying(state):
        assert send(client, call[kind][0]).status_code == 503
    assert used.closed == (state in LINK_OF_NO_USE)


@pytest.mark.parametrize("state", LINK_OF_NO_USE)
def test_money_moves_once_over_the_next_connection(client, context, two, saying, state):
    before = entries()
    with saying(state, times=2):
        assert send(client, money_calls(*two)[0]).status_code == 200
    assert entries() == before + 1


def test_internal_error_of_a_read_is_a_defect(client, two, saying):
    with saying("XX000"):
        assert send(client, reads(two[0])[0]).status_code == 500


def test_task_is_tried_again_until_the_database_is_back(context, two, saying):
    with saying("25006", times=2):
        assert roll_up.apply().state == "SUCCESS"


def test_task_that_gives_up_leaves_no_traceback(context, two, saying, caplog):
    with saying("25006"):
        result = roll_up.apply()
    assert (result.state, type(result.result)) == ("FAILURE", OutageError)
    assert "Traceback" not in caplog.text


# What COMMIT says: a deferred constraint says it


@pytest.fixture
def commit_saying(admin):
    """Have COMMITs of new rows fail; the first ones, if told how many."""

    @contextlib.contextmanager
    def say(state, table="transactions", times=1_000_000):
        admin.execute("CREATE SEQUENCE attempts")
        admin.execute(
            "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN IF nextval('attempts') <= {times} THEN"
            f" RAISE EXCEPTION 'trouble' USING ERRCODE = '{state}';"
            " END IF; RETURN NULL; END $$"
        )
        admin.execute(
            f"CREATE CONSTRAINT TRIGGER trouble AFTER INSERT ON {table}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trouble()"
        )
        try:
            yield
        finally:
            admin.execute(f"DROP TRIGGER trouble ON {table}")
            admin.execute("DROP FUNCTION trouble; DROP SEQUENCE attempts")

    return say


@pytest.mark.parametrize("state", LEFT_OPEN_BY_COMMIT)
def test_commit_that_fails_leaves_open_what_was_applied(
    client, context, two, commit_saying, state
):
    before = entries()
    with commit_saying(state):
        for call in money_calls(*two):
            assert_try_again(send(client, call), applied="unknown")
    assert entries() == before


@pytest.mark.parametrize("state", LEFT_OPEN_BY_COMMIT)
def test_commit_that_fails_is_repeated_and_applied_once(
    client, fresh_pool, two, commit_saying, state
):
    before = entries()
    (used,) = driver_connections(1)
    with commit_saying(state, times=2):
        for call in money_calls(*two):
            assert send(client, call).status_code == 200
    assert entries() == before + 1 + 2 + 2 + 2
    assert used.closed


@pytest.mark.parametrize("state", LEFT_OPEN_BY_COMMIT)
def test_wallet_whose_commit_fails_is_a_503_and_can_be_sent_again(
    client, fresh_pool, commit_saying, state
):
    (used,) = driver_connections(1)
    body = {"uuid": str(uuid.uuid4())}
    with commit_saying(state, table="wallets", times=1):
        assert_try_again(client.post(WALLETS, json=body))
        assert used.closed
        assert client.post(WALLETS, json=body).status_code == 201
