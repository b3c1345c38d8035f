"""Whatever a client sends: an answer that is described, and never a 5xx.

The client checks every answer against the API's description.
"""

import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

OPERATION = {"operation_type": "DEPOSIT", "amount": "1.00"}
# The wallet is shared by a test's examples: what they do to it does not matter.
shared = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["DEPOSIT", "WITHDRAW", "1.00", "0.01", "USD", "\ud800", "\x00"])
    | st.uuids().map(str)
)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(), scalars)
names = st.sampled_from(
    [
        "operation_type",
        "operationType",
        "amount",
        "description",
        "reference_id",
        "currency",
        "uuid",
    ]
) | st.text(max_size=10)
header_text = st.text(
    st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"),
    max_size=300,
)


@pytest.fixture
def wallet(make_wallet):
    return make_wallet(10)


@shared
@given(body=st.dictionaries(names, values, max_size=6))
def test_any_object_as_an_operation(client, wallet, body):
    answer = client.post(
        f"/api/v1/wallets/{wallet}/operation",
        data=json.dumps(OPERATION | body),
        content_type="application/json",
    )
    assert answer.status_code in {200, 400, 409, 422}


@shared
@given(body=st.dictionaries(names, values, max_size=3))
def test_any_object_as_a_wallet(client, body):
    answer = client.post(
        "/api/v1/wallets", data=json.dumps(body), content_type="application/json"
    )
    assert answer.status_code in {201, 400, 409, 422}


@shared
@given(body=st.binary(max_size=200))
def test_any_bytes_as_an_operation(client, wallet, body):
    answer = client.post(
        f"/api/v1/wallets/{wallet}/operation",
        data=body,
        content_type="application/json",
    )
    assert answer.status_code in {400, 422}


@shared
@given(
    name=st.sampled_from(
        ["Idempotency-Key", "If-Match", "X-Request-ID", "Content-Type", "Accept"]
    ),
    value=header_text,
)
def test_any_header_with_an_operation(client, wallet, name, value):
    answer = client.post(
        f"/api/v1/wallets/{wallet}/operation",
        data=json.dumps(OPERATION),
        headers={"Content-Type": "application/json", name: value},
    )
    assert answer.status_code in {200, 412, 415, 422}


@shared
@given(value=header_text)
def test_any_condition_on_a_read(client, wallet, value):
    path = f"/api/v1/wallets/{wallet}"
    answer = client.get(path, headers={"If-None-Match": value})
    assert answer.status_code in {200, 304}


@shared
@given(
    query=st.dictionaries(
        st.sampled_from(
            [
                "limit",
                "cursor",
                "order",
                "operation_type",
                "from",
                "to",
                "min_amount",
                "max_amount",
                "at",
            ]
        )
        | st.text(max_size=5),
        st.text(max_size=30)
        | st.integers().map(str)
        | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
        | st.sampled_from(["asc", "desc", "DEPOSIT", "10", "0.5"]),
        max_size=4,
    ),
    rest=st.sampled_from(["/transactions", "/balance", "", "/statistics"]),
)
def test_any_query(client, wallet, query, rest):
    answer = client.get(f"/api/v1/wallets/{wallet}{rest}", query_string=query)
    assert answer.status_code in {200, 422}


@shared
@given(text=st.text(max_size=40))
def test_any_path(client, text):
    quoted = "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "replace"))
    for path in (f"/api/v1/wallets/{quoted}", f"/{quoted}", f"/problems/{quoted}"):
        # Slashes may lead to a redirect, or to a path that there is, for POST maybe.
        assert client.get(path).status_code in {200, 308, 404, 405, 422}


@shared
@given(reference=st.uuids(), kind=st.sampled_from(["DEPOSIT", "WITHDRAW"]))
def test_any_operation_twice_answers_the_same(client, wallet, reference, kind):
    body = {"operation_type": kind, "amount": "1.00", "reference_id": str(reference)}
    path = f"/api/v1/wallets/{wallet}/operation"
    first, again = client.post(path, json=body), client.post(path, json=body)
    assert first.status_code == again.status_code
    if first.status_code == 200:
        assert first.get_json() == again.get_json()
        assert uuid.UUID(first.get_json()["reference_id"]) == reference
