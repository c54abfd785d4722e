"""Calendars of time bands: when day, night and weekend prices hold, written in fields or as text."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, Form, TextAreaField
from wtforms.validators import Length, Optional

from pbxbill.access.permissions import Permission
from pbxbill.errors import TermRefused
from pbxbill.rating import calendar_text
from pbxbill.rating.band_checks import MAX_NAME_LENGTH, MAX_RULES
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.calendar_text import (
    DEFAULT_YEARS,
    WEEKDAYS,
    calendar_from_facts,
    calendar_from_toml,
    calendar_to_toml,
)
from pbxbill.store.calendars import calendar_of, set_calendar, tariffs_of_older_versions
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import (
    ChecksField,
    CountField,
    CountryField,
    LineField,
    PanelForm,
    ZoneField,
    at_most,
    refusals,
    required,
)
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.dunning_policy_forms import weekday_name
from pbxbill.web.panel.terms_forms import facts_in, tabs_of_terms, terms_page
from pbxbill.web.rows import RowsField, rows_changed

MAX_CALENDAR_LENGTH = 200_000
SAMPLE = """\
zone = "Europe/Berlin"
holidays = { country = "DE", years = "2024-2035" }

[[band]]
name = "day"
weekdays = "Mon-Fri"
hours = "08:00-18:00"

