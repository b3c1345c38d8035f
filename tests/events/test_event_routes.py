"""GET /events: pages, long polls and streams of what happens."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from ops import Crowd, wait_until

from wallet_app.database import transaction
from wallet_app.events import following
from wallet_app.feed import partitions, readers, relay
from wallet_app.statistics import rollup

PATH = "/api/v1/events"


@pytest.fixture
def happen(make_wallet, app):
    """Let something happen, and be told by the feed; return the wallet."""

    def happen(balance=0):
        wallet = make_wallet(balance)
        with app.app_context():
            while relay.relay():
                pass
        return wallet

    return happen


def test_what_happened_is_told_in_order(client, happen):
    wallets = [happen(10), happen(20)]
    body = client.get(PATH).json
    assert [one["position"] for one in body["data"]] == [1, 2, 3, 4]
    assert [(one["type"], one["wallet_uuid"]) for one in body["data"]] == [
        (kind, str(wallet))
        for wallet in wallets
        for kind in ("wallet.created", "transaction.posted")
    ]
    assert body["data"][3]["data"]["balance_after"] == "20.00"
    assert (body["has_more"], body["next_after"]) == (False, 4)


def test_pages_go_on_where_the_last_one_ended(client, happen):
    happen(10), happen(20)
    first = client.get(PATH, query_string={"limit": 3}).json
    assert (len(first["data"]), first["has_more"]) == (3, True)
    rest = client.get(PATH, query_string={"after": first["next_after"]}).json
    assert [one["position"] for one in rest["data"]] == [4]
    again = client.get(PATH, query_string={"after": rest["next_after"]}).json
    assert again == {"data": [], "has_more": False, "next_after": 4}


def test_filters_by_type_and_wallet(client, happen):
    _, second = happen(10), happen(20)
    posted = client.get(PATH, query_string={"types": "transaction.posted"}).json
    assert [one["position"] for one in posted["data"]] == [2, 4]
    its = client.get(PATH, query_string={"wallet": str(second)}).json
    assert [one["position"] for one in its["data"]] == [3, 4]
    both = {"types": "wallet.created,transaction.posted", "wallet": str(second)}
    assert client.get(PATH, query_string=both).json == its


@pytest.mark.parametrize(
    "query",
    [
        {"after": "-1"},
        {"after": "１"},
        {"after": str(2**63)},
        {"limit": "0"},
        {"limit": "101"},
        {"wait": "31"},
        {"wait": "1.5"},
        {"types": "wallet.lost"},
        {"types": ""},
        {"wallet": "x"},
        {"cursor": "abc"},
    ],
)
def test_a_wrong_question_is_refused(client, query):
    assert client.get(PATH, query_string=query).status_code == 422


def test_events_of_an_unknown_wallet_are_not_found(client):
    query = {"wallet": "00000000-0000-4000-8000-00000000dead"}
    assert client.get(PATH, query_string=query).json["code"] == "wallet_not_found"


def test_a_long_poll_is_answered_when_something_happens(app, happen):
    happen()
    started = time.monotonic()
    waiting = Crowd(app, 1).start(
        app.test_client().get, f"{PATH}?after=1&wait=20&types=transaction.posted"
    )
    time.sleep(0.3)
    assert not waiting.done()
    happen(5)
    body = waiting.result(10).json
    assert time.monotonic() - started < 10
    assert [one["position"] for one in body["data"]] == [3]


def test_a_long_poll_in_vain_ends_in_time(client, happen):
    happen()
    started = time.monotonic()
    body = client.get(f"{PATH}?after=1&wait=1").json
    assert 1 <= time.monotonic() - started < 3
    assert body == {"data": [], "has_more": False, "next_after": 1}


def test_all_who_wait_ask_the_database_once(app, client, happen, monkeypatch):
    happen()
    questions = []
    ask = following.readers.position

    def count(*arguments):
        questions.append(arguments)
        return ask(*arguments)

    monkeypatch.setattr(following.readers, "position", count)
    crowd = Crowd(app, 20)
    crowd.together(lambda _: app.test_client().get(f"{PATH}?after=1&wait=1"), range(20))
    assert len(questions) < 20


def test_more_followers_than_there_are_places_are_sent_away(app, client, monkeypatch):
    followers = app.extensions["followers"]
    monkeypatch.setattr(followers, "places", threading.BoundedSemaphore(1))
    with followers.place():
        answer = client.get(f"{PATH}?wait=1")
        assert (answer.status_code, answer.json["code"]) == (503, "try_again")
        assert client.get(PATH).status_code == 200
    assert client.get(f"{PATH}?wait=1").status_code == 200


def stream(client, monkeypatch, seconds=0.5, **headers):
    """What a stream tells until it ends by itself."""
    monkeypatch.setattr(following, "STREAM_S", seconds)
    answer = client.get(PATH, headers={"Accept": "text/event-stream", **headers})
    assert answer.status_code == 200
    assert answer.content_type == "text/event-stream"
    return answer.text


def told(text):
    """The events of a stream, as a browser reads them."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line)
        if "data" in fields:
            found.append(
                (int(fields["id"]), fields["event"], json.loads(fields["data"]))
            )
    return found


