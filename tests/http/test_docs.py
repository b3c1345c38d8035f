"""The API's description and its two readers, which need no internet."""

import json
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
MONEY = re.compile(
    r"amount|balance|total|average|smallest|largest|net_flow|available|short_by"
)


@pytest.fixture
def document(app):
    return json.loads(app.test_client().get("/openapi.json").data)


def operations(document):
    """Every (name, operation) of the document."""
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def bodies(document):
    """Every (where, media type, content) that goes in or comes out."""
    for name, operation in operations(document):
        request = operation.get("requestBody", {}).get("content", {})
        for media_type, content in request.items():
            yield name, media_type, content
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                yield f"{name} {status}", media_type, content


def test_description_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_everything_in_components_is_used(app, document):
    description = app.test_client().get("/openapi.json").text
    for kind, components in document["components"].items():
        for name in components:
            if kind == "securitySchemes":
                assert f'"{name}": ["wallets:read"]' in json.dumps(document), name
                continue
            assert f'"#/components/{kind}/{name}"' in description, name


def test_description_names_its_licence_and_where_it_is_served(document):
    assert document["info"]["license"] == {"name": "MIT License", "identifier": "MIT"}
    assert document["servers"] == [{"url": "/"}]


def test_every_operation_has_a_summary_and_a_name_of_its_own(document):
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names)) > 10
    for name, operation in operations(document):
        assert 5 < len(operation["summary"]) < 60, name
        assert not operation["summary"].endswith("."), name


def test_every_route_of_the_service_is_described(app, document):
    described = {name for name, _ in operations(document)}
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/"):
            continue
        path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert f"{method} {path}" in described


def test_every_error_has_the_problem_schema_and_an_example(document):
    found = 0
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            content = response["content"]
            assert list(content) == ["application/problem+json"], (name, status)
            problem = content["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
            for example in problem["examples"].values():
                assert example["value"]["status"] == int(status), (name, status)
            found += 1
    assert found > 30


def test_every_path_that_takes_a_wallet_documents_that_there_may_be_none(document):
    for name, operation in operations(document):
        if "{uuid}" in name:
            assert {"404", "422"} <= operation["responses"].keys(), name


def test_every_body_that_goes_in_has_an_example(document):
    with_body = [
        (f"{name} {kind}", content)
        for name, operation in operations(document)
        for kind, content in operation.get("requestBody", {"content": {}})[
            "content"
        ].items()
    ]
    assert len(with_body) >= 2
    for name, content in with_body:
        assert content.get("example") or content.get("examples"), name


def properties(schema, path=""):
    """Every (path, property) in a schema, at any depth."""
    if isinstance(schema, dict):
        for name, prop in schema.get("properties", {}).items():
            yield f"{path}.{name}", prop
        for name, child in schema.items():
            yield from properties(child, f"{path}.{name}")


def test_no_parameter_has_an_example_that_swagger_ui_would_send(document):
    for name, operation in operations(document):
        for one in operation.get("parameters", []):
            if one["in"] == "query" and not one.get("required"):
                told = {*one, *one["schema"]}
                assert not told & {"example", "examples"}, (name, one["name"])


def test_money_is_never_a_number(document):
    money = {
        path: prop
        for path, prop in properties(document["components"]["schemas"])
        if MONEY.search(path.rsplit(".", 1)[1]) and not path.endswith(".balanced")
    }
    assert {path.rsplit(".", 1)[1] for path in money} >= {
        "amount",
        "balance",
        "balance_before",
        "balance_after",
        "total",
        "average",
        "net_flow",
    }
    for path, prop in money.items():
        assert prop["type"] in ("string", ["string", "null"]), path
        assert prop["format"] == "decimal", path
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if MONEY.search(parameter["name"]):
                assert parameter["schema"]["type"] == "string", name


def test_uuids_and_times_have_their_format(document):
    for path, prop in properties(document["components"]["schemas"]):
        name = path.rsplit(".", 1)[1]
        if name.endswith("_at"):
            assert prop["format"] == "date-time", path
        if name in {"uuid", "wallet_uuid", "reference_id", "counterparty_uuid"}:
            assert prop["format"] == "uuid", path
    for path, item in document["paths"].items():
        for parameter in item.get("parameters", []):
            if parameter["in"] == "path" and parameter["name"] != "key_id":
                assert parameter["schema"]["format"] == "uuid", path


def test_every_type_of_problem_has_a_page(client, document):
    types = {
        example["value"]["type"]
        for _, media_type, content in bodies(document)
        if media_type == "application/problem+json"
        for example in content["examples"].values()
    }
    assert len(types) > 10
    for path in types:
        answer = client.get(path)
        assert answer.status_code == 200
        assert f"/problems/{answer.get_json()['code']}" == path


def load(client, path):
    """A file that the service serves."""
    with client.get(path) as answer:
        assert answer.status_code == 200, path
        return answer.text


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_page_and_all_it_loads_come_from_here(client, page):
    html = re.sub(r"<!--.*?-->", "", load(client, page), flags=re.DOTALL)
    assert not re.search(r"(https?:)?//\w", html)
    loaded = re.findall(r"""(?:src=|href=|spec-url=|url: )["']([^"']+)""", html)
    assert len(loaded) >= 2
    for path in loaded:
        assert len(load(client, path)) > 500


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_browser_fetches_nothing_from_elsewhere(client, page):
    """ReDoc's script has the address of a logo on its maker's server."""
    policy = client.get(page).headers["Content-Security-Policy"]
    sources = policy.split(";")[0].split()
    assert sources == ["default-src", "'self'", "'unsafe-inline'", "data:", "blob:"]


def test_swagger_ui_sends_the_description_to_no_validator(client):
    assert '"validatorUrl": null' in client.get("/docs").text


def test_description_is_readable_from_a_browser_on_the_same_origin_only(client):
    answer = client.get("/openapi.json")
    assert answer.mimetype == "application/json"
    assert "Access-Control-Allow-Origin" not in answer.headers
