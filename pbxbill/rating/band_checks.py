"""What a calendar must not be: malformed, contradictory, or with a gap where a rate needs a band."""

import re
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.rating.bands import DAY_S, BandCalendar, BandRule, Claim, Day, claims, winners

MAX_RULES = 200
MAX_NAMED_DAYS = 5_000
MAX_NAME_LENGTH = 40
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_LEAP_YEAR = 2028
"""Yearly dates are looked at in this year: it has all of them."""
_YEARLY = re.compile(r"--(\d\d-\d\d)")


def checked(calendar: BandCalendar) -> BandCalendar:
    """The calendar, if it says one band at most for every moment; InputRefused says what to change."""
    with refused_at("zone"):
        zone_of(calendar.zone)
    if not calendar.rules:
        raise TermRefused("the calendar has no band", "band")
    if len(calendar.rules) > MAX_RULES:
        raise TermRefused(f"the calendar has more than {MAX_RULES} rules", "band")
    with refused_at("extra_holidays"):
        for holiday in calendar.holidays:
            _check_dates(holiday, "the public holidays")
    for number, rule in enumerate(calendar.rules, 1):
        with refused_at("band", number):
            _check_rule(rule, calendar)
    for today, before, words in _kinds_of_days(calendar):
        _refuse_tie(claims(calendar.rules, today, before), words)
    return calendar


def first_gap(calendar: BandCalendar, bands: Collection[str] | None = None) -> str | None:
    """The first hours of a week, else of a holiday or date, that belong to no band (of these), in words."""
    for today, before, words in _kinds_of_days(calendar):
        for from_s, to_s, band in winners(claims(calendar.rules, today, before)):
            if band is None or (bands is not None and band not in bands):
                return f"{words} {clock(from_s)}-{clock(to_s)}"
    return None


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name; InputRefused if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputRefused(f"there is no time zone {name[:40]!r}; write it like Europe/Berlin") from None


def clock(second: int) -> str:
    """A second of the day as a clock shows it; 24:00 is its end."""
    hours, rest = divmod(second, 3_600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")


def _check_rule(rule: BandRule, calendar: BandCalendar) -> None:
    if not 0 < len(rule.band) <= MAX_NAME_LENGTH or not rule.band.isprintable():
        raise InputRefused(f"a band has a name of 1 to {MAX_NAME_LENGTH} characters, not {rule.band[:60]!r}")
    where = f"band {rule.band!r}"
    if not all(0 <= weekday <= 6 for weekday in rule.weekdays):
        raise InputRefused(f"{where}: a weekday is a number from 0, Monday, to 6, Sunday")
    if not (0 <= rule.from_s < DAY_S and 0 <= rule.to_s <= DAY_S):
        raise InputRefused(f"{where}: its hours do not lie within 00:00-24:00")
    if rule.from_s == rule.to_s:
        raise InputRefused(f"{where}: its hours end where they begin; write 00:00-24:00 for the whole day")
    if rule.holidays and not calendar.holidays:
        raise TermRefused(
            f"{where} counts on public holidays and the calendar has none; say whose", "holidays"
        )
    with refused_at("dates"):
        for entry in rule.dates:
            _check_dates(entry, where)


def _check_dates(entry: str, where: str) -> None:
    days = entry.split("/")
    try:
        if len(days) > 2 or len({day.startswith("--") for day in days}) > 1:
            raise ValueError
        first, last = _day(days[0]), _day(days[-1])
        if not days[0].startswith("--") and last < first:
            raise InputRefused(f"{where}: the dates {entry} end before they begin")
    except ValueError:
        raise InputRefused(
            f"{where}: {entry[:40]!r} is no date; write 2026-12-24, --12-24 for every year, or FIRST/LAST"
        ) from None


def _day(text: str) -> date:
    yearly = _YEARLY.fullmatch(text)
    day = date.fromisoformat(f"{_LEAP_YEAR}-{yearly[1]}" if yearly else text)
    # 20261224 and 2026-W52-4 are ISO dates as well.
    if not yearly and (day.isoformat() != text or not 1900 <= day.year < 9000):
        raise ValueError
    return day


def _kinds_of_days(calendar: BandCalendar) -> Iterator[tuple[Day, Day, str]]:
    """A week of ordinary days, then each day that is named and the one after: day, day before, words."""
    for weekday in range(7):
        yield Day(weekday), Day((weekday - 1) % 7), WEEKDAYS[weekday]
    named = {date.fromisoformat(holiday) for holiday in calendar.holidays}
    if not any(rule.holidays for rule in calendar.rules):
        named.clear()
    for rule in calendar.rules:
        for entry in rule.dates:
            ends = entry.split("/")
            first, last = _day(ends[0]), _day(ends[-1])
            if last < first:  # a yearly range over New Year's Eve
                last = last.replace(year=_LEAP_YEAR + 1)
            if (last - first).days + len(named) > MAX_NAMED_DAYS:
                raise InputRefused(f"band {rule.band!r}: the calendar names more than {MAX_NAMED_DAYS} days")
            named.update(first + timedelta(days=day) for day in range((last - first).days + 1))
    named |= {day + timedelta(days=1) for day in named}
    for day in sorted(named):
        before = Day.of(day - timedelta(days=1), calendar)
        yield Day.of(day, calendar), before, day.isoformat()


def _refuse_tie(claimed: list[Claim], words: str) -> None:
    """Refuse two bands that claim the same hours with the same rank, even where a third one outranks both."""
    for rank, tied in groupby(
        sorted(claimed, key=lambda claim: (claim.rank, claim)), key=lambda claim: claim.rank
    ):
        longest: Claim | None = None
        for claim in tied:
            if longest is not None and claim.from_s < longest.to_s and claim.band != longest.band:
                both = f"{clock(claim.from_s)}-{clock(min(claim.to_s, longest.to_s))}"
                raise InputRefused(
                    f"the bands {longest.band!r} and {claim.band!r} both claim {words} {both} "
                    f"at priority {rank[0]}; give one of them a higher priority or other hours"
                )
            if longest is None or claim.to_s > longest.to_s:
                longest = claim
