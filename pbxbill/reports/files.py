"""A report as a file: made, headed by what was asked for, written, named."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.brands import brand_of
from pbxbill.reports.catalogue import FILE_TIMEOUT_MS, made, report_named
from pbxbill.reports.reader import Reader
from pbxbill.reports.rendering import Sheet
from pbxbill.reports.report import Asked, ParameterKind, Report, days_of, in_books
from pbxbill.store.models import AccountRow
from pbxbill.store.units import units_by_code


def sheet_of(
    session: Session, name: str, asked: Asked, reader: Reader, *, timeout_ms: int = FILE_TIMEOUT_MS
) -> tuple[Sheet, Reader]:
    """A report that is made and headed, and its reader with the units that stand in it."""
    report = report_named(name, asked.scope)
    table = made(session, report, asked, timeout_ms=timeout_ms)
    account = session.get_one(AccountRow, asked.scope.account_id)
    # Of what is one's own the look is that of who sells it.
    brand = brand_of(session, account.parent_id if asked.scope.own and account.parent_id else account.id)
    colour = "" if brand is None else brand.colour
    facts = facts_of(report, in_books(session, asked))
    sheet = Sheet(report, table, account.name, facts, colour, asked.making)
    return sheet, replace(reader, units=units_by_code(session), zone=asked.zone, now_us=asked.now_us)


def facts_of(report: Report, asked: Asked) -> tuple[tuple[str, str], ...]:
    """What was asked for, as the file is headed: labels in English, values as they are written."""
    found = []
    for parameter in report.parameters:
        value = asked.value(parameter.key)
        if parameter.kind is ParameterKind.DAY:
            first, last = days_of(asked)
            value = (first if parameter.key == "from" else last).isoformat()
        elif parameter.choices:
            value = dict(parameter.choices)[value or parameter.choices[0][0]]
        if value:
            found.append((parameter.label, value))
    return tuple(found)


def file_name(report: Report, values: Mapping[str, str], asked: Asked, kind: str) -> str:
    """revenue-2026-01-01-2026-01-31-day.xlsx."""
    keys = {x.key for x in report.parameters}
    days = days_of(asked)
    parts = [report.name]
    parts += [day.isoformat() for key, day in zip(("from", "to"), days, strict=True) if key in keys]
    parts += [values["group"]] if values.get("group") else []
    name = "-".join("".join(c for c in part if c.isascii() and (c.isalnum() or c in "-_")) for part in parts)
    return f"{name[:100]}.{kind}"


def scope_of(session: Session, account_id: int) -> Scope:
    """The scope of whoever acts for the operator or a reseller."""
    return Scope(account_id, session.get_one(AccountRow, account_id).path)
