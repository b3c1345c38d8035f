"""Imports over HTTP."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, current_app, request, stream_with_context
from sqlalchemy import Row

from wallet_app.background import hints
from wallet_app.database import reading
from wallet_app.database.connections import start_clock
from wallet_app.errors import (
    BodyTooLarge,
    IdempotencyKeyReused,
    ImportExpired,
    ImportNotFound,
    ImportNotReady,
    InvalidRequest,
    MalformedRequest,
    Unavailable,
    UnsupportedMediaType,
)
from wallet_app.http.api import BODY_PROBLEMS, LOCATION, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.fields import Moment, Uuid, moment_text
from wallet_app.http.money_requests import KEY_PARAMETER, key_from_header
from wallet_app.http.pages import decode_position, page_of
from wallet_app.http.schemas import DEMO_UUID
from wallet_app.http.scopes import Scope
from wallet_app.imports import lifecycle, outcomes, receiving, worker
from wallet_app.imports.schemas import (
    ImportDetails,
    ImportPage,
    ImportQuery,
    OutcomesQuery,
)

blp = WalletBlueprint(
    "imports", __name__, url_prefix="/api/v1", description="Files of operations"
)
FORMATS = {"application/x-ndjson": "ndjson", "text/csv": "csv"}
MIME_TYPES = {name: mime for mime, name in FORMATS.items()}
PART_BYTES = 64 * 1024
RECEIVE_S = 60 * 60
LINES = {"type": "string", "description": "An operation a line, as in a batch"}
EXAMPLES = {
    "ndjson": '{"operation_type": "DEPOSIT", "wallet": "%s", "amount": "10.00"}\n',
    "csv": "operation_type,wallet,amount\nDEPOSIT,%s,10.00\n",
}
BODY = {
    "required": True,
    "content": {
        mime: {"schema": LINES, "example": EXAMPLES[name] % DEMO_UUID}
        for mime, name in FORMATS.items()
    },
}
PROGRESS = {
    name: {"operationId": name, "parameters": {"import_id": "$response.body#/id"}}
    for name in ("get_import", "get_import_outcomes", "cancel_import")
}


@blp.route("/operations/import", methods=["POST"], scope=Scope.OPERATIONS_WRITE)
@blp.doc(
    parameters=[KEY_PARAMETER],
    requestBody=BODY,
    responses={202: {"links": PROGRESS}},
)
@blp.problems(*BODY_PROBLEMS, IdempotencyKeyReused)
@blp.response(202, ImportDetails, headers=LOCATION)
def create_import() -> Any:
    """Import a file of operations

    A line is an operation, with the fields of a batch's member: newline-delimited
    JSON, or CSV whose first line names the columns. A background worker posts them in
    the file's order; see the Location for its progress. A row without a `reference_id`
    gets one of its own. The same body and Idempotency-Key are the same import.
    """
    file_format = FORMATS.get(request.mimetype)
    if file_format is None:
        raise UnsupportedMediaType(f"Send a body of type {' or '.join(FORMATS)}.")
    row = receiving.receive(
        caller().tenant_id, file_format, parts_of_body(), key_from_header()
    )
    if row.state == "pending":
        hints.send(hints.POST_IMPORT, str(row.id))
    return details(row), 202, {"Location": path_of(row)}


def parts_of_body() -> Iterator[bytes]:
    """The body as it comes; raises what is wrong with its length."""
    most: int = current_app.config["IMPORT_MAX_BYTES"]
    too_large = BodyTooLarge(f"A file has at most {most} bytes; split it.")
    told, got = request.content_length, 0
    if told is not None and told > most:
        raise too_large
    request.max_content_length = most + 1
    ends = time.monotonic() + RECEIVE_S
    while part := request.stream.read(PART_BYTES):
        # Each part has the time of a request: a file takes longer than one.
        start_clock(current_app._get_current_object())  # type: ignore[attr-defined]
        got += len(part)
        if got > most:
            raise too_large
        if time.monotonic() > ends:
            raise MalformedRequest("The body took longer than an hour; split it.")
        yield part
    if told is not None and got != told:
        # gunicorn hands on what has come before a client hung up.
        raise MalformedRequest("The body is shorter than its Content-Length.")


@blp.route("/operations/imports", scope=Scope.OPERATIONS_WRITE)
@blp.arguments(ImportQuery, location="query")
@blp.problems(InvalidRequest, Unavailable)
@blp.response(200, ImportPage)
def list_imports(query: dict[str, Any]) -> Any:
    """List imports, newest first"""
    before = decode_position(query["cursor"], "imports", read_place)
    with reading() as connection:
        rows = lifecycle.list_imports(
            connection, caller().tenant_id, limit=query["limit"] + 1, before=before
        )
    page = page_of(rows, query["limit"], lambda row: ("imports", place_of(row)))
    return page | {"data": [details(row) for row in page["data"]]}


@blp.route("/operations/imports/<uuid:import_id>", scope=Scope.OPERATIONS_WRITE)
@blp.problems(ImportNotFound, InvalidRequest, Unavailable)
@blp.response(200, ImportDetails)
def get_import(import_id: UUID) -> Any:
    """Read an import's state and progress"""
    return details(found(import_id))


