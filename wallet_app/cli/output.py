"""What commands print: aligned text for people, JSON for scripts."""

import json
import sys
from collections.abc import Collection, Sequence
from typing import Any
from unicodedata import combining, east_asian_width

import click

MAX_CELL_COLUMNS = 48


def text(line: str) -> None:
    """Print; what the terminal's encoding lacks is written as an escape."""
    encoding = sys.stdout.encoding
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding))


def document(content: Any) -> None:
    """Print JSON, in ASCII, so that every script can read it."""
    click.echo(json.dumps(content, indent=2, default=str))


def line(content: Any) -> None:
    """Print JSON on a line of its own, for who reads line by line."""
    click.echo(json.dumps(content, default=str))


def pairs(content: dict[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, content))
    for name, value in content.items():
        text(f"{name:{width}}  {printable(value)}")


def members(content: dict[str, Any], *, as_json: bool) -> None:
    """Print a document as JSON, or what it has as names and values in columns."""
    if as_json:
        document(content)
        return
    pairs(
        {
            name: ", ".join(value) if isinstance(value, list) else str(value)
            for name, value in content.items()
            if value is not None
        }
    )


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str]
) -> None:
    """Print rows in columns; those named in `right` are aligned to the right."""
    cells = [[shorten(printable(cell)) for cell in row] for row in rows]
    columns = zip(headers, *cells, strict=True)
    widths = [max(map(columns_of, column)) for column in columns]
    for row in (headers, *cells):
        padded = [
            pad(cell, width, to_the_left=header in right)
            for header, cell, width in zip(headers, row, widths, strict=True)
        ]
        text("  ".join(padded).rstrip())


def printable(value: str) -> str:
    """A client's text must not steer the terminal that shows it."""
    return "".join(char if char.isprintable() else "?" for char in value)


def shorten(value: str) -> str:
    if columns_of(value) <= MAX_CELL_COLUMNS:
        return value
    while columns_of(value) > MAX_CELL_COLUMNS - 3:
        value = value[:-1]
    return value + "..."


def pad(value: str, width: int, *, to_the_left: bool) -> str:
    blanks = " " * (width - columns_of(value))
    return blanks + value if to_the_left else value + blanks


def columns_of(value: str) -> int:
    """How many columns of a terminal the text takes: a CJK character takes two."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1
        for char in value
    )
