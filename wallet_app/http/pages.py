"""Keyset pages: a page of rows and an opaque cursor to the next."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import marshmallow as ma

from wallet_app.errors import InvalidRequest
from wallet_app.http.fields import WholeNumber
from wallet_app.http.lean import LeanSchema

MAX_PAGE = 100
MAX_SEQ = 2**63
Position = TypeVar("Position")


class PageQuery(LeanSchema):
    """The query parameters of every paged list."""

    limit = WholeNumber(
        load_default=50,
        validate=ma.validate.Range(1, MAX_PAGE),
        metadata={"description": f"Rows on a page, 1 to {MAX_PAGE}"},
    )
    cursor = ma.fields.String(
        load_default=None,
        metadata={
            "description": "`next_cursor` of the page before; opaque",
            "pattern": "^[A-Za-z0-9_-]+$",
        },
    )


def page_of(
    rows: Sequence[Any], limit: int, position_of: Callable[[Any], tuple[str, Any]]
) -> dict[str, Any]:
    """A page from up to limit + 1 rows: the one too many tells that there are more.

    `position_of` gives the list's name and the row's place in it, as plain JSON.
    """
    has_more = len(rows) > limit
    data = list(rows[:limit])
    next_cursor = encode_cursor(*position_of(data[-1])) if has_more else None
    return {"data": data, "has_more": has_more, "next_cursor": next_cursor}


def encode_cursor(list_name: str, position: Any) -> str:
    text = json.dumps([list_name, position])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_seq(position: Any) -> int:
    """A place in a history; raises ValueError for what is none."""
    if type(position) is not int or not 0 <= position < MAX_SEQ:
        raise ValueError("not a seq")
    return position


def decode_position(
    cursor: str | None, list_name: str, read: Callable[[Any], Position]
) -> Position | None:
    """The place in the list that a cursor names; raises InvalidRequest for others.

    `read` gets it as the list's `page_of` has put it in, or whatever else a caller
    has made up, for which it raises ValueError, TypeError or ValidationError.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        decoded = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        name, position = decoded
        if name == list_name:
            return read(position)
    except (ValueError, TypeError, ma.ValidationError, RecursionError):
        pass
    raise invalid_cursor() from None


def invalid_cursor() -> InvalidRequest:
    message = "Give next_cursor as the page before gave it, with the same filters."
    return InvalidRequest("Correct these fields: cursor.", errors={"cursor": [message]})
