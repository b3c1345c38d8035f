"""Days, weeks and months in a time zone: pure, no I/O, no clock."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

GRANULARITIES = ("day", "week", "month")


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days from `first` up to, and without, `end`; the same as points in time."""

    label: str
    first: date
    end: date
    starts_at: datetime
    ends_at: datetime


def periods(
    granularity: str, first: date, last: date, zone: tzinfo, *, limit: int
) -> list[Period]:
    """The periods from the one that holds `first` to the one that holds `last`.

    At most `limit` + 1 of them. Weeks are ISO 8601's, from Monday.
    """
    found: list[Period] = []
    start = start_of(granularity, first)
    while start <= last and len(found) <= limit:
        end = start_of_next(granularity, start)
        found.append(
            Period(
                label_of(granularity, start),
                start,
                end,
                midnight(start, zone),
                midnight(end, zone),
            )
        )
        start = end
    return found


def start_of(granularity: str, day: date) -> date:
    if granularity == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if granularity == "month" else day


def start_of_next(granularity: str, start: date) -> date:
    if granularity == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if granularity == "week" else 1)


def label_of(granularity: str, start: date) -> str:
    """2026-01-31, 2026-W05 or 2026-01."""
    if granularity == "week":
        year, week, _ = start.isocalendar()
        return f"{year}-W{week:02}"
    return start.isoformat()[: 7 if granularity == "month" else 10]


def midnight(day: date, zone: tzinfo) -> datetime:
    """When the day begins, in UTC: where clocks skip midnight, the end of the skip."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
