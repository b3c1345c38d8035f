"""Requests that must be refused: with the right problem, and with nothing written."""

import io
import json
import uuid

import pytest

JSON = "application/json"
GOOD = {"operation_type": "DEPOSIT", "amount": "1.00"}
DESCRIPTION_LIMIT = 1000


@pytest.fixture
def wallet(make_wallet):
    return make_wallet(10)


@pytest.fixture
def path(wallet):
    return f"/api/v1/wallets/{wallet}/operation"


@pytest.fixture
def refuse(refused, path):
    """Post an operation that must be refused; return the problem."""

    def post(status, code, **request):
        return refused(status, code, "POST", path, **request)

    return post


@pytest.fixture
def invalid(refuse):
    """Post fields that must be refused; return what the problem says of them."""

    def post(**fields):
        # Written by hand, because a lone surrogate must arrive as an escape.
        data = json.dumps(GOOD | fields)
        problem = refuse(422, "validation_failed", data=data, content_type=JSON)
        return problem["errors"]

    return post


# What is not a JSON object


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"DEPOSIT",
        b'{"amount": 1,}',
        b"{'amount': 1}",
        b'{"amount": 1} {"amount": 2}',
        b'{"amount": NaN}',
        b'{"amount": Infinity}',
        b'{"amount": -Infinity}',
        b'{"amount": 01}',
        b'{"amount": +1}',
        b'{"amount": .5}',
        b'{"amount": 5.}',
        b'{"amount": 0x10}',
        b'{"amount": 1_000}',
        '{"amount": １}'.encode(),
        b'{"description": "\xff\xfe"}',
        b"\xef\xbb\xbf{}",
        '{"amount": 1}'.encode("utf-16"),
        b'{"description": "line\nbreak"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"amount": ' + b"9" * 5000 + b"}",
        b'{"amount": -' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_is_malformed(refuse, body):
    refuse(400, "malformed_request", data=body, content_type=JSON)


@pytest.mark.parametrize(
    "body", ["[]", "[{}]", "null", "true", "1", "1.5", '"DEPOSIT"'], ids=str
)
def test_json_that_is_no_object_is_refused(refuse, body):
    problem = refuse(422, "validation_failed", data=body, content_type=JSON)
    assert "object" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        '{"operation_type": "DEPOSIT", "amount": "1", "amount": "1000"}',
        '{"operation_type": "DEPOSIT", "operation_type": "WITHDRAW", "amount": "1"}',
        '{"operation_type": "DEPOSIT", "amount": "1", "\\u0061mount": "2"}',
        '{"operation_type": "DEPOSIT", "amount": {"a": 1, "a": 1}}',
    ],
)
def test_a_field_that_is_given_twice_is_refused(refuse, body):
    problem = refuse(400, "malformed_request", data=body, content_type=JSON)
    assert "twice" in problem["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "json",
    ],
)
def test_body_that_is_not_declared_as_json_is_refused(refuse, content_type):
    refuse(
        415, "unsupported_media_type", data=json.dumps(GOOD), content_type=content_type
    )


def test_body_over_the_limit_is_refused(refuse):
    body = json.dumps(GOOD | {"description": "x" * 1024 * 1024})
    refuse(413, "body_too_large", data=body, content_type=JSON)


@pytest.mark.parametrize("end", [b"", b"{}", b"rubbish"])
def test_chunked_body_over_the_limit_is_refused(refuse, end):
    """Its length is not declared, and what comes before the limit is good JSON."""
    body = json.dumps(GOOD).encode() + b" " * 1024 * 1024 + end
    refuse(
        413,
        "body_too_large",
        input_stream=io.BytesIO(body),
        content_type=JSON,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )


# Fields


@pytest.mark.parametrize("field", ["operation_type", "amount"])
def test_missing_field_is_named(refuse, field):
    body = {name: value for name, value in GOOD.items() if name != field}
    problem = refuse(422, "validation_failed", json=body)
    assert list(problem["errors"]) == [field]
    assert field in problem["detail"]


def test_all_missing_fields_are_named_at_once(refuse):
    problem = refuse(422, "validation_failed", json={})
    assert set(problem["errors"]) == {"operation_type", "amount"}


@pytest.mark.parametrize(
    "name",
    ["sum", "wallet_uuid", "currency", "AMOUNT", "", "amount ", "\ud800", "\x00"],
    ids=ascii,
)
def test_unknown_field_is_refused_and_named(invalid, name):
    assert list(invalid(**{name: "1"})) == [name]


def test_operation_type_and_its_synonym_together_are_refused(invalid):
    assert list(invalid(operationType="DEPOSIT")) == ["operationType"]


