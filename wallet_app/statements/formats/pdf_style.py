"""Fonts, colours and table styles of the PDF statement."""

from functools import cache

from reportlab.lib.colors import HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import TableStyle

FONT, BOLD = "Vera", "VeraBd"
# They come with reportlab, and the file carries what it uses of them.
for name in (FONT, BOLD):
    pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
GLYPHS = frozenset(pdfmetrics.getFont(FONT).face.charToGlyph)

INK = HexColor("#1f2a44")
MUTED = HexColor("#5d6780")
ACCENT = HexColor("#2f6fde")
ACCENT_LIGHT = HexColor("#dce8fb")
STRIPE = HexColor("#f4f6fa")
RULE = HexColor("#d5dae4")
WHITE = HexColor("#ffffff")

ENTRY_STYLE = TableStyle(
    [
        ("FONT", (0, 0), (-1, 0), BOLD, 8),
        ("TEXTCOLOR", (0, 0), (-1, 0), WHITE),
        ("BACKGROUND", (0, 0), (-1, 0), INK),
        ("FONT", (0, 1), (-1, -1), FONT, 7.5, 9),
        ("TEXTCOLOR", (0, 1), (-1, -1), INK),
        ("ROWBACKGROUNDS", (0, 1), (-1, -1), [WHITE, STRIPE]),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, RULE),
        ("ALIGN", (3, 0), (-1, -1), "RIGHT"),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
)
CARD_STYLE = TableStyle(
    [
        ("FONT", (0, 0), (-1, 0), FONT, 8),
        ("TEXTCOLOR", (0, 0), (-1, 0), MUTED),
        ("FONT", (0, 1), (-1, 1), BOLD, 11),
        ("TEXTCOLOR", (0, 1), (-1, 1), INK),
        ("BACKGROUND", (0, 0), (-1, -1), STRIPE),
        ("LINEBEFORE", (1, 0), (-1, -1), 3, WHITE),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
    ]
)


def printable(text: str) -> str:
    """The text on one line; what the font has no picture of becomes a question mark."""
    return "".join(
        char if ord(char) in GLYPHS else "?" for char in " ".join(text.split())
    )


def shortened(text: str, width: float, size: float = 7.5) -> str:
    """As much of the text as fits into a width in points, with an ellipsis if cut."""
    text = text[:200]
    if width_of(text, size) <= width:
        return text
    while width_of(text + "\N{HORIZONTAL ELLIPSIS}", size) > width:
        text = text[:-1]
    return text + "\N{HORIZONTAL ELLIPSIS}"


def width_of(text: str, size: float) -> float:
    return sum(character_width(char) for char in text) * size


@cache
def character_width(char: str) -> float:
    return float(pdfmetrics.stringWidth(char, FONT, 1))
