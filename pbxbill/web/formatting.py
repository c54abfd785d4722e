"""How values look to a reader: in his language's figures, in his zone. Filters of every template.

money, moment, day, duration_s, count, ppm, state and word, and cell for a value of a list. Amounts go from
integer to text through Decimal, exactly.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_decimal
from flask import Flask, current_app, g, has_request_context
from flask_babel import get_locale, gettext
from markupsafe import Markup

from pbxbill.listing.listing import Column, ColumnKind
from pbxbill.money import Unit, to_decimal
from pbxbill.reports import reader
from pbxbill.web.audit_words import action_text
from pbxbill.web.refusals import told
from pbxbill.web.words import STATES, cause_of, tone_of, word_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = Markup('<span class="nothing">–</span>')
_ENGLISH = Locale.parse("en_GB")
FindUnit = Callable[[str], Unit]


def reader_locale() -> Locale:
    """Whose figures and dates: days before months in English too."""
    found = get_locale() if has_request_context() else None
    return _ENGLISH if found is None or found.language == "en" else found


def reader_zone() -> tzinfo:
    """The zone in which the reader sees moments."""
    actor = g.get("actor") if has_request_context() else None
    return ZoneInfo(actor.zone if actor is not None else "UTC")


def amount_text(amount: int, unit: Unit) -> str:
    """An exact amount without its unit: at least as many digits as people are shown."""
    value = to_decimal(amount, unit.scale)
    pattern = "#,##0" + (
        f".{'0' * unit.digits}{'#' * max(0, unit.scale - unit.digits)}" if unit.scale else ""
    )
    return _signed(format_decimal(value, pattern, reader_locale(), decimal_quantization=False))


def short_amount_text(amount: int, unit: Unit) -> str:
    """An amount rounded to the digits that people are shown, for figures that are only looked at."""
    return reader.short_amount_text(amount, unit, reader_locale())


def money(amount: int | None, unit: Unit | str | None, *, short: bool = False) -> Markup:
    """An amount with its unit's code; nothing where there is none."""
    if amount is None or unit is None:
        return _NOTHING
    known = unit_known(unit)
    text = short_amount_text(amount, known) if short else amount_text(amount, known)
    sign = " negative" if amount < 0 else ""
    return Markup('<span class="money{}">{} <span class="unit">{}</span></span>').format(
        sign, text, known.code
    )


def plain_amount(amount: int | None, unit: Unit | str | None) -> str:
    """As money, without markup: for sentences, titles and mails."""
    if amount is None or unit is None:
        return "–"
    known = unit_known(unit)
    return f"{amount_text(amount, known)} {known.code}"


def moment(at_us: int | None, *, seconds: bool = False) -> Markup:
    """Day and time in the reader's zone."""
    if at_us is None:
        return _NOTHING
    at = _EPOCH + timedelta(microseconds=at_us)
    local, locale = at.astimezone(reader_zone()), reader_locale()
    text = (
        f"{_day_text(local.date())}, {format_time(local, 'HH:mm:ss' if seconds else 'HH:mm', locale=locale)}"
    )
    exact = format_datetime(local, "d MMMM yyyy, HH:mm:ss zzzz", locale=locale)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), exact, text)


def day(value: int | date | None) -> Markup:
    """A day: of a moment in the reader's zone, or as it is."""
    if value is None:
        return _NOTHING
    shown = value if isinstance(value, date) else day_of(value)
    return Markup('<time datetime="{}">{}</time>').format(shown.isoformat(), _day_text(shown))


def day_text(at_us: int) -> str:
    """As day, without markup: for sentences."""
    return _day_text(day_of(at_us))


def day_of(at_us: int) -> date:
    """On which day of the reader's a moment is."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(reader_zone()).date()


def duration_s(value: int | None) -> str:
    """Seconds as people read a clock: 0:07, 12:30, 1:02:03."""
    if value is None:
        return "–"
    minutes, seconds = divmod(abs(value), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    return f"−{text}" if value < 0 else text


def count(value: int | None) -> str:
    """A whole number."""
    return "–" if value is None else _signed(format_decimal(value, "#,##0", reader_locale()))


def ppm(value: int | None) -> str:
    """Millionths as per cent."""
    if value is None:
        return "–"
    pattern = "#,##0.####"
    text = format_decimal(Decimal(value).scaleb(-4), pattern, reader_locale(), decimal_quantization=False)
    return f"{_signed(text)} %"


def state(value: str | None) -> Markup:
    """A state: a dot and its word, never the colour alone."""
    if not value:
        return _NOTHING
    if value not in STATES:
        return Markup("{}").format(word_of(value))
    return Markup('<span class="state state-{}">{}</span>').format(tone_of(value), word_of(value))


def word(value: str | None) -> str:
    """A kind or state in plain words."""
    return word_of(value) if value else "–"


def cause(value: int | None) -> str:
    """Why a call ended."""
    return "–" if value is None else cause_of(value)


def yes_no(value: bool | None) -> str:
    """Yes or no in words; None: nobody said."""
    if value is None:
        return "–"
    return str(gettext("yes") if value else gettext("no"))


def cell(column: Column, row: Mapping[str, Any]) -> Markup | str:
    """A value of a list as its column's kind says."""
    value = row.get(column.key)
    if value is None or value == "":
        return _NOTHING
    match column.kind:
        case ColumnKind.MONEY:
            return money(value, row.get(column.unit))
        case ColumnKind.CODE:
            return Markup('<span class="code">{}</span>').format(value)
        case ColumnKind.STATE:
            return state(value)
        case ColumnKind.MOMENT if column.exact:
            return moment(value, seconds=True)
        case kind:
            return _PLAIN[kind](value)


def _text(value: Any) -> Markup | str:
    """What people wrote on several lines stays on them."""
    written = str(value)
    return Markup('<span class="pre">{}</span>').format(written) if "\n" in written else written


_PLAIN: dict[ColumnKind, Callable[[Any], Markup | str]] = {
    ColumnKind.TEXT: _text,
    ColumnKind.COUNT: count,
    ColumnKind.SECONDS: duration_s,
    ColumnKind.MOMENT: moment,
    ColumnKind.DAY: day,
    ColumnKind.YES_NO: yes_no,
    ColumnKind.PPM: ppm,
    ColumnKind.SENTENCE: told,
    ColumnKind.ACTION: action_text,
}
RIGHT = {ColumnKind.MONEY, ColumnKind.COUNT, ColumnKind.SECONDS, ColumnKind.PPM}
"""Kinds that stand at the right, so that digits stand below each other."""


def install_filters(app: Flask, find_unit: FindUnit) -> None:
    """Make the filters known to templates; find_unit reads a unit by its code."""
    app.extensions["pbxbill_find_unit"] = find_unit
    filters = (
        money, plain_amount, moment, day, duration_s, count, ppm, state, word, yes_no, cause, told,
    )  # fmt: skip
    app.jinja_env.filters.update({x.__name__: x for x in filters})
    app.jinja_env.globals.update(cell=cell, is_right=lambda kind: kind in RIGHT)


def unit_known(unit: Unit | str) -> Unit:
    """A unit by its code."""
    if isinstance(unit, Unit):
        return unit
    found: Unit = current_app.extensions["pbxbill_find_unit"](unit)
    return found


def _day_text(value: date) -> str:
    locale = reader_locale()
    return format_date(value, "d MMM yyyy", locale=locale)


def _signed(text: str) -> str:
    # A hyphen is not a minus: it is short, and lines break after it.
    return text.replace("-", "−")
