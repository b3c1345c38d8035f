"""The balance over a statement's period, as steps."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from reportlab.graphics.shapes import Drawing, Line, Polygon, PolyLine, String

from wallet_app.ledger import money
from wallet_app.statements.formats.content import Content
from wallet_app.statements.formats.pdf_style import (
    ACCENT,
    ACCENT_LIGHT,
    FONT,
    MUTED,
    RULE,
    width_of,
)

# More steps than this cannot be told apart on paper.
MAX_STEPS = 400
LABEL_SIZE = 7.0
BOTTOM = 14.0
TOP = 8.0
DATES = 5
LEVELS = 4


def balance_chart(
    content: Content, entries: Sequence[Any], *, width: float, height: float
) -> Drawing:
    """A drawing of the given size, in points."""
    points = thinned([(content.from_at, content.opening), *points_of(entries)])
    points.append((content.to_at, content.closing))
    highest = max(balance for _, balance in points) or Decimal(1)
    labels = [level_text(highest * n / LEVELS, content) for n in range(LEVELS + 1)]
    left = max(width_of(label, LABEL_SIZE) for label in labels) + 6
    drawing = Drawing(width, height)
    room = height - BOTTOM - TOP
    for number, label in enumerate(labels):
        y = BOTTOM + room * number / LEVELS
        drawing.add(Line(left, y, width, y, strokeColor=RULE, strokeWidth=0.4))
        drawing.add(text(left - 4, y - 2.5, label, anchor="end"))
    period = content.to_at - content.from_at
    date_format = "%Y-%m-%d" if period >= timedelta(DATES) else "%m-%d %H:%M"
    for number in range(DATES):
        moment = content.from_at + period * number / (DATES - 1)
        x = left + (width - left) * number / (DATES - 1)
        anchor = {0: "start", DATES - 1: "end"}.get(number, "middle")
        drawing.add(text(x, 2, f"{moment:{date_format}}", anchor=anchor))

    def place(moment: datetime, balance: Decimal) -> tuple[float, float]:
        share = (moment - content.from_at) / period
        return left + (width - left) * share, BOTTOM + room * float(balance / highest)

    steps = list(corners([place(*point) for point in points]))
    area = [left, BOTTOM, *steps, width, BOTTOM]
    drawing.add(Polygon(area, fillColor=ACCENT_LIGHT, strokeColor=None))
    drawing.add(PolyLine(steps, strokeColor=ACCENT, strokeWidth=1.1))
    return drawing


def points_of(entries: Sequence[Any]) -> list[tuple[datetime, Decimal]]:
    return [(entry.created_at, entry.balance_after) for entry in entries]


def thinned(points: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """At most MAX_STEPS points: the lowest and highest of each stretch, in order."""
    if len(points) <= MAX_STEPS:
        return points
    stretch = -(-2 * len(points) // MAX_STEPS)
    kept: list[tuple[Any, Any]] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        lowest = min(part, key=lambda point: point[1])
        highest = max(part, key=lambda point: point[1])
        kept.extend(sorted({lowest, highest}))
    return kept


def corners(places: list[tuple[float, float]]) -> Iterator[float]:
    """The line's coordinates in turn: along each balance, then up or down."""
    last_y = places[0][1]
    for x, y in places:
        yield from (x, last_y, x, y)
        last_y = y


def text(x: float, y: float, label: str, *, anchor: str) -> String:
    return String(
        x,
        y,
        label,
        textAnchor=anchor,
        fontName=FONT,
        fontSize=LABEL_SIZE,
        fillColor=MUTED,
    )


def level_text(level: Decimal, content: Content) -> str:
    return f"{level:,.{money.exponent(content.currency)}f}"
