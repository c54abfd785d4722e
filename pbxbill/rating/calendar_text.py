"""Calendars of bands as people write them, in TOML, and as they are kept, in JSON.

    name = "Germany"
    zone = "Europe/Berlin"
    holidays = { country = "DE", subdivision = "BY", years = "2024-2035" }

    [[band]]
    name = "day"
    weekdays = "Mon-Fri"
    hours = "08:00-18:00"

    [[band]]
    name = "weekend"
    weekdays = "Sat, Sun"
    holidays = true

A band may stand several times. Its days are weekdays, dates and holidays, whichever are given; without
any, every day. Hours like "22:00-06:00" run over midnight: from 22:00 of each of its days to 06:00 on the
morning after.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.rating.band_checks import checked
from pbxbill.rating.bands import DAY_S, BandCalendar, BandRule
from pbxbill.written_toml import TOMLDecodeError, read_toml

DEFAULT_YEARS = (2020, 2040)
"""Public holidays are worked out for these years unless the calendar says others."""
MAX_YEARS = 60

_CALENDAR_KEYS = {"name", "zone", "holidays", "extra_holidays", "band"}
_BAND_KEYS = {"name", "weekdays", "hours", "dates", "holidays", "priority"}
_HOLIDAY_KEYS = {"country", "subdivision", "years"}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As they are written, from Monday on."""
_HOURS = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?\s*-\s*(\d\d):(\d\d)(?::(\d\d))?")
_YEARS = re.compile(r"(\d{4})(?:-(\d{4}))?")
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def calendar_from_toml(text: str, id: int = 0, name: str | None = None) -> BandCalendar:
    """A calendar that a person wrote, checked; InputRefused says what to change.

    Where a name is given the text need not hold one; another one in it is refused.
    """
    try:
        facts = read_toml(text)
    except TOMLDecodeError as error:
        raise InputRefused(f"the calendar is not TOML: {error}") from None
    return calendar_from_facts(facts, id, name)


def calendar_from_facts(facts: dict[str, Any], id: int = 0, name: str | None = None) -> BandCalendar:
    """The same of what was read from elsewhere, a form: the keys and values of the TOML."""
    _refuse_unknown(facts, _CALENDAR_KEYS, "the calendar")
    if name is not None and facts.setdefault("name", name) != name:
        raise InputRefused(f"the calendar calls itself {str(facts['name'])[:64]!r}, not {name!r}")
    for key in ("name", "zone"):
        if not isinstance(facts.get(key), str) or not facts[key]:
            raise TermRefused(f'the calendar lacks its {key}; write {key} = "..."', key)
    bands = facts.get("band", [])
    if not isinstance(bands, list) or not all(isinstance(band, dict) for band in bands):
        raise InputRefused("each band of the calendar begins with [[band]]")
    rules = [rule for number, band in enumerate(bands, 1) for rule in _rules(band, number)]
    days = _listed(facts.get("extra_holidays", []), "extra_holidays")
    for day in days:
        if not _ISO_DAY.fullmatch(day):
            raise TermRefused(
                f"extra_holidays: {day[:40]!r} is no date; write it like 2026-12-24", "extra_holidays"
            )
    if "holidays" in facts:
        with refused_at("holidays"):
            days = [*days, *_public_holidays(facts["holidays"])]
    calendar = BandCalendar(id, facts["name"], facts["zone"], tuple(rules), frozenset(days))
    return checked(calendar)


def calendar_to_toml(calendar: BandCalendar) -> str:
    """A calendar as a person may go on writing it; public holidays are listed as the days that they are."""
    parts = [f"zone = {_quoted(calendar.zone)}"]
    if calendar.holidays:
        days = ", ".join(_quoted(day) for day in sorted(calendar.holidays))
        parts.append(f"extra_holidays = [{days}]")
    for rule in calendar.rules:
        parts += ["", "[[band]]", f"name = {_quoted(rule.band)}"]
        if rule.weekdays:
            named = ", ".join(WEEKDAYS[day].capitalize() for day in sorted(rule.weekdays))
            parts.append(f"weekdays = {_quoted(named)}")
        if (rule.from_s, rule.to_s) != (0, DAY_S):
            parts.append(f"hours = {_quoted(f'{_clock(rule.from_s)}-{_clock(rule.to_s)}')}")
        if rule.dates:
            parts.append(f"dates = [{', '.join(_quoted(day) for day in rule.dates)}]")
        if rule.holidays:
            parts.append("holidays = true")
        if rule.priority:
            parts.append(f"priority = {rule.priority}")
    return "\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    # A text of JSON is one of TOML.
    return json.dumps(text, ensure_ascii=False)


def _clock(second: int) -> str:
    text = f"{second // 3600:02d}:{second // 60 % 60:02d}"
    return f"{text}:{second % 60:02d}" if second % 60 else text


