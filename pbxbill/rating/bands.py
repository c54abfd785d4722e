"""Time bands: which band of a calendar a moment belongs to, and where the next one begins.

A moment belongs to a rule by what the clock on the wall of the calendar's zone shows. An hour that the
clock shows twice belongs to its rule twice, one that it skips never comes, and days last 23 or 25 hours.
Bands are half-open, [from, to). Of the rules that cover a moment the one with the highest priority wins;
at equal priority the most specific (a date over a holiday, a holiday over a weekday, a weekday over every
day). Two rules of different bands that tie are refused when the calendar is made: band_checks.checked().
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused

DAY_S = 86_400
DAYS_KEPT = 1_500
"""Days whose bands a calendar remembers; old calls that are rated again ask for years of them."""

_DAY_US = DAY_S * SECOND_US
_HOUR_S = 3_600
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAYS = range(date(1900, 1, 1).toordinal() - _EPOCH_ORDINAL, date(9000, 1, 1).toordinal() - _EPOCH_ORDINAL)

_Segments = tuple[tuple[int, ...], tuple[str | None, ...]]
"""Where bands begin, UTC microseconds, and the band from there on."""


class BandRule(NamedTuple):
    """Days and hours that belong to a band.

    A day is chosen by its weekday, its date or as a holiday, whichever is given; without any, each is.
    """

    band: str
    weekdays: frozenset[int] = frozenset()
    """0 is Monday; empty where dates or holidays choose the days, or every day."""
    from_s: int = 0
    """Seconds of the local day."""
    to_s: int = DAY_S
    """Not above from_s: the rule runs over midnight, to here on the morning after each of its days."""
    dates: tuple[str, ...] = ()
    """ISO dates "2026-12-24", yearly ones "--12-24", or ranges of either "A/B", both ends included."""
    holidays: bool = False
    """The calendar's public holidays."""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class BandCalendar:
    """One immutable version of a named calendar of bands."""

    id: int
    name: str
    zone: str
    """IANA name, e.g. Europe/Berlin."""
    rules: tuple[BandRule, ...]
    holidays: frozenset[str] = frozenset()
    """ISO dates, frozen when the calendar was made, so that old calls can be explained for ever."""
    _segments: dict[int, _Segments] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By UTC day: a call asks for its moment, and no zone is reckoned with again."""

    def band_at(self, moment_us: int) -> str | None:
        """The band in force at a moment; None in a gap."""
        starts, bands = self._of_day(moment_us // _DAY_US)
        return bands[bisect_right(starts, moment_us) - 1]

    def span_at(self, moment_us: int, until_us: int) -> tuple[str | None, int]:
        """The band in force at a moment, and where another one begins, at most until_us."""
        day = moment_us // _DAY_US
        starts, bands = self._of_day(day)
        following = bisect_right(starts, moment_us)
        band = bands[following - 1]
        while True:
            for start_us, other in zip(starts[following:], bands[following:], strict=True):
                if start_us >= until_us:
                    return band, until_us
                if other != band:
                    return band, start_us
            day += 1
            if day * _DAY_US >= until_us:
                return band, until_us
            starts, bands = self._of_day(day)
            following = 0

    def edges(self, from_us: int, to_us: int) -> Iterator[tuple[int, str | None]]:
        """The moments within [from_us, to_us) where another band begins, each with the new band."""
        if to_us <= from_us:
            return
        band, edge_us = self.span_at(from_us - 1, to_us)
        while edge_us < to_us:
            band, next_us = self.span_at(edge_us, to_us)
            yield edge_us, band
            edge_us = next_us

    def _of_day(self, day: int) -> _Segments:
        found = self._segments.get(day)
        if found is None:
            if len(self._segments) >= DAYS_KEPT:
                self._segments.clear()
            found = self._segments[day] = _segments(self, day)
        return found


class Day(NamedTuple):
    """A local day as rules see it; without a date it is an ordinary one of its weekday."""

    weekday: int
    iso: str | None = None
    holiday: bool = False

    @classmethod
    def of(cls, day: date, calendar: BandCalendar) -> "Day":
        """A day of the calendar."""
        iso = day.isoformat()
        return cls(day.weekday(), iso, iso in calendar.holidays)


class Claim(NamedTuple):
    """Hours of one day that a rule claims; the highest rank wins."""

    from_s: int
    to_s: int
    rank: tuple[int, int]
    """Priority, then how specific the rule is."""
    band: str


def claims(rules: Iterable[BandRule], day: Day, before: Day) -> list[Claim]:
    """What rules claim of a day; before is the day before it, whose nights may reach into this one."""
    found = []
    for rule in rules:
        over_midnight = rule.to_s <= rule.from_s
        own = _specificity(rule, day)
        if own is not None:
            to_s = DAY_S if over_midnight else rule.to_s
            found.append(Claim(rule.from_s, to_s, (rule.priority, own), rule.band))
        if over_midnight and rule.to_s > 0:
            night = _specificity(rule, before)
            if night is not None:
                found.append(Claim(0, rule.to_s, (rule.priority, night), rule.band))
    return found


def winners(claimed: list[Claim]) -> list[tuple[int, int, str | None]]:
    """A day from its first second to its last: from, to, and the band that wins there."""
    cuts = sorted({0, DAY_S, *(claim.from_s for claim in claimed), *(claim.to_s for claim in claimed)})
    merged: list[tuple[int, int, str | None]] = []
    for from_s, to_s in pairwise(cuts):
        over = [claim for claim in claimed if claim.from_s <= from_s and to_s <= claim.to_s]
        band = max(over, key=_rank).band if over else None
        begun_s = merged.pop()[0] if merged and merged[-1][2] == band else from_s
        merged.append((begun_s, to_s, band))
    return merged


def _rank(claim: Claim) -> tuple[int, int]:
    return claim.rank


def _specificity(rule: BandRule, day: Day) -> int | None:
    # None: the rule says nothing of this day.
    if day.iso is not None and any(_names(entry, day.iso) for entry in rule.dates):
        return 3
    if rule.holidays and day.holiday:
        return 2
    if day.weekday in rule.weekdays:
        return 1
    return None if rule.dates or rule.holidays or rule.weekdays else 0


def _names(entry: str, iso: str) -> bool:
    first, is_range, last = entry.partition("/")
    day = f"--{iso[5:]}" if first.startswith("--") else iso
    if not is_range:
        return day == first
    if last < first:  # a yearly range over New Year's Eve
        return day >= first or day <= last
    return first <= day <= last


def _segments(calendar: BandCalendar, day: int) -> _Segments:
    """The bands of one UTC day, from parts of the local days that lie in it."""
    if day not in _DAYS:
        raise InputRefused("a moment before the year 1900 or after 8999 lies in no calendar")
    zone = ZoneInfo(calendar.zone)
    starts: list[int] = []
    bands: list[str | None] = []
    for from_s, to_s, offset_s in _offsets(zone, day * DAY_S, (day + 1) * DAY_S):
        local_s = from_s + offset_s
        while local_s < to_s + offset_s:
            local_day = local_s // DAY_S
            midnight_s = local_day * DAY_S
            today = date.fromordinal(_EPOCH_ORDINAL + local_day)
            claimed = claims(
                calendar.rules, Day.of(today, calendar), Day.of(today - timedelta(days=1), calendar)
            )
            for begin_s, end_s, band in winners(claimed):
                first_s = max(local_s, midnight_s + begin_s)
                if first_s < min(to_s + offset_s, midnight_s + end_s) and (not bands or bands[-1] != band):
                    starts.append((first_s - offset_s) * SECOND_US)
                    bands.append(band)
            local_s = midnight_s + DAY_S
    return tuple(starts), tuple(bands)


def _offsets(zone: ZoneInfo, from_s: int, to_s: int) -> Iterator[tuple[int, int, int]]:
    """The parts of a span of UTC seconds with one distance from UTC: from, to, the distance."""
    begun_s, offset_s = from_s, _offset(zone, from_s)
    for hour_s in range(from_s, to_s, _HOUR_S):
        if _offset(zone, hour_s + _HOUR_S - 1) == offset_s:
            continue
        low, high = hour_s - 1, hour_s + _HOUR_S - 1  # the clock is put forward or back within (low, high]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(zone, middle) == offset_s else (low, middle)
        if high > begun_s:
            yield begun_s, high, offset_s
        begun_s, offset_s = high, _offset(zone, high)
    yield begun_s, to_s, offset_s


def _offset(zone: ZoneInfo, at_s: int) -> int:
    moment = datetime.fromtimestamp(at_s, UTC).astimezone(zone)
    return (moment.utcoffset() or timedelta()) // timedelta(seconds=1)
