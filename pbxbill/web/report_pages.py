"""A report on a page: what the address asks for, its form, and its file where that is made at once.

Of the panel and of the portal alike; where rows lead to is told by each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlencode

from flask import Response
from flask_babel import gettext

from pbxbill.access.actor import Scope
from pbxbill.billing.period import local_date
from pbxbill.listing.listing import ColumnKind
from pbxbill.reports.catalogue import (
    PAGE_TIMEOUT_MS,
    choices_of,
    page_of,
    parameters_of,
)
from pbxbill.reports.files import file_name, sheet_of
from pbxbill.reports.making import TooLarge
from pbxbill.reports.named_days import NAMED_DAYS, days_named
from pbxbill.reports.reader import Reader
from pbxbill.reports.rendering import MEDIA_TYPES, render
from pbxbill.reports.report import Asked, Parameter, ParameterRefused, Report, Table
from pbxbill.reports.words import words
from pbxbill.web.front import Front

AT_ONCE_ROWS = {"csv": 20_000, "xlsx": 10_000, "docx": 300, "pdf": 300, "html": 5_000}
"""Of a file that somebody waits for; longer ones are made in the background."""
FIRST_DAYS = {"payment-behaviour": "last-12-months"}
"""Which days a report begins with, unless it is this month."""
_COUNTED = (ColumnKind.MONEY, ColumnKind.COUNT, ColumnKind.SECONDS)


@dataclass(frozen=True, slots=True)
class Query:
    """What an address asks of a report."""

    values: Mapping[str, str]
    """By the keys of its parameters; days are written out."""
    days: str = ""
    """What the days are called, where a name was asked for."""

    def text(self, **changes: str | None) -> str:
        """As in an address; named days stay named, so that a kept view moves along."""
        values = {**self.values, **changes}
        if self.days and not {"from", "to"} & set(changes):
            values = {"days": self.days, **values, "from": None, "to": None}
        return urlencode([(key, value) for key, value in values.items() if value])


def query_of(report: Report, scope: Scope, args: Mapping[str, str], today: date, first: str = "") -> Query:
    """Read an address. What no parameter is called changes nothing. first: days where none are asked for."""
    keys = parameters_of(report, scope)
    values = {key: args.get(key, "").strip() for key in keys}
    if not {"from", "to"} <= set(keys):
        return Query(values)
    written = values["from"], values["to"]
    name = args.get("days", "")
    if not any(written) and days_named(name, today) is None:
        name = first or FIRST_DAYS.get(report.name, "this-month")
    found = days_named(name, today)
    if found is None:
        return Query(values)
    days = found[0].isoformat(), found[1].isoformat()
    if any(written) and written != days:
        return Query(values)  # other days were written into the form
    return Query(values | {"from": days[0], "to": days[1]}, name)


def today_of(front: Front) -> date:
    """The reader's."""
    return local_date(front.clock.now_us(), front.actor.zone)


@dataclass(frozen=True, slots=True)
class Entry:
    """A parameter as the form shows it."""

    parameter: Parameter
    value: str
    choices: tuple[tuple[str, str], ...] = ()
    is_wrong: bool = False


def entries_of(
    report: Report, scope: Scope, query: Query, wrong: str = "", without: Sequence[str] = ()
) -> list[Entry]:
    """The form: what is grouped by first, then days, then the rest."""
    keys = parameters_of(report, scope)
    shown = [x for x in report.parameters if x.key in keys and x.key not in without]
    shown.sort(key=lambda x: x.key != "group")
    return [Entry(x, query.values[x.key], choices_of(x, scope), x.key == wrong) for x in shown]


@dataclass(frozen=True, slots=True)
class Made:
    """What became of it: a table, a parameter that cannot be, or neither where it takes too long."""

    table: Table | None = None
    refused: ParameterRefused | None = None
    told: str = ""
    """Of what was refused."""
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether all its figures are nothing."""
        if self.table is None:
            return True
        keys = [x.key for x in self.table.columns if x.kind in _COUNTED]
        return not any(row.get(key) for row in self.table.rows for key in keys)


def made_for_page(front: Front, report: Report, query: Query) -> Made:
    """Make it within a page's time."""
    try:
        with front.reading() as session:
            table = page_of(
                session, report.name, front.scope, query.values,
                zone=front.actor.zone, now_us=front.clock.now_us(),
            )  # fmt: skip
    except ParameterRefused as error:
        return Made(refused=error, told=told_of(error))
    except TooLarge:
        return Made()
    return Made(table)


def told_of(error: ParameterRefused) -> str:
    """Why, as a sentence, without the parameter's key: the page names it by its label."""
    text = str(error).removeprefix(f"{error.field}: ")
    return f"{text[:1].upper()}{text[1:]}."


def asked_by(front: Front, query: Query, limit: int | None = None) -> Asked:
    """What a file is made of."""
    asked = Asked(front.scope, query.values, front.actor.zone, front.clock.now_us())
    return asked if limit is None else Asked(asked.scope, asked.values, asked.zone, asked.now_us, limit)


def file_at_once(front: Front, report: Report, query: Query, form: str) -> Response:
    """A file that is made while somebody waits; TooLarge where that takes too long."""
    return made_at_once(front, report, asked_by(front, query, AT_ONCE_ROWS[form]), form, front.actor.language)


def made_at_once(front: Front, report: Report, asked: Asked, form: str, language: str) -> Response:
    """The same, of what is asked with up to AT_ONCE_ROWS rows."""
    reader = Reader(words(language), language)
    with front.reading() as session:
        sheet, reader = sheet_of(session, report.name, asked, reader, timeout_ms=PAGE_TIMEOUT_MS)
    if sheet.table.is_cut:
        raise TooLarge("the file has too many rows to wait for it")
    return sent_file(render(sheet, form, reader), form, file_name(report, asked.values, asked, form))


def sent_file(content: bytes, form: str, name: str) -> Response:
    """A file to be kept, never shown in our name."""
    head = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, content_type=MEDIA_TYPES[form], headers=head)


def named_days(query: Query) -> list[tuple[str, str, bool]]:
    """Links to other days: what they are called, the address' query, whether they are shown."""
    if "from" not in query.values or "to" not in query.values:
        return []
    return [
        (gettext(title), Query(query.values, name).text(), name == query.days) for name, title in NAMED_DAYS
    ]
