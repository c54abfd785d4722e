"""How a charge is reckoned before a reader's eyes."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pbxbill.charging.arithmetic import arithmetic
from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.tariff import Rate, Tariff, TaxMode
from tests.rate_tables import rates_of
from tests.small_operator import EUR, seconds

BERLIN = BandCalendar(
    1,
    "office",
    "Europe/Berlin",
    (BandRule("day", from_s=8 * 3600, to_s=18 * 3600), BandRule("evening", from_s=18 * 3600, to_s=8 * 3600)),
)


def rate(text: str) -> Rate:
    (found,) = rates_of(text, [1])
    return found


def tariff(
    tax_mode: TaxMode = TaxMode.NONE,
    tax_ppm: int = 0,
    rounding: Rounding = Rounding.HALF_UP,
    step: int = 1,
    calendar: BandCalendar | None = None,
) -> Tariff:
    return Tariff(1, "t", 1, EUR, tax_mode, tax_ppm, rounding, step, calendar=calendar)


def lines(text: str, terms: Tariff, duration_s: int, start_us: int = 0) -> dict[str, str]:
    return {x.label: x.value for x in arithmetic(rate(text), terms, seconds(duration_s), start_us)}


@pytest.mark.parametrize(
    "rounding, step, said",
    [
        (Rounding.HALF_UP, 1, "0.123 EUR, rounded half up to 6 digits"),
        (Rounding.UP, 10_000, "0.13 EUR, rounded up to a multiple of 0.01"),
        (Rounding.HALF_UP, 50_000, "0.10 EUR, rounded half up to a multiple of 0.05"),
    ],
)
def test_rounding_names_the_multiple(rounding: Rounding, step: int, said: str) -> None:
    assert lines("49 Germany 0.123", tariff(rounding=rounding, step=step), 60)["total"] == said


@pytest.mark.parametrize(
    "percent, part", [(19, "19 / 119"), (7.7, "77 / 1077"), (20, "1 / 6"), (100, "1 / 2")]
)
def test_the_tax_in_a_total_is_a_plain_fraction(percent: float, part: str) -> None:
    found = lines("49 Germany 0.12", tariff(TaxMode.INCLUSIVE, round(percent * 10_000)), 60)
    assert f"total x {part}, rounded half up" in found["of which tax"]


def test_fee_minimum_and_maximum_have_their_unit() -> None:
    taxed = tariff(TaxMode.EXCLUSIVE, 190_000)
    plain = lines("49 Germany 0.06 fee 0.01 min 0.25", taxed, 60)
    assert plain["connection fee"] == "0.01 EUR"
    assert plain["minimum charge"] == "0.25 EUR: a call costs no less before tax"
    capped = lines("49 Germany 0.60 max 0.50", tariff(), 600)
    assert capped["maximum charge"] == "0.5 EUR: a call costs no more"


def test_a_stretch_says_which_step_sets_its_price() -> None:
    found = lines("49 Germany 0.12 step 60 0.06 step 120 0.03", tariff(), 200)
    assert found["0:00:00 to 0:01:00"] == "60 s / 60 x 0.12 per minute = 0.12"
    assert found["0:01:00 to 0:02:00"].endswith("= 0.06, step of the call from 60 s on")
    assert found["0:02:00 to 0:03:20"].endswith("= 0.04, step of the call from 120 s on")


@pytest.mark.parametrize("hour, fee, band", [(12, "0.02", "day"), (20, "0.01", "evening")])
def test_the_fee_names_its_band_and_the_times_their_zone(hour: int, fee: str, band: str) -> None:
    answered = datetime(2026, 7, 1, hour, tzinfo=ZoneInfo("Europe/Berlin"))
    table = "49 Germany 0.12 band day 0.06 0.02 1/1 band evening 0.03 0.01 1/1"
    start_us = int(answered.timestamp()) * SECOND_US
    found = lines(table, tariff(calendar=BERLIN), 60, start_us)
    assert found["times"] == "in Europe/Berlin, from 2026-07-01 on"
    assert f"band {band}" in found[f"{hour}:00:00 to {hour}:01:00"]
    assert found["connection fee"] == f"{fee} EUR: the call was answered in band {band}"
