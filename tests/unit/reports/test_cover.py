"""Which roll-ups a stretch of time is read from."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from pbxbill.reports.cover import DAY_US, HALF_US, RECORDS, Part, Standing, cover
from pbxbill.store.rollup_marks import HOUR_US


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


JANUARY, FEBRUARY = at("2026-01-01"), at("2026-02-01")
RUNNING = FEBRUARY + 9 * DAY_US
"""Until when days are made; halves are for another two."""


def standing_at(shift_us: int = 0) -> Standing:
    """Of a zone that is so far behind UTC."""
    days = {x + shift_us: x + shift_us + DAY_US for x in range(JANUARY, RUNNING, DAY_US)}
    months = {JANUARY + shift_us: FEBRUARY + shift_us, FEBRUARY + shift_us: RUNNING + shift_us}
    return Standing(RUNNING + 2 * DAY_US, 0, days=days, months=months)


STANDING = standing_at()


def grains(from_us: int, to_us: int, standing: Standing = STANDING) -> list[str]:
    return [part.grain for part in cover(from_us, to_us, standing)]


def test_whole_months_and_days_are_read_as_such() -> None:
    assert grains(JANUARY, FEBRUARY) == ["month"]
    assert grains(JANUARY, FEBRUARY + DAY_US) == ["month", "day"]
    assert cover(JANUARY, JANUARY + DAY_US, STANDING) == [Part("day", JANUARY, JANUARY + DAY_US)]


def test_the_month_that_runs_is_read_as_far_as_it_is_made() -> None:
    until_us = STANDING.until_us
    assert cover(FEBRUARY, until_us + 5, STANDING) == [
        Part("month", FEBRUARY, RUNNING),
        Part("half", RUNNING, until_us),
        Part(RECORDS, until_us, until_us + 5),
    ]
    assert grains(FEBRUARY, RUNNING - DAY_US) == ["day"] * 8


@pytest.mark.parametrize("minutes", [0, 330, 345, -60])
def test_every_zone_has_its_days_and_months(minutes: int) -> None:
    shift_us = minutes * 60_000_000
    assert grains(JANUARY + shift_us, FEBRUARY + shift_us, standing_at(shift_us)) == ["month"]
    assert grains(JANUARY + shift_us, JANUARY + shift_us + DAY_US, standing_at(shift_us)) == ["day"]


def test_other_zones_of_whole_and_half_hours_need_no_records() -> None:
    assert grains(JANUARY - HOUR_US, FEBRUARY - HOUR_US) == ["half"] + ["day"] * 30 + ["half"]
    assert RECORDS not in grains(JANUARY + HALF_US, JANUARY + DAY_US + HALF_US)
    assert grains(JANUARY + HALF_US // 2, JANUARY + DAY_US - HALF_US // 2) == [RECORDS, "half", RECORDS]


def test_what_is_not_rolled_up_is_read_from_records() -> None:
    assert grains(JANUARY, FEBRUARY, Standing()) == [RECORDS]


def test_where_no_halves_are_kept_records_are_read() -> None:
    standing = replace(STANDING, kept_us=RUNNING)
    assert grains(JANUARY + HOUR_US, JANUARY + 2 * DAY_US, standing) == [RECORDS, "day"]
    assert grains(RUNNING - HOUR_US, RUNNING + HOUR_US, standing) == [RECORDS, "half"]


def test_a_marked_hour_is_read_from_records_and_its_day_and_month_from_what_is_finer() -> None:
    marked_us = JANUARY + 5 * DAY_US + 3 * HOUR_US
    standing = replace(STANDING, marked=frozenset({marked_us}))
    assert grains(JANUARY, FEBRUARY, standing) == ["day"] * 5 + ["half", RECORDS, "half"] + ["day"] * 25
    assert grains(FEBRUARY, RUNNING, standing) == ["month"]


def test_an_hour_that_reaches_into_two_days_marks_both() -> None:
    standing = replace(standing_at(HALF_US), marked=frozenset({JANUARY + DAY_US}))
    found = grains(JANUARY + HALF_US, JANUARY + HALF_US + 3 * DAY_US, standing)
    assert found == ["half", RECORDS, "half", "day"]


@pytest.mark.parametrize("shift_us", [0, HOUR_US, HALF_US, 45 * 60_000_000, 17])
@pytest.mark.parametrize("kept_us", [0, RUNNING])
def test_parts_are_the_whole_without_gaps(shift_us: int, kept_us: int) -> None:
    from_us, to_us = JANUARY - 3 * DAY_US + shift_us, FEBRUARY + 20 * DAY_US - shift_us
    parts = cover(from_us, to_us, replace(STANDING, kept_us=kept_us))
    assert parts[0].from_us == from_us
    assert parts[-1].to_us == to_us
    assert all(one.to_us == other.from_us for one, other in pairwise(parts))


def test_before_the_first_call_nothing_is_read() -> None:
    first_us = JANUARY + 3 * DAY_US + 5 * HOUR_US
    year_us = 365 * DAY_US
    begun = replace(STANDING, first_us=first_us)
    assert cover(JANUARY - year_us, FEBRUARY, begun) == [Part("month", JANUARY, FEBRUARY)]
    assert cover(JANUARY - year_us, JANUARY + 4 * DAY_US, begun) == [
        Part("day", JANUARY + 3 * DAY_US, JANUARY + 4 * DAY_US)
    ]
    assert cover(JANUARY - year_us, JANUARY, begun) == []
    fresh = replace(begun, days={}, months={})
    assert cover(JANUARY, JANUARY + 4 * DAY_US, fresh) == [Part("half", first_us, JANUARY + 4 * DAY_US)]
    unrolled = Standing(first_us=first_us)
    assert cover(JANUARY, FEBRUARY, unrolled) == [Part(RECORDS, first_us, FEBRUARY)]
