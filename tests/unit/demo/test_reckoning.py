"""The demonstration's own reckoning, against charges worked out by hand, and its calendar at any hour."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from demo import reckoning, script, site
from demo.reckoning import Times
from pbxbill.clock import SECOND_US
from pbxbill.rating.calendar_text import calendar_from_toml

SOLD = {band: price.marked_up() for band, price in reckoning.bands().items()}


def times(talked_s: float, evening_after_s: float) -> Times:
    return Times(1_000_000, int(talked_s * 1000), 1_000_000 + int(evening_after_s * 1000))


@pytest.mark.parametrize(
    "talked_s, evening_after_s, net, billable_s",
    [
        # 6 s and 2 x 2 s of day at 0.60, a step at 10 s: one more at 0.30
        (11.5, 60, Fraction("0.02") + Fraction(10 * 60 + 2 * 30, 6000), 12),
        # evening from 7 s on: the increment that began at 6 s is still day's
        (11.5, 7, Fraction("0.02") + Fraction(8 * 60 + 2 * 24 + 2 * 12, 6000), 12),
        # one that begins with the evening is the evening's
        (11.5, 6, Fraction("0.02") + Fraction(6 * 60 + 4 * 24 + 2 * 12, 6000), 12),
        # answered in the evening: its fee
        (1, 0, Fraction("0.01") + Fraction(6 * 24, 6000), 6),
    ],
)
def test_the_reseller_pays_the_sheet(talked_s, evening_after_s, net, billable_s):
    owed = reckoning.owed(times(talked_s, evening_after_s), reckoning.bands())
    assert (owed.net, owed.billable_s) == (net, billable_s)


def test_the_customer_pays_65_percent_more_to_the_cent_above():
    day, evening = SOLD["day"], SOLD["evening"]
    assert (day.fee, day.per_min, day.step_per_min) == tuple(map(Fraction, ("0.04", "0.99", "0.50")))
    assert (evening.fee, evening.per_min, evening.step_per_min) == tuple(
        map(Fraction, ("0.02", "0.40", "0.20"))
    )


def test_what_the_bundle_pays_is_not_charged_and_what_follows_comes_in_following_increments():
    owed = reckoning.owed(times(12.01, 6.5), SOLD, bundle_s=3)
    # from 3 s and from 5 s day, from 7 s and from 9 s evening, from 11 s the evening's step
    assert owed.net == Fraction("0.04") + Fraction(4 * 99 + 4 * 40 + 2 * 20, 6000)
    assert owed.billable_s == 13
    assert owed.text == "fee 0.04, 3 s bundle, 2 x 2 s at 0.99, 2 x 2 s at 0.4, 2 s at 0.2"


@pytest.mark.parametrize("talked_s, cost", [(1, "0.055"), (30, "0.055"), (30.1, "0.066"), (60, "0.11")])
def test_the_carrier_asks_for_half_a_minute_then_six_seconds_at_a_time(talked_s, cost):
    assert reckoning.carrier_cost(int(talked_s * 1000)) == Fraction(cost)


def test_the_evening_must_begin_behind_the_bundle_and_before_the_end():
    assert times(12, 4).crosses
    assert not times(12, 2).crosses
    assert not times(12, 13).crosses


def test_the_evening_is_planned_well_inside_the_call():
    end_s = script.BY_TIME_TALK_MS / 1000
    assert site.BUNDLE_S + 3 < script.EVENING_AFTER_S < end_s - 3


def evening_starts():
    day = datetime(2026, 6, 1, tzinfo=UTC)
    seconds = (0, 1, 59)
    return [day + timedelta(hours=hour, seconds=second) for hour in range(24) for second in seconds]


@pytest.mark.parametrize("at", evening_starts())
def test_the_calendar_turns_to_evening_at_any_hour(at):
    calendar = calendar_from_toml(site.calendar(at), name=site.CALENDAR)
    at_us = int(at.timestamp()) * SECOND_US
    assert calendar.band_at(at_us - 1) == "day"
    assert calendar.band_at(at_us) == "evening"
    assert calendar.band_at(at_us + 60 * SECOND_US) == "evening"
    assert calendar.band_at(at_us - 60 * SECOND_US) == "day"