def calendar_to_json(calendar: BandCalendar) -> str:
    """The text that a calendar is kept as, without its id."""
    rules = []
    for rule in calendar.rules:
        facts: dict[str, Any] = {"band": rule.band, "from_s": rule.from_s, "to_s": rule.to_s}
        if rule.weekdays:
            facts["weekdays"] = sorted(rule.weekdays)
        if rule.dates:
            facts["dates"] = list(rule.dates)
        if rule.holidays:
            facts["holidays"] = True
        if rule.priority:
            facts["priority"] = rule.priority
        rules.append(facts)
    facts = {
        "name": calendar.name,
        "zone": calendar.zone,
        "rules": rules,
        "holidays": sorted(calendar.holidays),
    }
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def calendar_from_json(text: str, id: int = 0) -> BandCalendar:
    """The calendar of a kept text; it was checked when it was made."""
    try:
        facts = json.loads(text)
        rules = tuple(
            BandRule(
                str(rule["band"]),
                frozenset(rule.get("weekdays", ())),
                int(rule["from_s"]),
                int(rule["to_s"]),
                tuple(rule.get("dates", ())),
                rule.get("holidays", False) is True,
                int(rule.get("priority", 0)),
            )
            for rule in facts["rules"]
        )
        return BandCalendar(id, facts["name"], facts["zone"], rules, frozenset(facts.get("holidays", ())))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputRefused(f"the text of a kept calendar is broken: {error!r}") from None


def public_holidays(country: str, subdivision: str | None, first: int, last: int) -> frozenset[str]:
    """The public holidays of a country, and of a part of it, as ISO dates of these years."""
    import holidays  # only calendars that are made need it, and it is slow to load

    if not 1900 <= first <= last <= 2100 or last - first >= MAX_YEARS:
        raise InputRefused(f"holidays: the years {first}-{last} are not up to {MAX_YEARS} years in order")
    try:
        found = holidays.country_holidays(country, subdiv=subdivision, years=range(first, last + 1))
    except NotImplementedError:
        where = country if subdivision is None else f"{country}, {subdivision}"
        raise InputRefused(
            f"holidays: nothing is known of {where[:60]!r}; write ISO codes like DE and BY, "
            "or list the days as extra_holidays"
        ) from None
    return frozenset(day.isoformat() for day in found)


def _rules(band: dict[str, Any], number: int) -> Iterable[BandRule]:
    name = band.get("name")
    if not isinstance(name, str) or not name:
        raise TermRefused(f'band number {number} lacks its name; write name = "..."', "band", number, "name")
    where = f"band {name[:40]!r}"
    _refuse_unknown(band, _BAND_KEYS, where)
    priority = band.get("priority", 0)
    if type(priority) is not int or not -1000 <= priority <= 1000:
        raise TermRefused(f"{where}: priority is a whole number up to 1000", "band", number, "priority")
    if not isinstance(band.get("holidays", False), bool):
        raise InputRefused(f"{where}: holidays is true or false")
    with refused_at("band", number, "weekdays"):
        weekdays = frozenset(_weekdays(band.get("weekdays", []), where))
    with refused_at("band", number, "dates"):
        dates = tuple(_listed(band.get("dates", []), where))
    with refused_at("band", number, "hours"):
        spans = [_hours(hours, where) for hours in _listed(band.get("hours", "00:00-24:00"), where)]
    for from_s, to_s in spans:
        yield BandRule(name, weekdays, from_s, to_s, dates, band.get("holidays", False), priority)


def _weekdays(value: Any, where: str) -> Iterable[int]:
    for entry in _listed(value, where):
        first, _, last = (part.strip().lower()[:3] for part in entry.partition("-"))
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise InputRefused(f"{where}: {entry[:40]!r} is no weekday; write Mon, Tue or Mon-Fri")
        begin = WEEKDAYS.index(first)
        length = (WEEKDAYS.index(last or first) - begin) % 7
        yield from ((begin + day) % 7 for day in range(length + 1))


def _hours(text: str, where: str) -> tuple[int, int]:
    found = _HOURS.fullmatch(text.strip())
    if found:
        numbers = [int(group or 0) for group in found.groups()]
        from_s, to_s = (hour * 3600 + minute * 60 + s for hour, minute, s in (numbers[:3], numbers[3:]))
        in_form = all(part < 60 for part in (*numbers[1:3], *numbers[4:6]))
        if in_form and from_s < DAY_S and to_s <= DAY_S:
            return from_s, to_s
    raise InputRefused(f"{where}: {text[:40]!r} are no hours; write them like 08:00-18:00")


def _public_holidays(value: Any) -> frozenset[str]:
    if not isinstance(value, dict) or not isinstance(value.get("country"), str):
        raise InputRefused('the holidays lack their country; write holidays = { country = "DE" }')
    _refuse_unknown(value, _HOLIDAY_KEYS, "holidays")
    subdivision = value.get("subdivision")
    if subdivision is not None and not isinstance(subdivision, str):
        raise InputRefused('holidays: subdivision is a code like "BY"')
    first, last = DEFAULT_YEARS
    if "years" in value:
        years = _YEARS.fullmatch(str(value["years"]))
        if years is None:
            raise InputRefused('holidays: years are written like "2024-2035"')
        first, last = int(years[1]), int(years[2] or years[1])
    return public_holidays(value["country"].upper(), subdivision, first, last)


def _listed(value: Any, where: str) -> list[str]:
    # "Mon-Fri, Sun" says the same as ["Mon-Fri", "Sun"].
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise InputRefused(f"{where}: {str(value)[:40]} is neither a text in quotes nor a list of them")
    return [entry.strip() for entry in entries]


def _refuse_unknown(facts: dict[str, Any], known: set[str], where: str) -> None:
    for key in facts:
        if key not in known:
            raise InputRefused(f"{where}: unknown {key[:40]!r}; known are {', '.join(sorted(known))}")
