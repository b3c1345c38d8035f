"""What browsers and caches may do with an answer: every one says it."""

import uuid

import pytest
from flask.testing import FlaskClient

from wallet_app.ledger import posting
from wallet_app.statements import writer

UNKNOWN = "0f8fad5b-d9cb-469f-a165-70867728950e"
IN_PATHS = {
    "filename": "redoc/redoc.standalone.js",
    "name": "swagger-ui.css",
    "code": "not_found",
    "key_id": "4fQ0Zr7LmX2s",
}
# Errors and redirects, which have no route.
NOWHERE = ["/nothing", "/api/v1/nothing", "/api/v1/wallets/no-uuid", "/api/v1//wallets"]
METHODS = ["GET", "HEAD", "POST", "DELETE", "TRACE", "OPTIONS"]
STRICT = "default-src 'none'; frame-ancestors 'none'"


@pytest.fixture
def paths(app):
    """A path of every route, and some of none."""
    rules = list(app.url_map.iter_rules())
    assert len(rules) > 20
    return [
        rule.rule
        if not rule.arguments
        else app.url_map.bind("localhost").build(
            rule.endpoint,
            {name: IN_PATHS.get(name, uuid.UUID(UNKNOWN)) for name in rule.arguments},
        )
        for rule in rules
    ] + NOWHERE


@pytest.fixture
def answers(app, paths):
    """The answer to every method at every path."""
    # The tests' own client looks for a problem's body, which HEAD leaves out.
    client = FlaskClient(app, app.response_class)
    found = []
    for path in paths:
        for method in METHODS:
            with client.open(path, method=method) as answer:
                found.append((path, answer))
    return found


def test_every_answer_has_an_id_and_is_neither_sniffed_nor_framed(answers):
    assert {answer.status_code for _, answer in answers} >= {200, 204, 308, 404, 405}
    for path, answer in answers:
        assert len(answer.headers.getlist("X-Request-ID")) == 1, path
        assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"], path
        (policy,) = answer.headers.getlist("Content-Security-Policy")
        assert policy.endswith("frame-ancestors 'none'"), path


def test_only_the_two_pages_may_load_anything(answers):
    lenient = {
        path
        for path, answer in answers
        if answer.headers["Content-Security-Policy"] != STRICT
    }
    assert lenient == {"/docs", "/redoc"}


def test_no_cache_keeps_what_concerns_money_and_nothing_else_is_kept_from_it(answers):
    for path, answer in answers:
        rules = answer.headers.getlist("Cache-Control")
        assert (rules == ["no-store"]) == path.startswith("/api/"), (path, rules)


def test_every_path_tells_its_methods_without_a_body(answers):
    told = [
        (path, answer)
        for path, answer in answers
        if answer.request.method == "OPTIONS" and path not in NOWHERE
    ]
    assert len(told) > 20
    for path, answer in told:
        assert (answer.status_code, answer.data) == (204, b""), path
        assert "Content-Type" not in answer.headers, path
        assert "OPTIONS" in answer.allow, path
        assert answer.allow - {"OPTIONS"}, path


def test_answers_about_money_are_not_kept(client, make_wallet, monkeypatch):
    path = f"/api/v1/wallets/{make_wallet(5)}"
    read = client.get(path)
    same = client.get(path, headers={"If-None-Match": read.headers["ETag"]})
    deposit = {"operation_type": "DEPOSIT", "amount": 1}
    moved = client.post(f"{path}/operation", json=deposit)
    monkeypatch.setattr(posting, "post", lambda *_, **__: 1 / 0)
    broken = client.post(f"{path}/operation", json=deposit)
    answers = [read, same, moved, broken]
    assert [one.status_code for one in answers] == [200, 304, 200, 500]
    for answer in answers:
        assert answer.headers.getlist("Cache-Control") == ["no-store"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_file_of_a_statement_is_not_kept(client, context, make_wallet):
    january = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    asked = client.post(f"/api/v1/wallets/{make_wallet()}/statements", json=january)
    writer.write(uuid.UUID(asked.get_json()["id"]))
    file = client.get(f"{asked.headers['Location']}/file", buffered=True)
    assert file.status_code == 200
    assert file.headers.getlist("Cache-Control") == ["no-store"]
    assert file.headers["ETag"]


def test_assets_of_the_pages_are_kept(client):
    with client.get("/static/swagger-ui/swagger-ui.css") as answer:
        assert "max-age" in answer.headers["Cache-Control"]
