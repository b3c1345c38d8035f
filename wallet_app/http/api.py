"""What every blueprint shares: strict parsing and documented problems."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Flask, Request, Response, current_app, request
from flask_smorest import Api, Blueprint
from werkzeug.routing import BaseConverter

from wallet_app.errors import (
    ApiKeyExpired,
    ApiKeyMalformed,
    ApiKeyMissing,
    ApiKeyRevoked,
    ApiKeyUnknown,
    BodyTooLarge,
    InsufficientScope,
    InvalidRequest,
    MalformedRequest,
    ProblemInRouting,
    RateLimited,
    Unavailable,
    UnsupportedMediaType,
    WalletError,
)
from wallet_app.http.fields import NOT_A_UUID, parse_uuid
from wallet_app.http.headers import MONEY
from wallet_app.http.json_provider import InvalidJson
from wallet_app.http.scopes import Scope

# How an answer with a Location is described.
LOCATION = {"Location": {"schema": {"type": "string"}}}


class UuidConverter(BaseConverter):
    """A UUID in a path; anything else is told apart from an unknown path."""

    # The path beside the UUIDs takes other methods: that is what to tell of a GET.
    regex = r"(?!(?:batch|imports?)\Z)[^/]+"

    def to_python(self, value: str) -> UUID:
        parsed = parse_uuid(value)
        if parsed is None:
            raise ProblemInRouting(
                InvalidRequest(NOT_A_UUID, errors={"uuid": [NOT_A_UUID]})
            )
        return parsed


class StrictParser:
    """Stands in for flask-smorest's webargs parser: see WalletBlueprint.arguments."""

    DEFAULT_VALIDATION_STATUS = 422

    def use_args(self, _schema: Any, *, location: str) -> Any:
        """Leave the view as it is."""
        return lambda view: view


def load(schema: ma.Schema, data: dict[str, Any]) -> Any:
    """Load by a schema; raises InvalidRequest with what is wrong, by field."""
    try:
        return schema.load(data)
    except ma.ValidationError as error:
        fields: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        names = ", ".join(str(name) for name in list(fields)[:5])
        raise InvalidRequest(f"Correct these fields: {names}.", errors=fields) from None


def read_body() -> dict[str, Any]:
    """The JSON object in the body; raises what is wrong with it."""
    # The request itself: each use of the proxy would look it up again.
    this = request._get_current_object()  # type: ignore[attr-defined]
    given = this.environ.get("CONTENT_TYPE")
    if given != "application/json" and this.mimetype != "application/json":
        raise UnsupportedMediaType()
    try:
        body = current_app.json.loads(read_data(this))
    except InvalidJson as error:
        raise MalformedRequest(str(error)) from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return body


def read_data(this: Request) -> bytes:
    """The body's bytes; raises werkzeug's 413 if they are too many."""
    environ = this.environ
    given: str = environ.get("CONTENT_LENGTH", "")
    is_told = given.isascii() and given.isdecimal()
    if not is_told or "HTTP_TRANSFER_ENCODING" in environ:
        data = this.get_data(cache=False)
        # A chunked body is cut off at the limit; only reading on raises.
        this.stream.read(1)
    elif (length := int(given)) <= (this.max_content_length or length):
        # As werkzeug would after a longer look.
        data = environ["wsgi.input"].read(length)
        if len(data) != length:
            # gunicorn hands on what has come before a client hung up.
            raise MalformedRequest("The body is shorter than its Content-Length.")
    else:
        data = this.get_data(cache=False)
    return data


def read_query() -> dict[str, Any]:
    """The query parameters, each given once."""
    for name, values in request.args.lists():
        if len(values) > 1:
            message = "Give this parameter once."
            raise InvalidRequest(message, errors={name: [message]})
    return request.args.to_dict()


class ProblemSchema(ma.Schema):
    """RFC 9457 problem details; some errors add facts, such as `available`."""

    class Meta:
        unknown = ma.INCLUDE

    type = ma.fields.String(metadata={"description": "Path of the error's description"})
    title = ma.fields.String(metadata={"description": "What kind of error this is"})
    status = ma.fields.Integer(metadata={"description": "The HTTP status code"})
    detail = ma.fields.String(metadata={"description": "What happened, what to do"})
    instance = ma.fields.String(metadata={"description": "The path that was called"})
    code = ma.fields.String(metadata={"description": "The error's name, for programs"})
    request_id = ma.fields.String(metadata={"description": "Find the call in the log"})
    errors = ma.fields.Dict(
        keys=ma.fields.String(),
        metadata={"description": "For invalid input: what is wrong, by field"},
    )


BODY_PROBLEMS = (
    MalformedRequest,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    Unavailable,
)
KEY_PROBLEMS = (
    ApiKeyMissing,
    ApiKeyMalformed,
    ApiKeyUnknown,
    ApiKeyExpired,
    ApiKeyRevoked,
)
# The name of the security scheme in the API's description.
API_KEY = "api_key"


class WalletApi(Api):
    """Documents errors as problems and leaves answering them to wallet_app.errors."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """The application's own handler answers every error."""

    def _register_pagination_header(self) -> None:
        """Pages are described by their schemas; no header has one."""


