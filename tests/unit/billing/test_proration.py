"""Parts of periods, against examples computed by hand. Amounts in millionths of a euro."""

from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.billing.period import BillingCycle, Period
from pbxbill.billing.proration import Prorated, Proration, prorated
from pbxbill.clock import SECOND_US
from pbxbill.errors import InvariantBroken
from pbxbill.money import Unit, parse_amount

EUR = Unit("EUR")
BERLIN = "Europe/Berlin"


def us(moment: str, zone: str = BERLIN) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_US


def amount(text: str) -> int:
    return parse_amount(text, EUR)


@pytest.mark.parametrize(
    "zone, cycle, anchor, price, part, expected",
    [
        # 30 EUR over April: 16th to 30th are 15 of 30 days, 30 x 15/30 = 15.
        (BERLIN, "month", "2026-01-01", "30", "2026-04-16 / 2026-05-01", ("15", 15, 30)),
        # 31 days of January: from the 20th, 12 days: 10 x 12/31 = 3.870967(7) by what the first 19 leave:
        # 10 - 10 x 19/31 (6.1290322.. -> 6.129032) = 3.870968.
        (BERLIN, "month", "2026-01-01", "10", "2026-01-20 / 2026-02-01", ("3.870968", 12, 31)),
        # February of 28 and of 29 days, the same 14 days: 28 x 14/28, 28 x 14/29 = 13.517241(4).
        (BERLIN, "month", "2026-01-01", "28", "2026-02-01 / 2026-02-15", ("14", 14, 28)),
        (BERLIN, "month", "2028-01-01", "28", "2028-02-01 / 2028-02-15", ("13.517241", 14, 29)),
        # From the 31st of January until the 28th of February are 28 days, until 31 March 31.
        (BERLIN, "month", "2026-01-31", "28", "2026-02-10 / 2026-02-28", ("18", 18, 28)),
        (BERLIN, "month", "2026-01-31", "31", "2026-03-30 / 2026-03-31", ("1", 1, 31)),
        # Annual periods: 366 days where the 29th of February lies in it, 365 elsewhere.
        (BERLIN, "year", "2026-03-01", "366", "2027-03-01 / 2027-03-11", ("10", 10, 366)),
        (BERLIN, "year", "2026-03-01", "365", "2028-03-01 / 2028-03-11", ("10", 10, 365)),
        (BERLIN, "year", "2028-01-01", "366", "2028-02-29 / 2028-03-01", ("1", 1, 366)),
        # The day on which clocks change counts as one day, in March as in October.
        (BERLIN, "month", "2026-01-01", "31", "2026-03-29 / 2026-03-30", ("1", 1, 31)),
        (BERLIN, "month", "2026-01-01", "31", "2026-10-25 / 2026-10-26", ("1", 1, 31)),
        # So does one whose midnight does not exist.
        ("America/Sao_Paulo", "month", "2018-01-01", "30", "2018-11-04T01:00 / 2018-11-05", ("1", 1, 30)),
        ("America/Santiago", "month", "2026-01-01", "30", "2026-09-06T01:00 / 2026-09-08", ("2", 2, 30)),
        ("Pacific/Auckland", "month", "2026-01-01", "30", "2026-09-27 / 2026-10-01", ("4", 4, 30)),
        ("Pacific/Kiritimati", "month", "2026-01-01", "31", "2026-01-01 / 2026-01-04", ("3", 3, 31)),
        # 0.01 over 31 days: 0.01 x 10/31 = 0.0032258, and the rest of the month the rest.
        (BERLIN, "month", "2026-01-01", "0.01", "2026-01-01 / 2026-01-11", ("0.003226", 10, 31)),
        (BERLIN, "month", "2026-01-01", "0.01", "2026-01-11 / 2026-02-01", ("0.006774", 21, 31)),
        # The day of a change is the new plan's, at whatever hour it is made.
        (BERLIN, "month", "2026-01-01", "30", "2026-04-01 / 2026-04-11T15:20", ("10", 10, 30)),
        (BERLIN, "month", "2026-01-01", "30", "2026-04-11T15:20 / 2026-05-01", ("20", 20, 30)),
        # A week, and ten days.
        (BERLIN, "week", "2026-05-07", "7", "2026-05-08 / 2026-05-14", ("6", 6, 7)),
        (BERLIN, "quarter", "2026-01-01", "90", "2026-03-01 / 2026-04-01", ("31", 31, 90)),
    ],
)
def test_by_whole_local_days(
    zone: str, cycle: str, anchor: str, price: str, part: str, expected: tuple[str, int, int]
) -> None:
    from_us, to_us = (us(end, zone) for end in part.split(" / "))
    whole = BillingCycle(cycle, 1, date.fromisoformat(anchor), zone).period_of(from_us)
    share = prorated(amount(price), Period(from_us, to_us), whole, zone, Proration.DAY)
    assert share == Prorated(amount(expected[0]), expected[1], expected[2], Proration.DAY)


