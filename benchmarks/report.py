"""Tables in Markdown, for the terminal and for docs/benchmarks.md alike."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.candidates import client_name
from benchmarks.database import ROOT, Database
from benchmarks.measuring import Figures

TITLES = {
    "operations_per_s": "operations/s",
    "p99_ms": "p99 ms",
    "web_cpu_us": "web CPU µs/op",
}
PAGE = ROOT / "docs" / "benchmarks.md"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> str:
    """A Markdown table: first so many columns of text, then columns of numbers."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = [
        "-" * width if number < texts else "-" * (width - 1) + ":"
        for number, width in enumerate(widths)
    ]
    lines = [
        [
            cell.ljust(width) if number < texts else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in (head, rule, *rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def samples_table(figures: Figures) -> str:
    """The medians of every workload and candidate, in the order of measuring.

    Failures are not a matter of medians: all rounds' are counted.
    """
    head = [
        *("load", "candidate", "operations/s", "p50 ms", "p99 ms", "not 200"),
        *("web CPU µs/op", "PostgreSQL CPU µs/op"),
    ]
    rows = []
    for workload, candidate in figures.samples:
        sample = figures.median(workload, candidate)
        rows.append(
            [
                *(workload, candidate, f"{sample.operations_per_s:,.0f}"),
                *(f"{sample.p50_ms:.2f}", f"{sample.p99_ms:.2f}"),
                str(figures.failed(workload, candidate)),
                or_dash(sample.web_cpu_us),
                or_dash(sample.postgres_cpu_us),
            ]
        )
    return table(head, rows, texts=2)


def ratios_table(figures: Figures, candidate: str) -> str:
    """The candidate's throughput by that of the others, load by load."""
    others = list(dict.fromkeys(name for _, name in figures.samples))
    others.remove(candidate)
    head = ["load", *(f"÷ {other}" for other in others)]
    rows = []
    for workload in dict.fromkeys(name for name, _ in figures.samples):
        row = [workload]
        for other in others:
            below = (workload, other)
            if below in figures.samples:
                ratio = figures.ratio("operations_per_s", (workload, candidate), below)
                row.append(f"{ratio:.2f}")
            else:
                row.append("-")
        rows.append(row)
    return f"Throughput of {candidate}:\n\n{table(head, rows, texts=1)}"


def grid(figures: Figures, value: str) -> str:
    """One value, a row for every workload and a column for every candidate."""
    columns = list(dict.fromkeys(name for _, name in figures.samples))
    rows = [
        [
            workload,
            *(f"{getattr(figures.median(workload, c), value):,.0f}" for c in columns),
        ]
        for workload in dict.fromkeys(name for name, _ in figures.samples)
    ]
    return table([TITLES[value], *columns], rows, texts=1)


def failures(figures: Figures) -> str:
    """How many requests failed, for tables that do not show it."""
    failed = sum(figures.failed(*key) for key in figures.samples)
    return f"Requests that were not answered with 200: {failed}."


def or_dash(microseconds: float) -> str:
    """Less than one is the rest of another load's work."""
    return f"{microseconds:,.0f}" if microseconds >= 1 else "-"


def machine(database: Database, *, rounds: int, seconds: int) -> str:
    """Where and how the figures came about, in a line."""
    return (
        f"{os.cpu_count()} cores ({processor()}), shared by the load generator "
        f"({client_name()}), the web workers and PostgreSQL {database.version()}; "
        f"Python {platform.python_version()}; medians of {rounds} rounds of "
        f"{seconds} s each."
    )


def processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def update_page(section: str, text: str) -> None:
    """Replace what stands between the section's markers in docs/benchmarks.md."""
    start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    page = PAGE.read_text()
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    assert found, f"the page has the markers of {section}"
    PAGE.write_text(f"{before}{start}\n{text}\n\n{found}{after}")
