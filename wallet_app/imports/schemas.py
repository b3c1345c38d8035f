"""What goes out about imports."""

import marshmallow as ma
from marshmallow.validate import OneOf

from wallet_app.http.fields import Moment, Uuid
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.pages import PageQuery

FORMATS = ("csv", "ndjson")
STATES = ("pending", "running", "finished", "failed", "cancelled", "expired")


def count(description: str) -> ma.fields.Integer:
    return ma.fields.Integer(metadata={"description": description, "example": 0})


class ImportDetails(LeanSchema):
    """A file of operations and how far it is."""

    id = Uuid()
    format = ma.fields.String(validate=OneOf(FORMATS))
    state = ma.fields.String(validate=OneOf(STATES))
    progress = ma.fields.Integer(
        metadata={"description": "In percent; 100 when it is finished", "example": 42}
    )
    rows = count("Its operations")
    applied = count("How many were applied by this import")
    replayed = count("How many an earlier call with their reference had applied")
    refused = count("How many were refused; the outcomes tell why")
    size_bytes = count("The file's")
    bytes_done = count("How many of them are posted")
    sha256 = ma.fields.String(metadata={"description": "Of the file"})
    error = ma.fields.String(
        allow_none=True, metadata={"description": "Why it does not go on, if so"}
    )
    outcomes = ma.fields.String(
        allow_none=True,
        metadata={"description": "Where to download what became of each row, at last"},
    )
    created_at = Moment()
    finished_at = Moment(allow_none=True)
    expires_at = Moment(
        allow_none=True, metadata={"description": "When the outcomes are deleted"}
    )


class ImportPage(LeanSchema):
    """A page of imports."""

    data = Members(ImportDetails)
    has_more = ma.fields.Boolean()
    next_cursor = ma.fields.String(allow_none=True)


class ImportQuery(PageQuery):
    """Which imports."""


class OutcomesQuery(LeanSchema):
    """In which form to tell."""

    file_format = ma.fields.String(
        data_key="format", load_default="csv", validate=OneOf(FORMATS)
    )