@pytest.mark.parametrize(
    "price, part, expected",
    [
        # April has 30 x 86,400 = 2,592,000 s; 12 hours are 43,200: 30 x 43,200 / 2,592,000 = 0.50.
        ("30", "2026-04-10T06:00 / 2026-04-10T18:00", ("0.50", 43_200, 2_592_000)),
        # March is an hour short, 2,674,800 s: the 29th with its 23 hours costs 82,800 of them.
        # 31 x (2,502,000 - 2,419,200) / 2,674,800: 28.9973082 - 28.0376850 = 0.959623(1).
        ("31", "2026-03-29 / 2026-03-30", ("0.959623", 82_800, 2_674_800)),
        # October is an hour longer, 2,682,000 s; the 25th has 90,000: 31 x 90,000/2,682,000 = 1.0402684..
        ("31", "2026-10-25 / 2026-10-26", ("1.040269", 90_000, 2_682_000)),
        ("30", "2026-04-10T06:00:00 / 2026-04-10T06:00:01", ("0.000012", 1, 2_592_000)),
    ],
)
def test_by_the_second(price: str, part: str, expected: tuple[str, int, int]) -> None:
    from_us, to_us = (us(end) for end in part.split(" / "))
    whole = BillingCycle("month", 1, date(2026, 1, 1), BERLIN).period_of(from_us)
    share = prorated(amount(price), Period(from_us, to_us), whole, BERLIN, Proration.SECOND)
    assert share == Prorated(amount(expected[0]), expected[1], expected[2], Proration.SECOND)


def test_without_proration_what_has_begun_costs_all() -> None:
    april = Period(us("2026-04-01"), us("2026-05-01"))
    part = Period(us("2026-04-29"), us("2026-05-01"))
    assert prorated(30, part, april, BERLIN, Proration.NONE) == Prorated(30, 1, 1, Proration.NONE)
    nothing = Period(april.to_us, april.to_us)
    assert prorated(30, nothing, april, BERLIN, Proration.NONE) == Prorated(0, 0, 1, Proration.NONE)


def test_what_is_given_back_is_rounded_as_what_was_taken() -> None:
    january = Period(us("2026-01-01"), us("2026-02-01"))
    part = Period(us("2026-01-01"), us("2026-01-11"))
    taken = prorated(amount("0.01"), part, january, BERLIN, Proration.DAY)
    returned = prorated(-amount("0.01"), part, january, BERLIN, Proration.DAY)
    assert taken.amount == -returned.amount == amount("0.003226")


def test_a_part_has_its_ends_in_the_period() -> None:
    april = Period(us("2026-04-01"), us("2026-05-01"))
    with pytest.raises(InvariantBroken, match="outside"):
        prorated(30, Period(april.from_us - 1, april.to_us), april, BERLIN, Proration.DAY)


@settings(deadline=None)
@given(
    st.integers(-(10**12), 10**12),
    st.builds(
        BillingCycle,
        st.sampled_from(["day", "week", "month", "quarter", "year"]),
        st.integers(1, 10),
        st.just(date(2020, 1, 31)),
        st.sampled_from(["UTC", BERLIN, "America/Santiago", "Pacific/Apia", "America/St_Johns"]),
    ),
    st.sampled_from([Proration.DAY, Proration.SECOND]),
    st.dates(date(2000, 1, 1), date(2035, 1, 1)),
    st.lists(st.floats(0, 1), max_size=6),
)
def test_the_parts_of_a_period_add_up_to_the_whole(
    price: int, cycle: BillingCycle, by: Proration, day: date, cuts: list[float]
) -> None:
    whole = cycle.period_of_day(day)
    length_us = whole.to_us - whole.from_us
    ends = sorted({*whole, *(whole.from_us + int(cut * length_us) for cut in cuts)})
    parts = [prorated(price, Period(*pair), whole, cycle.zone, by) for pair in pairwise(ends)]
    assert sum(part.amount for part in parts) == price
    assert sum(part.used for part in parts) == parts[0].of
    for part in parts:  # and none is more than a step beside its exact share
        assert abs(part.amount * part.of - price * part.used) <= part.of
