"""The rating rules once more, one increment after the other, in fractions: what the rater is held to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from zoneinfo import ZoneInfo

from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding
from pbxbill.rating.allotment import Allotment
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.tariff import PPM, BandPrice, Rate, RateTerms, Tariff, TaxMode

PRICE = 10**12


def band_by_the_clock(calendar: BandCalendar, moment_us: int) -> str | None:
    """The band of a moment: what the wall clock shows, held against each rule."""
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_us)
    local = utc.astimezone(ZoneInfo(calendar.zone))
    second = local.hour * 3600 + local.minute * 60 + local.second
    best: tuple[int, int] | None = None
    band = None
    for rule in calendar.rules:
        days = []
        if rule.from_s < rule.to_s:
            if rule.from_s <= second < rule.to_s:
                days.append(local.date())
        else:
            if second >= rule.from_s:
                days.append(local.date())
            if second < rule.to_s:
                days.append(local.date() - timedelta(days=1))
        for day in days:
            how = specificity(rule, calendar, day)
            if how is not None and (best is None or (rule.priority, how) > best):
                best, band = (rule.priority, how), rule.band
    return band


def specificity(rule: BandRule, calendar: BandCalendar, day: date) -> int | None:
    iso = day.isoformat()
    for entry in rule.dates:
        ends = entry.split("/")
        if entry.startswith("--"):
            first, last = ends[0][2:], ends[-1][2:]
            this = iso[5:]
            if first <= last and first <= this <= last:
                return 3
            if first > last and (this >= first or this <= last):
                return 3
        elif ends[0] <= iso <= ends[-1]:
            return 3
    if rule.holidays and iso in calendar.holidays:
        return 2
    if day.weekday() in rule.weekdays:
        return 1
    return 0 if not (rule.dates or rule.holidays or rule.weekdays) else None


@dataclass
class Reference:
    """What a call came to."""

    net: Fraction = Fraction(0)
    """In currency units, before tax."""
    total: int = 0
    billable_s: int = 0
    included_s: int = 0
    taken: list[int] = field(default_factory=list)
    end_s: int = 0
    """The end of the last increment."""
    worth_before_next: Fraction = Fraction(0)
    """Fee and time, without minimum and maximum, where the next increment would begin."""
    begun: list[int] = field(default_factory=list)
    """Where increments began."""


def prices_at(rate: Rate, tariff: Tariff, moment_us: int) -> BandPrice:
    terms = rate.terms or RateTerms()
    own = BandPrice(*rate[3:9], terms.steps)
    if tariff.calendar is None:
        return own
    return dict(terms.bands).get(band_by_the_clock(tariff.calendar, moment_us) or "", own)


def reference(
    rate: Rate, tariff: Tariff, duration_us: int, start_us: int, allotments: Sequence[Allotment]
) -> Reference:
    """Walk through a call."""
    result = Reference(taken=[0] * len(allotments))
    if duration_us <= 0:
        return result
    at_answer = prices_at(rate, tariff, start_us)
    terms = rate.terms or RateTerms()
    left = [allotment.available for allotment in allotments]
    second = result.end_s = at_answer.free_s
    exact = Fraction(0)
    fee_owed = fee_before = time_paid = False
    payer: int | None = 0
    first = True
    while True:
        prices = prices_at(rate, tariff, start_us + second * SECOND_US)
        own_length = at_answer.initial_increment_s if first else prices.following_increment_s
        payer, length = payer_of(allotments, left, payer, own_length, first=first)
        if payer is not None and allotments[payer].price_per_min is None:
            fee_owed = fee_owed or allotments[payer].fee_owed
            price = None
        else:
            fee_owed = True
            price = price_in_step(prices, second) if payer is None else allotments[payer].price_per_min
        if second * SECOND_US >= duration_us:  # only who would pay was asked: the fee of free seconds
            fee = at_answer.connection_fee if fee_owed else 0
            result.worth_before_next = exact + Fraction(fee, PRICE)
            if result.begun:
                fee_owed = fee_before
            break
        fee_before = fee_owed
        result.begun.append(second)
        if price is None:
            result.included_s += length
        else:
            time_paid = True
            exact += Fraction(price * length, PRICE * tariff.per)
        if payer is not None:
            take(allotments, left, result.taken, payer, length)
        result.billable_s += length
        second += length
        result.end_s = second
        first = False
    if fee_owed:
        exact += Fraction(at_answer.connection_fee, PRICE)
    if time_paid:
        exact = max(exact, Fraction(at_answer.minimum_charge, PRICE))
    if terms.maximum_charge is not None:
        exact = min(exact, Fraction(terms.maximum_charge, PRICE))
    result.net = exact
    result.total = rounded(exact, tariff)
    return result


def payer_of(
    allotments: Sequence[Allotment], left: list[int], payer: int | None, own_length: int, *, first: bool
) -> tuple[int | None, int]:
    """The first allotment that can still pay for an increment, and how long that increment is."""
    while payer is not None and payer < len(allotments):
        allotment = allotments[payer]
        if allotment.price_per_min is not None:
            if left[payer] > 0:
                return payer, own_length
        else:
            length = allotment.initial_increment_s if first else allotment.following_increment_s
            if left[payer] >= (1 if allotment.whole_call else length):
                return payer, length
        payer += 1
    return None, own_length


def take(allotments: Sequence[Allotment], left: list[int], taken: list[int], payer: int, length: int) -> None:
    if allotments[payer].whole_call:
        taken[payer] = 1
        return
    taken[payer] += length
    left[payer] -= length
    if left[payer] < 0:  # the increment reaches into the next steps of the counter
        for other in range(payer + 1, len(allotments)):
            same = allotments[other].counter_id == allotments[payer].counter_id
            if same and allotments[other].price_per_min is not None:
                left[other] += left[payer]
                left[payer] = 0
                if left[other] >= 0:
                    return
                payer = other


def price_in_step(prices: BandPrice, second: int) -> int:
    price = prices.price_per_min
    for step in prices.steps:
        if second >= step.from_s:
            price = step.price_per_min
    return price


def rounded(exact: Fraction, tariff: Tariff) -> int:
    if tariff.tax_mode is TaxMode.EXCLUSIVE:
        exact *= 1 + Fraction(tariff.tax_ppm, PPM)
    steps = exact * 10**tariff.unit.scale / tariff.rounding_step
    whole: dict[Rounding, int] = {
        Rounding.HALF_UP: floor(steps + Fraction(1, 2)),
        Rounding.UP: ceil(steps),
        Rounding.DOWN: floor(steps),
    }
    return whole[tariff.rounding] * tariff.rounding_step
