"""Calendars of time bands as people write them (TOML) and as the database keeps them (JSON).

Public holidays are resolved to dates when a calendar is made, so that an old call is explained by the
holidays that it was charged by, whatever a later release of the holidays library says.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pbxbill.errors import InputRefused
from pbxbill.rating.bands import BandCalendar, BandRule

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY_YEARS = 10
"""Public holidays are resolved for so many years from the present one on, unless the file says otherwise."""
MAX_RULES = 200
_DAY_S = 86_400
_SETTINGS = ("zone", "holidays", "holiday_years", "extra_holidays", "band")
_RULE_SETTINGS = ("name", "days", "from", "to", "dates", "holidays", "priority")


def calendar_to_json(calendar: BandCalendar) -> str:
    """The text of a calendar, without its id and name."""
    facts = {
        "zone": calendar.zone,
        "rules": [
            [
                rule.band,
                sorted(rule.weekdays),
                rule.from_s,
                rule.to_s,
                rule.dates,
                rule.holidays,
                rule.priority,
            ]
            for rule in calendar.rules
        ],
        "holidays": sorted(calendar.holidays),
    }
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def calendar_from_json(id: int, name: str, text: str) -> BandCalendar:
    """The calendar of a text."""
    facts = json.loads(text)
    rules = tuple(
        BandRule(band, frozenset(weekdays), from_s, to_s, tuple(dates), holidays, priority)
        for band, weekdays, from_s, to_s, dates, holidays, priority in facts["rules"]
    )
    return BandCalendar(id, name, facts["zone"], rules, frozenset(facts["holidays"]))


def calendar_from_toml(name: str, text: str, this_year: int) -> BandCalendar:
    """The calendar that a person wrote; InputRefused says what to change."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputRefused(f"the calendar is no TOML: {error}") from None
    _check_settings(content, _SETTINGS, "a calendar")
    zone = content.get("zone", "UTC")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise InputRefused(f"{str(zone)[:40]!r} is no time zone; write e.g. Europe/Berlin") from None
    bands = content.get("band", [])
    if not isinstance(bands, list) or not 1 <= len(bands) <= MAX_RULES:
        raise InputRefused(f"a calendar has 1 to {MAX_RULES} rules; each begins with [[band]]")
    rules = tuple(_rule(number, entry) for number, entry in enumerate(bands, 1))
    first, last = _years(content.get("holiday_years", [this_year, this_year + HOLIDAY_YEARS - 1]))
    dates = _public_holidays(content["holidays"], first, last) if "holidays" in content else set()
    extra = content.get("extra_holidays", [])
    if not isinstance(extra, list):
        raise InputRefused('extra_holidays is a list of dates, like ["2026-12-31"]')
    dates |= {_iso_date(str(day)) for day in extra}
    if any(rule.holidays for rule in rules) and not dates:
        raise InputRefused(
            'a band has holidays, and the calendar knows none; say e.g. holidays = "DE" or "US-CA"'
        )
    return BandCalendar(0, name, zone, rules, frozenset(dates))


def _rule(number: int, entry: Any) -> BandRule:
    where = f"band rule {number}"
    if not isinstance(entry, dict):
        raise InputRefused(f"{where} is no table; it begins with [[band]]")
    _check_settings(entry, _RULE_SETTINGS, where)
    name = entry.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 40 or not name.isprintable() or "," in name:
        raise InputRefused(f"{where} needs a name of up to 40 characters without a comma")
    try:
        dates = tuple(str(day) for day in entry.get("dates", ()))
        from_s = _second(entry.get("from", "00:00"))
        to_s = _second(entry.get("to", "24:00"))
        weekdays = _weekdays(entry.get("days", ()))
    except (InputRefused, TypeError) as fault:
        raise InputRefused(f"{where} ({name}): {fault}") from None
    holidays, priority = entry.get("holidays", False), entry.get("priority", 0)
    if not isinstance(holidays, bool) or type(priority) is not int or abs(priority) > 10**6:
        raise InputRefused(f"{where} ({name}): holidays is true or false, priority a whole number")
    if from_s >= _DAY_S:
        raise InputRefused(f"{where} ({name}): a band begins before 24:00")
    return BandRule(name, weekdays, from_s, to_s, dates, holidays, priority)


def _check_settings(content: dict[str, Any], known: Iterable[str], what: str) -> None:
    for name in content:
        if name not in known:
            raise InputRefused(f"{what} has no setting {name[:40]!r}; known are: {', '.join(known)}")


def _weekdays(days: Any) -> frozenset[int]:
    names = [days] if isinstance(days, str) else list(days)
    found: set[int] = set()
    for name in names:
        first, dash, last = str(name).casefold().partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise InputRefused(f"{str(name)[:20]!r} is no weekday; write e.g. mon-fri, or sat")
        at, until = DAYS.index(first), DAYS.index(last if dash else first)
        found.add(at)
        while at != until:
            at = (at + 1) % 7
            found.add(at)
    return frozenset(found)


def _second(text: Any) -> int:
    found = re.fullmatch(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?", str(text))
    second = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0) if found else _DAY_S + 1
    if second > _DAY_S or (found and (int(found[2]) > 59 or int(found[3] or 0) > 59)):
        raise InputRefused(f"{str(text)[:20]!r} is no time of day; write it like 08:00, at most 24:00")
    return second


def _years(years: Any) -> tuple[int, int]:
    whole = isinstance(years, list) and len(years) == 2 and all(type(year) is int for year in years)
    if not whole or not 1970 <= years[0] <= years[1] <= 2100:
        raise InputRefused("holiday_years is the first and the last year, like [2026, 2035]")
    return years[0], years[1]


def _public_holidays(country: Any, first: int, last: int) -> set[str]:
    import holidays

    code, _, part = str(country).partition("-")
    try:
        found = holidays.country_holidays(code, subdiv=part or None, years=range(first, last + 1))
    except NotImplementedError as error:
        raise InputRefused(
            f"no public holidays are known for {str(country)[:20]!r}: {str(error)[:200]}"
        ) from None
    return {day.isoformat() for day in found}


def _iso_date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InputRefused(f"{text[:20]!r} is no date; write it like 2026-12-31") from None
