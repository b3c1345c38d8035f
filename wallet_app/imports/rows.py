"""From a file's lines to operations, or to a word of what is wrong with them.

A row takes what a member of a batch takes, by the same schema.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import marshmallow as ma

from wallet_app.http.fields import parse_uuid
from wallet_app.http.json_provider import DECODER, MAX_DEPTH_MESSAGE, InvalidJson
from wallet_app.imports.pieces import MAX_LINE_BYTES
from wallet_app.ledger.rules import Refusal
from wallet_app.operations.schemas import BatchMember

SCHEMA = BatchMember()
COLUMNS = frozenset(SCHEMA.load_plan.keys() | SCHEMA.synonyms.keys())
FLAGS = {"true": True, "false": False}
# A version 7 UUID with the version 8, which is for uses of one's own (RFC 9562), and
# with the line's number as its last 32 bits.
VERSION = 0xF << 76
VERSION_8 = 8 << 76
LINE_MASK = 2**32 - 1
MAX_WORDS = 500


class InvalidLine(ValueError):
    """The line cannot be read; the message says what to do."""


@dataclass(slots=True)
class Row:
    """A line that is not blank: what BatchMember made of it, or why it is refused.

    `has_own` tells whether the reference is the client's own.
    """

    line: int
    member: dict[str, Any] | None
    reference_id: UUID | None
    has_own: bool = False
    refusal: Refusal | None = None


def reference_of(import_id: UUID, line: int) -> UUID:
    """The reference of a line that names none: the same, however often it is asked."""
    number = import_id.int & ~VERSION & ~LINE_MASK | VERSION_8 | line
    return UUID(int=number)


def read_header(line: bytes) -> list[str]:
    """The columns that a CSV file's first line names; raises InvalidLine."""
    names = [name.strip() for name in cells_of(text_of(line).removeprefix("\ufeff"))]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise InvalidLine(
            f"There is no column {', '.join(unknown[:5])[:100]!r}; the first line names"
            f" some of: {', '.join(sorted(COLUMNS))}."
        )
    fields = [SCHEMA.synonyms.get(name, name) for name in names]
    if len(set(fields)) < len(fields):
        raise InvalidLine("The first line names a column twice.")
    if "operation_type" not in fields:
        raise InvalidLine("The first line must name the column operation_type.")
    return fields


def read(
    import_id: UUID,
    first_line: int,
    lines: Iterable[bytes],
    columns: Sequence[str] | None,
) -> Iterator[Row]:
    """The rows of lines that follow each other; with columns, they are CSV."""
    for line, content in enumerate(lines, first_line):
        if content and not content.isspace():
            yield read_one(import_id, line, content, columns)


def read_one(
    import_id: UUID, line: int, content: bytes, columns: Sequence[str] | None
) -> Row:
    given: Any = None
    try:
        text = text_of(content)
        given = DECODER.decode(text) if columns is None else member_of(text, columns)
        member = SCHEMA.load(given)
    except ma.ValidationError as error:
        refusal = Refusal("validation_failed", words_of(error))
    except json.JSONDecodeError as error:
        detail = f"The line is not JSON: {error.msg} (column {error.colno})."
        refusal = Refusal("malformed_request", detail)
    except RecursionError:
        refusal = Refusal("malformed_request", MAX_DEPTH_MESSAGE)
    except (InvalidJson, InvalidLine) as error:
        detail = str(error).replace("The body", "The line")
        refusal = Refusal("malformed_request", detail)
    else:
        own = member["reference_id"]
        reference_id = own or reference_of(import_id, line)
        return Row(line, member, reference_id, has_own=own is not None)
    named = given.get("reference_id") if isinstance(given, dict) else None
    return Row(
        line,
        None,
        parse_uuid(named) if isinstance(named, str) else None,
        refusal=refusal,
    )


def text_of(content: bytes) -> str:
    if len(content) > MAX_LINE_BYTES:
        raise InvalidLine(
            f"The line is longer than {MAX_LINE_BYTES} bytes: shorten it."
        )
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidLine("The line is not UTF-8 text.") from None


def cells_of(text: str) -> list[str]:
    """The cells of a line of CSV; raises InvalidLine."""
    text = text.rstrip("\r\n")
    if '"' not in text:
        return text.split(",")
    try:
        # Strict: what follows a closing quote is a mistake, and so is a missing one.
        return next(csv.reader([text], strict=True))
    except csv.Error:
        raise InvalidLine(
            "The quotes do not match: write a quote in a cell twice, and send text of"
            " several lines as JSON."
        ) from None


def member_of(text: str, columns: Sequence[str]) -> dict[str, Any]:
    """The member that a line of CSV describes; an empty cell is one left out."""
    cells = cells_of(text)
    if len(cells) != len(columns):
        raise InvalidLine(
            f"The line has {len(cells)} cells, the first line names {len(columns)}."
        )
    member: dict[str, Any] = {
        name: cell for name, cell in zip(columns, cells, strict=True) if cell
    }
    if "final" in member:
        member["final"] = FLAGS.get(member["final"].lower(), member["final"])
    if "metadata" in member:
        member["metadata"] = DECODER.decode(member["metadata"])
    return member


def words_of(error: ma.ValidationError) -> str:
    """What is wrong, in a line: "Correct amount: Give a positive amount ..."."""
    fields: Any = error.normalized_messages()  # type: ignore[no-untyped-call]
    # A word of ours in front: a client's name must not begin a spreadsheet's formula.
    words = "; ".join(
        f"{'the line' if name == '_schema' else name}: {' '.join(flat(messages))}"
        for name, messages in fields.items()
    )
    return f"Correct {words}"[:MAX_WORDS]


def flat(messages: Any) -> Iterator[str]:
    """The messages in what may be a tree of them."""
    if isinstance(messages, dict):
        messages = list(messages.values())
    if isinstance(messages, list):
        for member in messages:
            yield from flat(member)
    else:
        yield str(messages)
