"""Which roll-ups a stretch of time is read from."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from pbxbill.reports.cover import DAY_US, RECORDS, Part, Standing, cover, month_of
from pbxbill.store.rollup_marks import HOUR_US


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


JANUARY, FEBRUARY = at("2026-01-01"), at("2026-02-01")
DAYS = frozenset(range(JANUARY, FEBRUARY + 9 * DAY_US, DAY_US))
STANDING = Standing(FEBRUARY + 9 * DAY_US, days=DAYS, months=frozenset({JANUARY}))


def grains(from_us: int, to_us: int, standing: Standing = STANDING) -> list[str]:
    return [part.grain for part in cover(from_us, to_us, standing)]


def test_whole_months_and_days_are_read_as_such() -> None:
    assert grains(JANUARY, FEBRUARY) == ["month"]
    assert grains(JANUARY, FEBRUARY + DAY_US) == ["month", "day"]
    assert cover(JANUARY, JANUARY + 3 * DAY_US, STANDING) == [Part("day", JANUARY, JANUARY + 3 * DAY_US)]


def test_a_zone_of_whole_hours_needs_no_records() -> None:
    one_hour = HOUR_US
    assert grains(JANUARY - one_hour, FEBRUARY - one_hour) == ["hour", "day", "hour"]


def test_a_zone_of_half_hours_reads_records_at_its_ends() -> None:
    half = HOUR_US // 2
    assert grains(JANUARY + half, JANUARY + 2 * DAY_US + half) == [RECORDS, "hour", "day", RECORDS]


def test_what_is_not_rolled_up_is_read_from_records() -> None:
    until_us = STANDING.until_us
    assert cover(until_us - HOUR_US, until_us + 5, STANDING)[-1] == Part(RECORDS, until_us, until_us + 5)
    assert grains(JANUARY, FEBRUARY, Standing()) == [RECORDS]


def test_a_marked_hour_is_read_from_records_and_its_day_and_month_from_what_is_finer() -> None:
    marked_us = JANUARY + 5 * DAY_US + 3 * HOUR_US
    standing = Standing(STANDING.until_us, frozenset({marked_us}), STANDING.days, STANDING.months)
    assert grains(JANUARY, FEBRUARY, standing) == ["day", "hour", RECORDS, "hour", "day"]


@pytest.mark.parametrize("shift_us", [0, HOUR_US, HOUR_US // 2, 45 * 60_000_000, 17])
def test_parts_are_the_whole_without_gaps(shift_us: int) -> None:
    from_us, to_us = JANUARY - 3 * DAY_US + shift_us, FEBRUARY + 20 * DAY_US - shift_us
    parts = cover(from_us, to_us, STANDING)
    assert parts[0].from_us == from_us
    assert parts[-1].to_us == to_us
    assert all(one.to_us == other.from_us for one, other in pairwise(parts))


def test_months_have_their_lengths() -> None:
    assert month_of(at("2024-02-29T23:00:00")) == (at("2024-02-01"), at("2024-03-01"))
    assert month_of(at("2025-12-31")) == (at("2025-12-01"), at("2026-01-01"))