@pytest.mark.parametrize(
    "value",
    [
        "deposit",
        "DEPOSIT ",
        "TRANSFER",
        "TRANSFER_OUT",
        "GIFT",
        "",
        "\ud800",
        None,
        1,
        True,
        ["DEPOSIT"],
        {"a": "DEPOSIT"},
        1.5,
    ],
    ids=ascii,
)
def test_unknown_operation_type_is_refused(invalid, value):
    assert list(invalid(operation_type=value)) == ["operation_type"]


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "0",
        "0.00",
        "-0.01",
        "-1",
        "+1",
        "",
        " 1",
        "1 ",
        "1\n",
        "1e3",
        "1E3",
        "1_0",
        "1,0",
        "1.",
        ".5",
        "0x10",
        "１",
        "NaN",
        "Infinity",
        "sNaN",
        "1\x00",
        "\ud800",
        True,
        False,
        None,
        [],
        ["1"],
        {},
        {"text": "1"},
        10**18,
        10**30,
        "1" + "0" * 18,
        "9" * 5000,
        "0." + "0" * 5000 + "1",
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_what_is_no_amount_is_refused(invalid, value):
    errors = invalid(amount=value)
    assert list(errors) == ["amount"]
    assert all(errors["amount"])


@pytest.mark.parametrize(
    "number",
    [
        "0.0",
        "-1.5",
        "1e3",
        "1E+3",
        "1.5e1",
        "1e400",
        "1e-400",
        "-0",
        "0e0",
        "1e999999999",
    ],
)
def test_number_that_is_no_amount_is_refused(refuse, number):
    body = f'{{"operation_type": "DEPOSIT", "amount": {number}}}'
    problem = refuse(422, "validation_failed", data=body, content_type=JSON)
    assert list(problem["errors"]) == ["amount"]


@pytest.mark.parametrize(
    "number", ["1.005", '"1.005"', "1.000", "0.001", "9007199254740993.001"]
)
def test_amount_finer_than_a_cent_is_refused_not_rounded(refuse, number):
    body = f'{{"operation_type": "DEPOSIT", "amount": {number}}}'
    problem = refuse(422, "invalid_amount", data=body, content_type=JSON)
    assert list(problem["errors"]) == ["amount"]
    assert "2 digits" in problem["detail"]


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "1.5"), ("JPY", "1.0"), ("KWD", "1.0005")]
)
def test_amount_finer_than_its_currency_is_refused(
    refused, make_wallet, currency, amount
):
    path = f"/api/v1/wallets/{make_wallet(0, currency)}/operation"
    body = {"operation_type": "DEPOSIT", "amount": amount}
    problem = refused(422, "invalid_amount", "POST", path, json=body)
    assert currency in problem["detail"]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "not-a-uuid",
        "0" * 32,
        "{0f8fad5b-d9cb-469f-a165-70867728950e}",
        1,
        True,
        [],
        "\ud800",
    ],
    ids=ascii,
)
def test_malformed_reference_is_refused(invalid, value):
    assert list(invalid(reference_id=value)) == ["reference_id"]


@pytest.mark.parametrize(
    "value",
    [
        "a\x00b",
        "\x00",
        "\ud800",
        "\udfff and more",
        "x" * (DESCRIPTION_LIMIT + 1),
        1,
        True,
        ["text"],
        {"text": "text"},
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_description_that_cannot_be_stored_is_refused(invalid, value):
    assert list(invalid(description=value)) == ["description"]


# Paths, queries, methods


@pytest.mark.parametrize(
    "text",
    ["1", "x", "123e4567e89b12d3a456426614174000", "%00", "..", "123e4567-e89b", "é"],
)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("GET", "/balance"),
        ("GET", "/transactions"),
        ("GET", "/statistics"),
        ("POST", "/operation"),
    ],
)
def test_malformed_uuid_in_a_path_is_told_apart_from_an_unknown_path(
    refused, text, method, rest
):
    problem = refused(
        422, "validation_failed", method, f"/api/v1/wallets/{text}{rest}", json=GOOD
    )
    assert list(problem["errors"]) == ["uuid"]


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("GET", "/balance"),
        ("GET", "/transactions"),
        ("GET", "/statistics"),
        ("POST", "/operation"),
    ],
)
def test_unknown_wallet_is_not_found(refused, method, rest):
    unknown = uuid.uuid4()
    problem = refused(
        404, "wallet_not_found", method, f"/api/v1/wallets/{unknown}{rest}", json=GOOD
    )
    assert str(unknown) in problem["detail"]


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("GET", "/balance"),
        ("GET", "/transactions"),
        ("GET", "/statistics"),
        ("POST", "/operation"),
    ],
)
def test_unknown_query_parameter_is_refused_and_named(refused, wallet, method, rest):
    path = f"/api/v1/wallets/{wallet}{rest}?dry_run=1"
    problem = refused(422, "validation_failed", method, path, json=GOOD)
    assert list(problem["errors"]) == ["dry_run"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v1/wallets"])
def test_unknown_query_parameter_is_refused_on_collections_and_probes(refused, path):
    problem = refused(422, "validation_failed", "GET", f"{path}?verbose=1")
    assert list(problem["errors"]) == ["verbose"]


def test_query_parameter_that_is_given_twice_is_refused(refused):
    path = "/api/v1/wallets?limit=1&limit=2"
    problem = refused(422, "validation_failed", "GET", path)
    assert list(problem["errors"]) == ["limit"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/wallet",
        "/api/v1/wallets/",
        "/api/v2/wallets",
        "/static/",
        "/static/../wallet_app/config.py",
        "/static/swagger-ui/../../setup.py",
        "/problems/unheard_of",
    ],
)
def test_unknown_path_is_not_found(refused, path):
    refused(404, "not_found", "GET", path)


