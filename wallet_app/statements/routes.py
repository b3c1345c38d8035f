"""Statements over HTTP."""

from typing import Any
from uuid import UUID

from flask import send_file
from sqlalchemy import Row

from wallet_app.background import hints
from wallet_app.database import reading
from wallet_app.errors import (
    InvalidRequest,
    StatementExpired,
    StatementFailed,
    StatementNotFound,
    StatementNotReady,
    Unavailable,
    WalletNotFound,
)
from wallet_app.http.api import BODY_PROBLEMS, LOCATION, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.scopes import Scope
from wallet_app.statements import files, lifecycle
from wallet_app.statements.schemas import NewStatement, StatementDetails

blp = WalletBlueprint(
    "statements", __name__, url_prefix="/api/v1", description="Statements as files"
)
MIME_TYPES = {"csv": "text/csv", "json": "application/json", "pdf": "application/pdf"}
BINARY = {"type": "string", "format": "binary"}
JULY = {
    "from": "2026-07-01T00:00:00Z",
    "to": "2026-08-01T00:00:00Z",
    "format": "pdf",
}


PROGRESS = {
    name: {
        "operationId": name,
        "parameters": {"statement_id": "$response.body#/id"},
    }
    for name in ("get_statement", "get_statement_file")
}


@blp.route(
    "/wallets/<uuid:uuid>/statements", methods=["POST"], scope=Scope.REPORTS_READ
)
@blp.arguments(NewStatement, example=JULY)
@blp.doc(responses={202: {"links": PROGRESS}})
@blp.problems(WalletNotFound, *BODY_PROBLEMS)
@blp.response(202, StatementDetails, headers=LOCATION)
def create_statement(body: dict[str, Any], uuid: UUID) -> Any:
    """Ask for a statement

    A background worker writes it; see the Location for its progress. Asked again for
    the same period and format, the answer is the same statement.
    """
    wallet = caller().tenant_id, uuid
    statement = lifecycle.request(wallet, **body)
    if statement.state == "pending":
        hints.send(hints.WRITE_STATEMENT, str(statement.id))
    return details(statement), 202, {"Location": path_of(statement)}


@blp.route("/statements/<uuid:statement_id>", scope=Scope.REPORTS_READ)
@blp.problems(StatementNotFound, InvalidRequest, Unavailable)
@blp.response(200, StatementDetails)
def get_statement(statement_id: UUID) -> Any:
    """Read a statement's state and progress"""
    with reading() as connection:
        return details(lifecycle.find(connection, caller().tenant_id, statement_id))


@blp.route("/statements/<uuid:statement_id>/file", scope=Scope.REPORTS_READ)
@blp.problems(
    StatementNotFound,
    StatementNotReady,
    StatementFailed,
    StatementExpired,
    InvalidRequest,
    Unavailable,
)
@blp.alt_response(200, schema=BINARY, content_type="application/pdf", success=True)
@blp.alt_response(200, schema={"type": "object"}, success=True)
@blp.response(200, {"type": "string"}, content_type="text/csv")
def get_statement_file(statement_id: UUID) -> Any:
    """Download a statement's file"""
    with reading() as connection:
        statement = lifecycle.find(connection, caller().tenant_id, statement_id)
    refuse_unready(statement)
    try:
        return send_file(
            files.path_of(statement),
            mimetype=MIME_TYPES[statement.format],
            as_attachment=True,
            download_name=file_name(statement),
            etag=statement.sha256,
            last_modified=statement.finished_at,
        )
    except FileNotFoundError:
        # Everything can be written again from the transactions.
        lifecycle.reopen(statement_id)
        hints.send(hints.WRITE_STATEMENT, str(statement_id))
        raise StatementNotReady("The file was lost and is written again.") from None


def refuse_unready(statement: Row[Any]) -> None:
    again = "Ask for the statement again to have it written."
    if statement.state == "failed":
        raise StatementFailed(f"{statement.error} {again}")
    if statement.state == "expired":
        raise StatementExpired(f"The file was deleted. {again}")
    if statement.state != "ready":
        done = progress_of(statement)
        raise StatementNotReady(f"{done} percent are written.", progress=done)


def details(statement: Row[Any]) -> dict[str, Any]:
    """What the StatementDetails schema shows."""
    is_ready = statement.state == "ready"
    return {
        **statement._mapping,
        "rows": statement.last_seq - statement.after_seq,
        "progress": progress_of(statement),
        "file": f"{path_of(statement)}/file" if is_ready else None,
    }


def progress_of(statement: Row[Any]) -> int:
    """In percent; a hundred only when the file is there."""
    if statement.state == "ready":
        return 100
    rows = statement.last_seq - statement.after_seq
    return min(99, 100 * statement.rows_written // rows) if rows else 0


def path_of(statement: Row[Any]) -> str:
    return f"{blp.url_prefix}/statements/{statement.id}"


def file_name(statement: Row[Any]) -> str:
    first, end = statement.from_at, statement.to_at
    return (
        f"statement-{statement.wallet_uuid}"
        f"-{first:%Y%m%d}-{end:%Y%m%d}.{statement.format}"
    )
