"""Days, weeks and months in any time zone."""

from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from wallet_app.statistics.periods import GRANULARITIES, periods


def labels(granularity, first, last):
    found = periods(granularity, first, last, ZoneInfo("UTC"), limit=100)
    return [period.label for period in found]


def test_both_ends_belong_to_the_range():
    first, last = date(2026, 1, 30), date(2026, 2, 2)
    assert labels("day", first, last) == [
        "2026-01-30",
        "2026-01-31",
        "2026-02-01",
        "2026-02-02",
    ]
    assert labels("week", first, last) == ["2026-W05", "2026-W06"]
    assert labels("month", first, last) == ["2026-01", "2026-02"]
    assert labels("day", last, first) == []


def test_a_week_belongs_to_the_year_of_its_thursday():
    assert labels("week", date(2027, 1, 1), date(2027, 1, 1)) == ["2026-W53"]


def test_no_more_than_one_too_many_is_made():
    found = periods("day", date.min, date.max, ZoneInfo("UTC"), limit=5)
    assert len(found) == 6


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_periods_chain_in_every_zone_whatever_its_clocks_do(granularity):
    for zone in sorted(available_timezones()):
        found = periods(
            granularity,
            date(2011, 12, 1),
            date(2012, 4, 2),
            ZoneInfo(zone),
            limit=200,
        )
        for one, following in pairwise(found):
            assert one.starts_at <= one.ends_at == following.starts_at


def test_a_day_without_midnight_starts_when_the_clocks_have_been_put_forward():
    (day,) = periods(
        "day", date(2026, 3, 29), date(2026, 3, 29), ZoneInfo("Asia/Beirut"), limit=1
    )
    assert day.starts_at.isoformat() == "2026-03-28T22:00:00+00:00"
    assert day.ends_at.isoformat() == "2026-03-29T21:00:00+00:00"
