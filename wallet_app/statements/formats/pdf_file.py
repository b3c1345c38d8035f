"""A statement as PDF, for people: facts, a chart, and the entries page by page."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Table

from wallet_app.ledger import money
from wallet_app.ledger.operation_types import INCOMING, EntryType
from wallet_app.statements.formats.balance_chart import balance_chart
from wallet_app.statements.formats.content import Content, Sink
from wallet_app.statements.formats.pdf_style import (
    BOLD,
    CARD_STYLE,
    ENTRY_STYLE,
    FONT,
    INK,
    MUTED,
    printable,
    shortened,
)

WIDTH, HEIGHT = A4
MARGIN = 18 * mm
INNER = WIDTH - 2 * MARGIN
TOP_OF_ENTRIES = HEIGHT - 118 * mm
TOP_OF_LATER_PAGES = HEIGHT - 26 * mm
BOTTOM = 20 * mm
CHART_HEIGHT = 46 * mm
LINE, TWO_LINES, HEADER = 15.0, 24.0, 18.0
COLUMNS = (31 * mm, 24 * mm, INNER - 117 * mm, 31 * mm, 31 * mm)
TITLES = ("Time (UTC)", "Type", "Details", "Amount", "Balance")


def write(content: Content, sink: Sink) -> None:
    """Write the pages one by one; holds the entries, which are bounded, in memory."""
    entries = list(chain.from_iterable(content.chunks))
    pages = list(paginate(entries))
    canvas = Canvas(sink, pagesize=A4, invariant=1)
    canvas.setTitle(f"Statement of {content.wallet_uuid}")
    canvas.setSubject(period_of(content))
    drawn = 0
    for number, page in enumerate(pages, start=1):
        top = TOP_OF_LATER_PAGES
        if number == 1:
            draw_facts(canvas, content, entries)
            top = TOP_OF_ENTRIES
        draw_header(canvas, content, is_first=number == 1)
        draw_entries(canvas, page, content.currency, top)
        draw_footer(canvas, content, f"Page {number} of {len(pages)}")
        canvas.showPage()
        drawn += len(page)
        content.note_progress(drawn)
    canvas.save()


def paginate(entries: Sequence[Any]) -> Iterator[list[Any]]:
    """The entries of each page; there is a first page in any case."""
    page: list[Any] = []
    room = TOP_OF_ENTRIES - BOTTOM - HEADER
    for entry in entries:
        if room < height_of(entry):
            yield page
            page, room = [], TOP_OF_LATER_PAGES - BOTTOM - HEADER
        page.append(entry)
        room -= height_of(entry)
    yield page


def height_of(entry: Any) -> float:
    return TWO_LINES if entry.description and entry.counterparty_uuid else LINE


def draw_header(canvas: Canvas, content: Content, *, is_first: bool) -> None:
    canvas.setFillColor(INK)
    canvas.setFont(BOLD, 20 if is_first else 10)
    canvas.drawString(
        MARGIN, HEIGHT - 24 * mm if is_first else HEIGHT - 18 * mm, "Account statement"
    )
    canvas.setFont(FONT, 9)
    canvas.setFillColor(MUTED)
    canvas.drawRightString(
        WIDTH - MARGIN, HEIGHT - (23 if is_first else 18) * mm, period_of(content)
    )


def draw_facts(canvas: Canvas, content: Content, entries: Sequence[Any]) -> None:
    """The wallet, its four figures, and its balance over the period."""
    canvas.setFillColor(MUTED)
    canvas.setFont(FONT, 9)
    canvas.drawString(MARGIN, HEIGHT - 31 * mm, f"Wallet {content.wallet_uuid}")
    canvas.drawRightString(
        WIDTH - MARGIN,
        HEIGHT - 31 * mm,
        f"{content.count:,} entries, amounts in {content.currency}",
    )
    if content.opening_held or content.closing_held:
        held = [
            amount_text(one, content.currency)
            for one in (content.opening_held, content.closing_held)
        ]
        canvas.drawRightString(
            WIDTH - MARGIN,
            HEIGHT - 56 * mm,
            f"of it held: {held[0]} at the beginning, {held[1]} at the end",
        )
    came = sum((e.amount for e in entries if e.operation_type in INCOMING), Decimal(0))
    went = came - (content.closing - content.opening)
    figures = (content.opening, came, -went, content.closing)
    cards = Table(
        [
            ("Opening balance", "Money in", "Money out", "Closing balance"),
            [amount_text(figure, content.currency) for figure in figures],
        ],
        colWidths=[INNER / 4] * 4,
        rowHeights=[16, 22],
        style=CARD_STYLE,
    )
    cards.wrapOn(canvas, INNER, HEIGHT)
    cards.drawOn(canvas, MARGIN, HEIGHT - 52 * mm)
    chart = balance_chart(content, entries, width=INNER, height=CHART_HEIGHT)
    chart.drawOn(canvas, MARGIN, HEIGHT - 58 * mm - CHART_HEIGHT)
    canvas.setFillColor(INK)
    canvas.setFont(BOLD, 11)
    canvas.drawString(MARGIN, TOP_OF_ENTRIES + 3 * mm, "Entries")


def draw_entries(
    canvas: Canvas, page: Sequence[Any], currency: str, top: float
) -> None:
    if not page:
        canvas.setFillColor(MUTED)
        canvas.setFont(FONT, 9)
        canvas.drawString(MARGIN, top - 12, "Nothing moved in this period.")
        return
    table = Table(
        [TITLES, *(cells_of(entry, currency) for entry in page)],
        colWidths=COLUMNS,
        rowHeights=[HEADER, *(height_of(entry) for entry in page)],
        style=ENTRY_STYLE,
    )
    _, height = table.wrapOn(canvas, INNER, HEIGHT)
    table.drawOn(canvas, MARGIN, top - height)


def cells_of(entry: Any, currency: str) -> tuple[str, ...]:
    sign = EntryType[entry.operation_type].sign
    details = [printable(entry.description)] if entry.description else []
    if entry.counterparty_uuid:
        details.append(f"{'from' if sign > 0 else 'to'} {entry.counterparty_uuid}")
    width = COLUMNS[2] - 8
    return (
        f"{entry.created_at:%Y-%m-%d %H:%M:%S}",
        entry.operation_type.replace("_", " ").capitalize(),
        "\n".join(shortened(line, width) for line in details),
        amount_text(entry.amount * (sign or 1), currency, sign="+" if sign else "-"),
        amount_text(entry.balance_after, currency),
    )


def draw_footer(canvas: Canvas, content: Content, page: str) -> None:
    canvas.setFillColor(MUTED)
    canvas.setFont(FONT, 7.5)
    canvas.drawString(MARGIN, 11 * mm, f"Wallet {content.wallet_uuid}")
    canvas.drawRightString(WIDTH - MARGIN, 11 * mm, page)


def amount_text(amount: Decimal, currency: str, sign: str = "-") -> str:
    """1,234.50, with a real minus; `sign` "+" marks what came in as well."""
    digits = money.exponent(currency)
    return f"{amount:{sign},.{digits}f}".replace("-", "\N{MINUS SIGN}")


def period_of(content: Content) -> str:
    return f"{content.from_at:%Y-%m-%d %H:%M} to {content.to_at:%Y-%m-%d %H:%M} UTC"
