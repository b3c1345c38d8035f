"""The plot of docs/benchmarks.md, drawn with the library that draws the statements."""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import ceil

from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Circle, Drawing, Line, PolyLine, Rect, String
from reportlab.lib.colors import Color, HexColor, white

from benchmarks.database import ROOT

FILE = ROOT / "docs" / "benchmark-clients.svg"
TITLE = "Operations per second on one wallet, by the number of clients"
WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, BOTTOM, TOP = 50, 120, 40, 40
COLOURS = [HexColor(code) for code in (0x1F6FB2, 0xC2571A, 0x6E7781)]
INK, RULE = HexColor(0x24292F), HexColor(0xD0D7DE)
FONT = "Helvetica"
STEPS = (100, 200, 500, 1000, 2000, 5000, 10_000)
MAX_LEVELS = 8


def draw(clients: Sequence[int], lines: Mapping[str, Sequence[float]]) -> None:
    """Write the SVG: operations a second, a line for every candidate."""
    highest = max(chain.from_iterable(lines.values()))
    step = next(step for step in STEPS if highest <= step * MAX_LEVELS)
    top = step * ceil(highest / step)
    drawing = Drawing(WIDTH, HEIGHT)
    drawing.add(Rect(0, 0, WIDTH, HEIGHT, fillColor=white, strokeColor=None))
    drawing.add(text(LEFT, HEIGHT - 20, TITLE, size=13))
    for level in range(0, top + 1, step):
        height = BOTTOM + (HEIGHT - TOP - BOTTOM) * level / top
        drawing.add(Line(LEFT, height, WIDTH - RIGHT, height, strokeColor=RULE))
        drawing.add(text(LEFT - 6, height - 4, f"{level:,}", "end"))
    places = [
        LEFT + (WIDTH - LEFT - RIGHT) * number / (len(clients) - 1)
        for number in range(len(clients))
    ]
    for place, count in zip(places, clients, strict=True):
        drawing.add(text(place, BOTTOM - 16, str(count), "middle"))
    for colour, (name, values) in zip(COLOURS, lines.items(), strict=True):
        heights = [BOTTOM + (HEIGHT - TOP - BOTTOM) * value / top for value in values]
        add_line(drawing, list(zip(places, heights, strict=True)), name, colour)
    FILE.write_text(renderSVG.drawToString(drawing))


def add_line(
    drawing: Drawing, points: Sequence[tuple[float, float]], name: str, colour: Color
) -> None:
    line = [*chain.from_iterable(points)]
    drawing.add(PolyLine(line, strokeColor=colour, strokeWidth=2))
    for x, y in points:
        drawing.add(Circle(x, y, 2.5, fillColor=colour, strokeColor=None))
    x, y = points[-1]
    drawing.add(text(x + 8, y - 4, name, colour=colour))


def text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    *,
    size: int = 11,
    colour: Color = INK,
) -> String:
    return String(
        x,
        y,
        words,
        textAnchor=anchor,
        fontName=FONT,
        fontSize=size,
        fillColor=colour,
    )
