"""A test client that takes no answer that /openapi.json does not describe."""

import json
import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

PROBLEM_MEMBERS = {
    "type",
    "title",
    "status",
    "detail",
    "instance",
    "code",
    "request_id",
}


class DocumentedClient(FlaskClient):
    """Checks each answer's status, content type and body against the description."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        answer = super().open(*args, **kwargs)
        if answer.status_code >= 400:
            check_problem(answer)
        # A defect of ours is on no list of what may happen.
        if answer.status_code != 500:
            check_documented(self.application, answer)
        return answer


def check_problem(answer: TestResponse) -> None:
    """RFC 9457, plus the members that this service promises."""
    assert answer.content_type == "application/problem+json", answer.text
    problem = answer.get_json()
    assert problem.keys() >= PROBLEM_MEMBERS, problem
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/problems/{problem['code']}"
    assert problem["instance"] == answer.request.path
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert all(isinstance(problem[name], str) for name in PROBLEM_MEMBERS - {"status"})
    assert all(problem[name] for name in PROBLEM_MEMBERS), problem


def check_documented(app: Flask, answer: TestResponse) -> None:
    """The answer is one that the description has for this call."""
    described = description(app)
    call = described.call(answer.request.method, answer.request.path)
    if call is None:
        return
    status, name = str(answer.status_code), f"{answer.request.method} {call['path']}"
    assert status in call["responses"], f"{name} does not document {status}"
    response = described.resolve(call["responses"][status])
    documented = response.get("content", {})
    if not answer.data or answer.request.method == "HEAD":
        return
    assert answer.mimetype in documented, f"{name} {status} is {answer.mimetype}"
    if answer.mimetype.endswith(("/json", "+json")):
        # Not get_json(), which reads numbers as the service does: never as floats.
        body = json.loads(answer.data)
        described.check_body(body, documented[answer.mimetype]["schema"])


class Description:
    """The application's OpenAPI document, made strict: no undescribed member."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.schemas = {
            name: strict(name, schema)
            for name, schema in document["components"]["schemas"].items()
        }
        self.calls = [
            (method.upper(), pattern_of(path), operation | {"path": path})
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if method != "parameters"
        ]
        # A path with a name goes before one with a parameter in its place.
        self.calls.sort(key=lambda call: call[2]["path"].count("{"))

    def call(self, method: str, path: str) -> dict[str, Any] | None:
        """The described operation behind a method and a path, if there is one."""
        for its_method, pattern, operation in self.calls:
            if its_method == method.replace("HEAD", "GET") and pattern.fullmatch(path):
                return operation
        return None

    def resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            target: Any = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node

    def check_body(self, body: Any, schema: dict[str, Any]) -> None:
        whole = {**schema, "components": {"schemas": self.schemas}}
        validator = Draft202012Validator(
            whole, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        errors = [error.message for error in validator.iter_errors(body)]
        assert not errors, (errors, body)


def strict(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Every member of an answer is described; a problem may bring facts of its own."""
    if name == "Problem" or "properties" not in schema:
        return schema
    return {"required": list(schema["properties"]), **schema} | {
        "additionalProperties": False
    }


def pattern_of(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path)))


def description(app: Flask) -> Description:
    """The application's description, made once."""
    if "description" not in app.extensions:
        answer = FlaskClient(app, app.response_class).get("/openapi.json")
        app.extensions["description"] = Description(json.loads(answer.text))
    return app.extensions["description"]  # type: ignore[no-any-return]