[[band]]
name = "weekend"
weekdays = "Sat, Sun"
holidays = true
priority = 1
"""
_NAME = lazy_gettext("Name")
_FIRST_BANDS = (
    {"name": "day", "weekdays": list(WEEKDAYS[:5]), "begins": "08:00", "ends": "18:00"},
    {"name": "weekend", "weekdays": list(WEEKDAYS[5:]), "priority": 1},
)


def _weekdays() -> list[tuple[str, str]]:
    return [(x, weekday_name(number)) for number, x in enumerate(WEEKDAYS)]


class BandRow(Form):
    """Days and hours of a band."""

    places: ClassVar[Mapping[tuple[str, ...], tuple[str, ...]]] = {("hours",): ("begins",)}

    name = LineField(lazy_gettext("Band"), [required(), at_most(MAX_NAME_LENGTH)])
    begins = LineField(
        lazy_gettext("From"), [at_most(8)], description=lazy_gettext("As in 08:00. Both empty: all day.")
    )
    ends = LineField(
        lazy_gettext("Until"), [at_most(8)], description=lazy_gettext("06:00 after 22:00: on the next day.")
    )
    priority = CountField(
        lazy_gettext("Priority"),
        least=-1_000,
        most=1_000,
        description=lazy_gettext("The higher one wins. Empty: 0."),
    )
    dates = LineField(
        lazy_gettext("Dates"),
        [at_most(2_000)],
        description=lazy_gettext("2026-12-24, --12-24 for every year, or FIRST/LAST; with commas between."),
    )
    weekdays = ChecksField(
        lazy_gettext("Weekdays"),
        choices=_weekdays,
        default=[],
        description=lazy_gettext("None of them, no dates and no holidays: every day."),
    )
    holidays = BooleanField(lazy_gettext("On holidays"))


class CalendarForm(PanelForm):
    """A calendar, field by field."""

    places: ClassVar[Mapping[tuple[str, ...], tuple[str, ...]]] = {("holidays",): ("country",)}

    name = LineField(_NAME, [required(), at_most(64)])
    zone = ZoneField(lazy_gettext("Zone"))
    band = RowsField(
        BandRow,
        lazy_gettext("Bands"),
        description=lazy_gettext(
            "A band may have several rows. Where two hold at once, a date wins over a "
            "holiday, a holiday over a weekday, unless priorities say otherwise."
        ),
        item=lazy_gettext("Row"),
        add=lazy_gettext("Add a row"),
        most=MAX_RULES,
    )
    country = CountryField(
        lazy_gettext("Public holidays of"), description=lazy_gettext("They are added to the days below.")
    )
    subdivision = LineField(
        lazy_gettext("And of its part"),
        [at_most(10)],
        description=lazy_gettext("A code like BY; empty: of none."),
    )
    first_year = CountField(lazy_gettext("From the year"), least=1900, most=2100, default=DEFAULT_YEARS[0])
    last_year = CountField(lazy_gettext("To the year"), least=1900, most=2100, default=DEFAULT_YEARS[1])
    extra_holidays = TextAreaField(
        lazy_gettext("Holidays"),
        [Optional(), Length(max=MAX_CALENDAR_LENGTH)],
        description=lazy_gettext("A day on each line, as in 2026-12-24."),
        render_kw={"rows": 6, "spellcheck": "false"},
    )
    edition = EditionField()


class CalendarTextForm(PanelForm):
    """The same as text."""

    name = LineField(_NAME, [required(), at_most(64)])
    text = TextAreaField(
        lazy_gettext("Bands"),
        [required(), Length(max=MAX_CALENDAR_LENGTH)],
        description=lazy_gettext("TOML: a zone, holidays, and a [[band]] for each time of the day or week."),
        render_kw={"rows": 22, "spellcheck": "false", "class": "form-control mono"},
    )
    edition = EditionField()


def add_calendars(section: Blueprint, front: Front) -> None:
    """Add the routes."""

    @section.get("/settings/calendars/<int:id>")
    @needs(Permission.SETTINGS_READ)
    def calendar(id: int) -> str:
        with front.reading() as session:
            row = _calendar(session, id)
            newest = session.scalars(
                select(BandCalendarRow)
                .where(BandCalendarRow.name == row.name)
                .order_by(BandCalendarRow.number.desc())
            ).all()
            behind = tariffs_of_older_versions(session, newest[0]) if front.scope.is_everything else []
        return render_template(
            "panel/settings/calendar.html",
            row=row,
            calendar=calendar_of(row),
            versions=newest,
            behind=behind,
            weekdays=[text for _, text in _weekdays()],
        )

    @section.route("/settings/calendars/new", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def new_calendar() -> str | Response:
        return _written(front, CalendarForm, None)

    @section.route("/settings/calendars/new/text", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def new_calendar_text() -> str | Response:
        return _written(front, CalendarTextForm, None)

    @section.route("/settings/calendars/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def edit_calendar(id: int) -> str | Response:
        return _written(front, CalendarForm, id)

    @section.route("/settings/calendars/<int:id>/edit/text", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def edit_calendar_text(id: int) -> str | Response:
        return _written(front, CalendarTextForm, id)


def _written(front: Front, kind: type[CalendarForm | CalendarTextForm], id: int | None) -> str | Response:
    if not front.scope.is_everything:
        abort(404)  # what all share is the operator's to change
    form, row = kind(), None
    if id is not None:
        with front.reading() as session:
            row = _calendar(session, id)
        del form.name
    if request.method == "GET":
        _fill(form, row)
    if not rows_changed(form) and form.validate_on_submit():
        name, made_id = (form.name.data or "") if row is None else row.name, 0
        with refusals(form) as refused, front.changing("calendar.set", name) as change:
            newest = change.session.scalar(
                select(BandCalendarRow.number)
                .where(BandCalendarRow.name == name)
                .order_by(BandCalendarRow.number.desc())
                .limit(1)
            )
            if row is None and newest is not None:
                raise TermRefused(gettext("There is a calendar of this name already."), "name")
            if row is not None:
                check_edition(form, {"version": str(newest)})
            made_id = set_calendar(change.session, _made(form, name), change.now_us).id
        if not refused:
            flash(gettext("The calendar has a new version. Tariffs take it when they are changed."))
            return redirect(url_for(".calendar", id=made_id), 303)
    return _form_page(form, row)


def _made(form: CalendarForm | CalendarTextForm, name: str) -> BandCalendar:
    if isinstance(form, CalendarTextForm):
        return calendar_from_toml(form.text.data or "", name=name)
    return calendar_from_facts(_facts_of(form), name=name)


def _facts_of(form: CalendarForm) -> dict[str, Any]:
    """What calendar_from_facts() takes."""
    facts: dict[str, Any] = {"zone": form.zone.data}
    facts["extra_holidays"] = (form.extra_holidays.data or "").split()
    if form.country.data:
        years = form.first_year.data or DEFAULT_YEARS[0], form.last_year.data or DEFAULT_YEARS[1]
        facts["holidays"] = {"country": form.country.data, "years": f"{years[0]}-{years[1]}"}
        if form.subdivision.data:
            facts["holidays"]["subdivision"] = form.subdivision.data.upper()
    facts["band"] = [_band(x) for x in form.band.rows]
    return facts


def _band(row: Any) -> dict[str, Any]:
    facts = {"name": row.name.data, "holidays": row.holidays.data, "priority": row.priority.data or 0}
    facts["weekdays"] = row.weekdays.data
    if row.dates.data:
        facts["dates"] = row.dates.data
    begins, ends = _clock(row.begins.data, "00:00"), _clock(row.ends.data, "24:00")
    return facts | {"hours": [f"{begins}-{ends}"]}


def _clock(written: str | None, otherwise: str) -> str:
    """8:00 is 08:00."""
    text = (written or "").strip() or otherwise
    return f"0{text}" if text[1:2] == ":" else text


def _fill(form: CalendarForm | CalendarTextForm, row: BandCalendarRow | None) -> None:
    text = SAMPLE if row is None else calendar_to_toml(calendar_of(row))
    if row is not None:
        form.edition.data = edition_of({"version": str(row.number)})
    if isinstance(form, CalendarTextForm):
        form.text.data = text
        return
    if row is None:
        for band in _FIRST_BANDS:
            form.band.append_entry(band)
        return
    facts = facts_in(text)
    form.zone.data = facts["zone"]
    form.extra_holidays.data = "\n".join(facts.get("extra_holidays", []))
    for band in facts["band"]:
        form.band.append_entry(_shown(band))


def _shown(band: dict[str, Any]) -> dict[str, Any]:
    begins, _, ends = band.get("hours", "-").partition("-")
    days = [x.strip().lower() for x in band.get("weekdays", "").split(",")]
    return band | {
        "begins": begins,
        "ends": ends,
        "weekdays": [x for x in WEEKDAYS if x in days],
        "dates": ", ".join(band.get("dates", [])),
    }


def _form_page(form: CalendarForm | CalendarTextForm, row: BandCalendarRow | None) -> str:
    crumbs = [
        (gettext("Settings"), url_for(".show")),
        (gettext("Calendars"), url_for(".calendars")),
    ]
    if row is None:
        title, back = gettext("New calendar"), url_for(".calendars")
        ways = url_for(".new_calendar"), url_for(".new_calendar_text")
    else:
        title, back = gettext("Change %(name)s", name=row.name), url_for(".calendar", id=row.id)
        crumbs.append((row.name, back))
        ways = url_for(".edit_calendar", id=row.id), url_for(".edit_calendar_text", id=row.id)
    as_text = isinstance(form, CalendarTextForm)
    template = "panel/terms_text.html" if as_text else "panel/settings/calendar_form.html"
    example = (calendar_text.__doc__ or "").partition("\n\n")[2]
    tabs = tabs_of_terms(*ways, as_text=as_text)
    return terms_page(template, form, title, back, crumbs, example=example, **tabs)


def _calendar(session: Session, id: int) -> BandCalendarRow:
    row = session.get(BandCalendarRow, id)
    if row is None:
        abort(404)
    return row
