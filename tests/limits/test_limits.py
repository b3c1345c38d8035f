"""Who asks for too much is told so, and nothing is done for him."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import books
import pytest

from wallet_app.ledger import group_commit
from wallet_app.limits import counters
from wallet_app.limits.policies import Policy

PATH = "/api/v1/wallets"
DEPOSIT = {"operation_type": "DEPOSIT", "amount": "1.00"}


def test_request_beyond_the_limit_moves_no_money(
    app, limited, make_wallet, monkeypatch
):
    client = limited(rate_limit="2/minute")
    path = f"{PATH}/{make_wallet()}/operation"
    answers = [client.post(path, json=DEPOSIT) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    with app.app_context():
        before = books.contents()
    monkeypatch.setattr(group_commit.GroupCommit, "submit", lambda *_, **__: 1 / 0)
    refused = client.post(path, json=DEPOSIT)
    assert (refused.status_code, refused.get_json()["code"]) == (429, "rate_limited")
    assert refused.get_json()["policy"] == "key-60s"
    with app.app_context():
        assert books.contents() == before


def test_answers_tell_what_is_left_and_for_how_long(limited, clock):
    client = limited(rate_limit="2/minute", rate_limit_address="100/hour")
    clock.now += 12.25
    headers = [client.get(PATH).headers for _ in range(3)]
    policies = '"address-3600s";q=100;w=3600, "key-60s";q=2;w=60'
    assert {one["RateLimit-Policy"] for one in headers} == {policies}
    assert [one["RateLimit"] for one in headers] == [
        '"address-3600s";r=99;t=3588, "key-60s";r=1;t=48',
        '"address-3600s";r=98;t=3588, "key-60s";r=0;t=48',
        '"address-3600s";r=97;t=3588, "key-60s";r=0;t=48',
    ]
    assert [one.get("Retry-After") for one in headers] == [None, None, "48"]


def test_what_is_told_to_wait_for_is_enough(limited, clock, statuses):
    client = limited(rate_limit="1/second")
    clock.now += 0.9
    assert statuses(client, 1) == [200]
    answer = client.get(PATH, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    clock.now += 1
    assert statuses(client, 2) == [200, 429]


def test_what_a_short_limit_refuses_does_not_count_for_a_long_one(
    limited, clock, statuses
):
    client = limited(rate_limit="3/minute;2/second")
    assert statuses(client, 20) == [200, 200] + [429] * 18
    clock.now += 1
    assert statuses(client, 2) == [200, 429]


def test_errors_count_and_tell_as_well(limited):
    client = limited(rate_limit="4/minute")
    paths = [f"{PATH}/{uuid.uuid4()}", f"{PATH}/no-uuid", "/api/v1/nothing", PATH]
    answers = [client.get(path) for path in paths]
    assert [one.status_code for one in answers] == [404, 422, 404, 200]
    assert [one.headers["RateLimit"] for one in answers] == [
        f'"key-60s";r={left};t=60' for left in (3, 2, 1, 0)
    ]


def test_without_keys_each_address_has_a_quota(limited, statuses):
    client = limited(rate_limit="1/minute")
    assert statuses(client, 2, address="192.0.2.1") == [200, 429]
    assert statuses(client, 2, address="192.0.2.2") == [200, 429]


def test_a_key_has_one_quota_wherever_it_comes_from(with_keys, statuses):
    client = with_keys(rate_limit="3/minute")
    assert statuses(client, 2, key="one", address="192.0.2.1") == [200] * 2
    assert statuses(client, 2, key="one", address="192.0.2.2") == [200, 429]
    assert statuses(client, 3, key="two", address="192.0.2.2") == [200] * 3


def test_an_address_has_one_quota_for_all_its_keys(with_keys, statuses):
    client = with_keys(rate_limit_address="3/minute")
    sent = [statuses(client, 1, key=key)[0] for key in ("one", "two", "wrong", "three")]
    assert sent == [200, 200, 401, 429]
    assert client.looked_up == ["one", "two", "wrong"]
    assert statuses(client, 1, key="one", address="192.0.2.2") == [200]


def test_an_address_that_brings_no_valid_key_is_barred_for_a_while(
    with_keys, statuses, clock
):
    client = with_keys(rate_limit_strangers="2/minute", rate_limit="1000/second")
    clock.now += 10
    assert statuses(client, 5, key="right") == [200] * 5
    assert statuses(client, 4, key="wrong") == [401, 401, 401, 429]
    assert client.looked_up.count("wrong") == 3
    refused = client.get(PATH, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "50")
    assert json.loads(refused.data)["policy"] == "stranger-60s"
    # Nor does a right one get through: whose it is would have to be looked up.
    assert statuses(client, 1, key="right") == [429]
    assert statuses(client, 2, key="right", address="192.0.2.2") == [200] * 2
    clock.now += 50
    assert statuses(client, 1, key="right") == [200]


def test_barred_addresses_are_not_kept_without_end(with_keys, statuses, monkeypatch):
    monkeypatch.setattr("wallet_app.limits.barred.MOST_ADDRESSES", 3)
    client = with_keys(rate_limit_strangers="1/minute")
    limits = client.application.extensions["limits"]
    for number in range(10):
        statuses(client, 2, key="wrong", address=f"192.0.2.{number}")
    assert len(limits.barred.until) == 3


@pytest.mark.parametrize(
    ("trusted", "header", "counted"),
    [
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.9, 198.51.100.7", "203.0.113.9"),
        (2, "198.51.100.7", "192.0.2.1"),
        (1, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        (1, "::ffff:198.51.100.7", "198.51.100.7"),
        (1, "rubbish", "unknown"),
    ],
)
def test_x_forwarded_for_is_believed_as_far_as_there_are_own_proxies(
    limited, statuses, trusted, header, counted
):
    client = limited(rate_limit_address="9/minute", trusted_proxies=trusted)
    statuses(client, 1, **{"X-Forwarded-For": header})
    ((_, callers),) = client.application.extensions["limits"].counters.windows.values()
    assert callers == {counted: 1}


def test_a_client_cannot_evade_its_limit_by_naming_other_addresses(limited, statuses):
    client = limited(rate_limit="2/minute")
    sent = [
        statuses(client, 1, **{"X-Forwarded-For": f"203.0.113.{number}"})[0]
        for number in range(4)
    ]
    assert sent == [200, 200, 429, 429]


def test_probes_and_pages_have_no_limit(limited):
    client = limited(rate_limit="1/minute", rate_limit_address="1/minute")
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json") * 3:
        with client.get(path) as answer:
            assert answer.status_code == 200
            assert "RateLimit-Policy" not in answer.headers


def test_without_limits_a_request_meets_nothing_of_them(app, make_app):
    plain = make_app()
    hooks = [*plain.before_request_funcs[None], *plain.after_request_funcs[None]]
    assert not [hook for hook in hooks if "limits" in hook.__module__]
    answer = plain.test_client().get(PATH)
    assert not [name for name, _ in answer.headers if "ratelimit" in name.lower()]


def test_requests_at_once_are_all_counted(limited, make_wallet):
    client = limited(rate_limit="50/minute")
    path = f"{PATH}/{make_wallet()}"

    def send(_):
        return client.application.test_client().get(path).status_code

    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(send, range(120)))
    assert (sent.count(200), sent.count(429)) == (50, 70)


def test_memory_is_bounded_and_newcomers_share_what_is_left():
    policy = Policy("key-60s", 10, 60)
    memory = counters.MemoryCounters(most_callers=3)
    assert [memory.add(policy, name, 1) for name in "abcdeafg"] == [
        *(1, 1, 1),
        *(1, 2, 2),
        *(3, 4),
    ]
    assert len(memory.windows["key-60s"][1]) == 4
    assert memory.add(policy, "d", 2) == 1
    assert len(memory.windows["key-60s"][1]) == 1


def test_every_operation_of_the_api_documents_its_limits(app):
    document = json.loads(app.test_client().get("/openapi.json").data)
    assert len(document["paths"]) > 20
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            response = operation["responses"].get("429", {})
            limited = path.startswith("/api/")
            assert bool(response) == limited, (method, path)
            assert not limited or response["headers"].keys() == {
                "Retry-After",
                "RateLimit",
                "RateLimit-Policy",
            }