@blp.route(
    "/operations/imports/<uuid:import_id>/cancel",
    methods=["POST"],
    scope=Scope.OPERATIONS_WRITE,
)
@blp.problems(ImportNotFound, InvalidRequest, Unavailable)
@blp.response(200, ImportDetails)
def cancel_import(import_id: UUID) -> Any:
    """Post no more of an import

    What is posted stays, and the outcomes tell of it. One that has ended stays as it
    is: see its state.
    """
    row = lifecycle.cancel(caller().tenant_id, import_id, worker.keep())
    return details(row)


@blp.route(
    "/operations/imports/<uuid:import_id>/outcomes", scope=Scope.OPERATIONS_WRITE
)
@blp.arguments(OutcomesQuery, location="query")
@blp.problems(
    ImportNotFound, ImportNotReady, ImportExpired, InvalidRequest, Unavailable
)
@blp.alt_response(
    200,
    schema={"type": "string"},
    content_type=MIME_TYPES["ndjson"],
    success=True,
)
@blp.response(200, {"type": "string"}, content_type="text/csv")
def get_import_outcomes(query: dict[str, Any], import_id: UUID) -> Any:
    """Download what became of each row

    A line a row, with the number of its line in the file.
    """
    row = found(import_id)
    if row.state == "expired":
        raise ImportExpired("The outcomes were deleted; transactions are kept.")
    if row.state not in lifecycle.ENDED:
        done = progress_of(row)
        raise ImportNotReady(f"{done} percent are posted.", progress=done)
    file_format = query["file_format"]
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def chunks() -> Iterator[bytes]:
        for chunk in lifecycle.read_outcomes(import_id):
            start_clock(app)
            yield chunk

    return Response(
        stream_with_context(outcomes.in_format(file_format, chunks())),
        mimetype=MIME_TYPES[file_format],
        headers={
            "Content-Disposition": f"attachment; filename=import-{import_id}"
            f".{file_format}"
        },
    )


def found(import_id: UUID) -> Row[Any]:
    with reading() as connection:
        return lifecycle.find(connection, caller().tenant_id, import_id)


def details(row: Row[Any]) -> dict[str, Any]:
    """What ImportDetails shows."""
    is_told = row.state in lifecycle.ENDED
    return {
        **row._mapping,
        "progress": progress_of(row),
        "outcomes": f"{path_of(row)}/outcomes" if is_told else None,
    }


def progress_of(row: Row[Any]) -> int:
    """In percent; a hundred only when it is finished."""
    if row.state == "finished":
        return 100
    done = row.applied + row.replayed + row.refused
    return min(99, int(100 * done // row.rows))


def path_of(row: Row[Any]) -> str:
    return f"{blp.url_prefix}/operations/imports/{row.id}"


def place_of(row: Row[Any]) -> list[str]:
    """An import's place in the list, for a cursor."""
    return [moment_text(row.created_at), str(row.id)]


def read_place(position: Any) -> tuple[datetime, UUID]:
    created_at, import_id = position
    return Moment().deserialize(created_at), Uuid().deserialize(import_id)
