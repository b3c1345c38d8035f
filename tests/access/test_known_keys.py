"""What a process knows of keys: for how long, and at what cost."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text

from wallet_app.access import key_text, keys, known_keys
from wallet_app.access.known_keys import KnownKeys
from wallet_app.database import db, transaction
from wallet_app.errors import ApiKeyExpired, ApiKeyRevoked, ApiKeyUnknown

CALLERS = 16
PATH = "/api/v1/wallets"


@pytest.fixture
def known(context):
    return KnownKeys(deadline_ms=5000)


@pytest.fixture
def statements(context):
    """The statements that are sent from now on."""
    sent = []

    def note(_connection, _cursor, statement, *_):
        sent.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield sent
    event.remove(db.engine, "before_cursor_execute", note)


@pytest.fixture
def pass_seconds(monkeypatch):
    """Put the clock of what is known forward."""
    ahead = [0.0]
    clock = time.monotonic
    monkeypatch.setattr(known_keys.time, "monotonic", lambda: clock() + ahead[0])

    def forward(seconds):
        ahead[0] += seconds

    return forward


def age(key, **columns):
    """Set columns of a key to times that lie so many seconds ahead."""
    with transaction() as connection:
        for name, seconds in columns.items():
            connection.execute(
                text(
                    f"UPDATE api_keys SET {name} = now() + make_interval(secs => :s)"
                    " WHERE id = :id"
                ),
                {"s": seconds, "id": key["id"]},
            )


def test_a_known_key_costs_no_statement(known, make_key, statements):
    key = make_key("wallets:read")["key"]
    caller = known.admit(key)
    assert caller.scopes == {"wallets:read"}
    statements.clear()
    assert all(known.admit(key) is caller for _ in range(100))
    assert statements == []


def test_a_mistyped_key_is_looked_up_by_nobody(known, make_key, statements):
    key = make_key()["key"]
    statements.clear()
    wrong = key[:30] + ("A" if key[30] != "A" else "B") + key[31:]
    for one in (wrong, f"{key}0", "wk_live_", ""):
        with pytest.raises(key_text.MalformedKeyError):
            known.admit(one)
    assert statements == []


def test_a_wrong_secret_is_refused_before_and_after_the_right_one(known, make_key):
    made = make_key()
    wrong = key_text.new_key(made["id"])
    for _ in range(2):
        with pytest.raises(ApiKeyUnknown):
            known.admit(wrong)
        assert known.admit(made["key"]).key_id == made["id"]


def test_revocation_is_noticed_when_trust_is_over(known, make_key, pass_seconds):
    made = make_key()
    known.admit(made["key"])
    keys.revoke(made["id"], tenant_id=None)
    pass_seconds(known_keys.TRUSTED_S)
    with pytest.raises(ApiKeyRevoked):
        known.admit(made["key"])
    assert known_keys.TRUSTED_S < 5


def test_a_revocation_during_a_look_up_is_not_forgotten(
    known, make_key, pass_seconds, statements, monkeypatch
):
    """Trust counts from before the look-up, not from its answer."""
    made = make_key()
    read = known_keys.known_of

    def slowly(row, until):
        pass_seconds(known_keys.TRUSTED_S)
        keys.revoke(made["id"], tenant_id=None)
        return read(row, until)

    monkeypatch.setattr(known_keys, "known_of", slowly)
    known.admit(made["key"])
    monkeypatch.setattr(known_keys, "known_of", read)
    with pytest.raises(ApiKeyRevoked):
        known.admit(made["key"])


def test_both_secrets_are_good_until_the_old_ones_end(known, make_key, pass_seconds):
    made = make_key()
    new = keys.rotate(made["id"], tenant_id=None, grace=timedelta(seconds=2))
    assert known.admit(made["key"]) == known.admit(new["key"])
    age(made, old_digest_until=-1)
    # What is known ends with the old secret, before trust does.
    pass_seconds(2)
    with pytest.raises(ApiKeyExpired):
        known.admit(made["key"])
    assert known.admit(new["key"]).key_id == made["id"]


def test_a_new_secret_is_good_at_once(known, make_key):
    """Though the key is known, as it was."""
    made = make_key()
    known.admit(made["key"])
    new = keys.rotate(made["id"], tenant_id=None)
    assert known.admit(new["key"]).key_id == made["id"]


def test_a_wrong_secret_is_looked_up_once(known, make_key, statements):
    made = make_key()
    known.admit(made["key"])
    wrong = key_text.new_key(made["id"])
    statements.clear()
    for _ in range(20):
        with pytest.raises(ApiKeyUnknown):
            known.admit(wrong)
    assert len(statements) == 1


def test_with_a_second_rotation_the_first_secret_ends(known, make_key):
    first = make_key()
    second = keys.rotate(first["id"], tenant_id=None)
    third = keys.rotate(first["id"], tenant_id=None)
    with pytest.raises(ApiKeyUnknown):
        known.admit(first["key"])
    assert known.admit(second["key"]) == known.admit(third["key"])


def test_a_key_ends_when_it_says_so(known, make_key, pass_seconds):
    end = datetime.now(UTC) + timedelta(seconds=2)
    made = make_key(expires_at=end)
    known.admit(made["key"])
    age(made, expires_at=0)
    pass_seconds(2)
    with pytest.raises(ApiKeyExpired):
        known.admit(made["key"])


def test_who_has_no_secret_learns_nothing_of_a_key(known, make_key):
    revoked, expired = make_key(), make_key()
    keys.revoke(revoked["id"], tenant_id=None)
    age(expired, expires_at=-1)
    for made in (revoked, expired):
        with pytest.raises(ApiKeyUnknown):
            known.admit(key_text.new_key(made["id"]))


def test_callers_who_miss_together_share_a_look_up(app, known, make_key, statements):
    key = make_key()["key"]
    together = threading.Barrier(CALLERS)
    serve = known.serve
    entered = threading.Event()

    def after_all_have_come(batch):
        if not entered.is_set():
            entered.set()
            wait_for(lambda: len(known.gathering.queue) == CALLERS - len(batch))
        serve(batch)

    known.gathering.serve = after_all_have_come

    def call(_):
        together.wait(timeout=30)
        with app.app_context():
            return known.admit(key)

    statements.clear()
    with ThreadPoolExecutor(CALLERS) as pool:
        callers = list(pool.map(call, range(CALLERS)))
    assert len(callers) == CALLERS
    # One for him who came first, and one for all who came meanwhile.
    look_ups = [one for one in statements if one.startswith("SELECT")]
    assert len(look_ups) <= 2


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_unknown_id_is_looked_up_once(known, statements):
    key = key_text.new_key(key_text.new_id())
    for _ in range(20):
        with pytest.raises(ApiKeyUnknown):
            known.admit(key)
    assert len(statements) == 1


def test_made_up_ids_crowd_out_nobody_and_take_bounded_room(
    known, make_key, statements, monkeypatch
):
    monkeypatch.setattr(known_keys, "MOST_UNKNOWN", 10)
    monkeypatch.setattr(known_keys, "PAUSE_S", 0)
    key = make_key()["key"]
    known.admit(key)
    for _ in range(30):
        with pytest.raises(ApiKeyUnknown):
            known.admit(key_text.new_key(key_text.new_id()))
    assert (len(known.known), len(known.unknown)) == (1, 10)
    statements.clear()
    known.admit(key)
    assert statements == []


def test_known_keys_take_bounded_room_too(known, make_key, monkeypatch):
    monkeypatch.setattr(known_keys, "MOST_KNOWN", 3)
    made = [make_key() for _ in range(5)]
    for one in made:
        known.admit(one["key"])
    assert list(known.known) == [one["id"] for one in made[2:]]


def test_after_a_made_up_id_the_next_look_up_waits(known, monkeypatch):
    waits = []
    monkeypatch.setattr(known_keys, "PAUSE_S", 60.0)
    monkeypatch.setattr(known_keys.time, "sleep", waits.append)
    for _ in range(2):
        with pytest.raises(ApiKeyUnknown):
            known.admit(key_text.new_key(key_text.new_id()))
    first, second = waits
    assert first == 0
    assert 50 < second <= 60


def last_used(made):
    with transaction() as connection:
        return keys.find(connection, made["id"], tenant_id=None).last_used_at


def test_use_is_noted_once_a_minute_and_for_good_secrets_only(
    known, make_key, pass_seconds, statements
):
    made = make_key()
    with pytest.raises(ApiKeyUnknown):
        known.admit(key_text.new_key(made["id"]))
    assert last_used(made) is None
    pass_seconds(known_keys.TRUSTED_S)
    known.admit(made["key"])
    noted = last_used(made)
    assert noted is not None
    statements.clear()
    pass_seconds(known_keys.TRUSTED_S)
    known.admit(made["key"])
    assert not any("UPDATE" in one for one in statements)
    assert last_used(made) == noted
    age(made, last_used_at=-61)
    pass_seconds(known_keys.TRUSTED_S)
    known.admit(made["key"])
    assert last_used(made) > noted


def test_a_key_that_is_being_changed_is_not_waited_for(known, make_key):
    made = make_key()
    with transaction() as connection:
        keys.find(connection, made["id"], tenant_id=None, to_change=True)
        assert known.admit(made["key"]).key_id == made["id"]
    assert last_used(made) is None


def test_without_the_database_nobody_is_let_in(make_app, make_key, bearer, refusing):
    closed = make_app(access="keys", database_url=refusing)
    answer = closed.test_client().get(PATH, headers=bearer(make_key()["key"]))
    assert (answer.status_code, answer.json["code"]) == (503, "try_again")
    # Who shows none, or a mistyped one, is told so all the same.
    assert closed.test_client().get(PATH).status_code == 401


@pytest.fixture
def refusing():
    """The URL of a database that is not there."""
    return "postgresql+psycopg://nobody@127.0.0.1:9/nothing"


def test_what_was_known_is_not_trusted_for_longer_without_the_database(
    known, make_key, pass_seconds, monkeypatch
):
    key = make_key()["key"]
    known.admit(key)

    def broken():
        raise OSError("the network is down")

    monkeypatch.setattr(known_keys, "reading_first", broken)
    known.admit(key)
    pass_seconds(known_keys.TRUSTED_S)
    with pytest.raises(OSError, match="down"):
        known.admit(key)