@pytest.mark.parametrize(
    ("method", "rest", "allowed"),
    [
        ("GET", "/operation", {"POST", "OPTIONS"}),
        ("PUT", "/operation", {"POST", "OPTIONS"}),
        ("DELETE", "", {"GET", "HEAD", "PATCH", "OPTIONS"}),
        ("PUT", "", {"GET", "HEAD", "PATCH", "OPTIONS"}),
        ("POST", "/balance", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/transactions", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_wrong_method_is_refused_with_those_that_are_allowed(
    refused, wallet, method, rest, allowed
):
    path = f"/api/v1/wallets/{wallet}{rest}"
    problem = refused(405, "method_not_allowed", method, path, json=GOOD)
    assert set(problem["headers"]["Allow"].split(", ")) == allowed


# Headers


def test_key_that_differs_from_the_reference_is_refused(refuse):
    problem = refuse(
        422,
        "validation_failed",
        json=GOOD | {"reference_id": str(uuid.uuid4())},
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )
    assert list(problem["errors"]) == ["reference_id"]


@pytest.mark.parametrize("key", ["", '""', "k" * 256, '"' + "k" * 256 + '"'])
def test_key_of_no_or_too_many_characters_is_refused(refuse, key):
    problem = refuse(
        422, "validation_failed", json=GOOD, headers={"Idempotency-Key": key}
    )
    assert list(problem["errors"]) == ["Idempotency-Key"]


@pytest.mark.parametrize("tag", ['"0"', '"2"', '"99999999999999999999"'])
def test_operation_on_a_wallet_that_has_changed_is_refused(refuse, tag):
    problem = refuse(412, "precondition_failed", json=GOOD, headers={"If-Match": tag})
    assert problem["version"] == 1


@pytest.mark.parametrize(
    "tag",
    [
        *("", "x", '"x"', '"1", "2"', '"-1"', '"1.0"', '"١"', '"²"', '"1"x', "W/"),
        *('W/"1"', '""', '"', ",", f'"{"9" * 5000}"'),
    ],
    ids=lambda tag: ascii(tag[:20]),
)
def test_malformed_if_match_is_refused(refuse, tag):
    problem = refuse(422, "validation_failed", json=GOOD, headers={"If-Match": tag})
    assert list(problem["errors"]) == ["If-Match"]


# What the wallet's state forbids


def test_withdrawal_of_too_much_tells_what_there_is_and_what_is_missing(refuse):
    body = {"operation_type": "WITHDRAW", "amount": "12.34"}
    problem = refuse(409, "insufficient_funds", json=body)
    assert (problem["available"], problem["short_by"]) == ("10.00", "2.34")


def test_deposit_that_would_pass_the_balances_limit_is_refused(refuse):
    body = {"operation_type": "DEPOSIT", "amount": "999999999999999999.99"}
    refuse(409, "balance_limit_exceeded", json=body)


def test_reference_of_another_operation_is_refused(client, refuse, path):
    body = GOOD | {"reference_id": str(uuid.uuid4())}
    assert client.post(path, json=body).status_code == 200
    for change in (
        {"amount": "2.00"},
        {"operation_type": "WITHDRAW"},
        {"description": "another"},
    ):
        problem = refuse(422, "idempotency_key_reused", json=body | change)
        assert body["reference_id"] in problem["detail"]