class WalletBlueprint(Blueprint):
    """A blueprint that refuses unknown query parameters and documents its problems.

    flask-smorest describes its views; what it would wrap around each call of them is
    done here, by what a call needs.
    """

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before_request(refuse_unread_query)
        self._prepare_doc_cbks.append(describe_security)

    def route(self, rule: str, *, scope: Scope | None = None, **options: Any) -> Any:
        """Register a view, whose name is its operationId.

        `scope` is what its callers' keys need; below /api/ each view has one.
        """
        register = super().route(rule, **options)

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            docs = function._apidoc  # type: ignore[attr-defined]
            described = docs.setdefault("manual_doc", {})
            described.setdefault("operationId", function.__name__)
            function.query_names = {  # type: ignore[attr-defined]
                one["name"]
                for one in described.get("parameters", ())
                if one["in"] == "query"
            }
            # Whatever else it does, it refuses a query that it does not read.
            docs["response"]["responses"].setdefault(
                422, [problem_response(422, [InvalidRequest])]
            )
            if scope is not None:
                document_scope(docs, scope)
                function.scope = scope  # type: ignore[attr-defined]
            if (self.url_prefix or rule).startswith(MONEY):
                docs["response"]["responses"].setdefault(429, [RATE_LIMITED])
            view: Callable[..., Any] = register(function)
            return view

        return decorator

    def arguments(self, schema: Any, *, location: str = "json", **kwargs: Any) -> Any:
        """Call the view with what a schema has loaded of the body, or of the query."""
        document = super().arguments(schema, location=location, **kwargs)
        instance: ma.Schema = schema() if isinstance(schema, type) else schema
        read = {"json": read_body, "query": read_query}[location]

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(document(function))
            def view(*args: Any, **kwargs: Any) -> Any:
                return function(load(instance, read()), *args, **kwargs)

            view.reads_query = location == "query"  # type: ignore[attr-defined]
            return view

        return decorator

    def response(self, status_code: int, schema: Any = None, **kwargs: Any) -> Any:
        """Answer with what a schema makes of the view's result.

        A view returns the result, or it with a status and headers, or a Response.
        """
        document = super().response(status_code, schema, **kwargs)
        instance = schema() if isinstance(schema, type) else schema

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(document(function))
            def view(*args: Any, **kwargs: Any) -> Any:
                result, status, headers = function(*args, **kwargs), status_code, None
                if type(result) is tuple:
                    result, status, headers = result
                if isinstance(result, Response):
                    return result
                shown = result if instance is None else instance.dump(result)
                response = current_app.json.response(shown)
                response.status_code = status
                if headers:
                    response.headers.extend(headers)
                return response

            return view

        return decorator

    @staticmethod
    def doc(**kwargs: Any) -> Any:
        """Add to the description of a view."""
        document = Blueprint.doc(**kwargs)

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            function._apidoc = document(function)._apidoc  # type: ignore[attr-defined]
            return function

        return decorator

    def problems(self, *families: type[WalletError]) -> Any:
        """Document the errors that an operation can answer with, grouped by status."""
        by_status: dict[int, list[type[WalletError]]] = {}
        for family in families:
            by_status.setdefault(family.status, []).append(family)

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            # Written where alt_response would, without its wrapper around every call.
            docs = function._apidoc["response"]["responses"]  # type: ignore[attr-defined]
            for status, members in by_status.items():
                docs[status] = [problem_response(status, members)]
            return function

        return decorator


def document_scope(docs: dict[str, Any], scope: Scope) -> None:
    """Note what a view asks for, and how it refuses those who have it not."""
    docs["scope"] = scope
    responses = docs["response"]["responses"]
    responses[401] = [
        {
            **problem_response(401, list(KEY_PROBLEMS)),
            "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
        }
    ]
    responses[403] = [problem_response(403, [InsufficientScope])]


def describe_security(
    doc: dict[str, Any], info: dict[str, Any], *, app: Flask, **_: Any
) -> dict[str, Any]:
    """The key that an operation asks for; with open access, it may be left out."""
    if "scope" in info:
        needed = {API_KEY: [str(info["scope"])]}
        doc["security"] = [needed] if app.config["API_KEYS"] else [needed, {}]
    return doc


def problem_response(status: int, members: list[type[WalletError]]) -> dict[str, Any]:
    """How flask-smorest wants a documented response."""
    codes = ", ".join(f"`{member.code}`" for member in members)
    return {
        "schema": ProblemSchema(),
        "description": f"{HTTPStatus(status).phrase}: {codes}",
        "examples": {member.code: {"value": example_of(member)} for member in members},
        "content_type": "application/problem+json",
    }


def refuse_unread_query() -> None:
    """A parameter that nobody reads is a mistake of the caller's: say so."""
    if not request.query_string:
        return
    view = current_app.view_functions[request.endpoint or ""]
    if getattr(view, "reads_query", False):
        return
    known = getattr(view, "query_names", ())
    unknown = {name: ["Unknown field."] for name in request.args if name not in known}
    if unknown:
        taken = ", ".join(known) or "no query parameters"
        raise InvalidRequest(f"This path takes {taken}.", errors=unknown)


def example_of(family: type[WalletError]) -> dict[str, Any]:
    return {
        "type": f"/problems/{family.code}",
        "title": family.title,
        "status": family.status,
        "detail": family.title + ".",
        "instance": "/api/v1/wallets",
        "code": family.code,
        "request_id": "0f8fad5bd9cb469fa16570867728950e",
    }


RATE_LIMITED = problem_response(429, [RateLimited]) | {
    "headers": {
        "Retry-After": {
            "description": "After how many seconds to ask again",
            "schema": {"type": "integer", "minimum": 1},
        },
        "RateLimit": {
            "description": "What is left of each limit, for how many seconds",
            "schema": {"type": "string"},
            "example": '"key-1s";r=0;t=1',
        },
        "RateLimit-Policy": {
            "description": "Each limit: so many requests in so many seconds",
            "schema": {"type": "string"},
            "example": '"key-1s";q=1000;w=1',
        },
    }
}