def test_a_stream_goes_on_behind_the_last_event_that_was_seen(
    client, happen, monkeypatch
):
    happen(10), happen(20)
    text = stream(client, monkeypatch, **{"Last-Event-ID": "2"})
    assert text.startswith("retry: 500\n\n")
    assert [(place, kind) for place, kind, _ in told(text)] == [
        (3, "wallet.created"),
        (4, "transaction.posted"),
    ]
    assert told(text)[1][2] == client.get(f"{PATH}?after=3").json["data"][0]


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "", "1" * 19])
def test_a_last_event_that_cannot_be_is_refused(client, text):
    answer = client.get(PATH, headers={"Last-Event-ID": text})
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")


def test_a_new_stream_begins_now(app, client, happen, monkeypatch):
    happen(10)
    crowd = Crowd(app, 1)
    streaming = crowd.start(stream, client, monkeypatch, 2)
    followers = app.extensions["followers"]
    wait_until(lambda: followers.head == 2)
    happen(20)
    assert [place for place, _, _ in told(streaming.result(10))] == [3, 4]


def test_a_stream_without_events_shows_that_it_lives(client, happen, monkeypatch):
    monkeypatch.setattr(following, "SIGN_OF_LIFE_S", 0.1)
    assert ": still here\n\n" in stream(client, monkeypatch)


def forty_days_on(monkeypatch, *modules):
    """Put these modules' clock forward; return what it shows."""
    later = datetime.now(UTC) + timedelta(days=40)

    class Later(datetime):
        @classmethod
        def now(cls, zone=None):
            return later

    for module in modules:
        monkeypatch.setattr(module, "datetime", Later)
    return later


def test_old_days_are_dropped_once_everybody_has_read_them(
    app, client, happen, monkeypatch
):
    happen(10)
    later = forty_days_on(monkeypatch, relay, partitions)
    happen(20)
    with app.app_context():
        rollup.roll_up()
        happen(30)
        assert partitions.prune() == [(later - timedelta(days=40)).date()]
        assert partitions.prune() == []
    answer = client.get(f"{PATH}?after=1")
    assert (answer.status_code, answer.json["code"]) == (410, "events_expired")
    assert answer.json["oldest"] == 3
    assert client.get(PATH).json["data"][0]["position"] == 3
    assert client.get(f"{PATH}?after=2").json["data"][0]["position"] == 3


def test_a_day_that_a_reader_has_still_to_read_is_kept(app, happen, monkeypatch):
    happen(10)
    forty_days_on(monkeypatch, partitions)
    with app.app_context():
        with transaction() as connection:
            readers.lock(connection, "somebody")
        assert partitions.prune() == []
