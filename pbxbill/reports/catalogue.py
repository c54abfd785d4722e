"""All reports, and how one is made: `made()` for a page, a file or the command line alike."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.errors import InputRefused
from pbxbill.reports.call_reports import CALL_REPORTS
from pbxbill.reports.making import Making, takes_long
from pbxbill.reports.money_reports import MONEY_REPORTS
from pbxbill.reports.own_usage import OWN_USAGE
from pbxbill.reports.report import (
    OTHER_DAYS,
    Asked,
    Parameter,
    ParameterKind,
    ParameterRefused,
    Report,
    Table,
    choice_of,
    has_own_days,
    in_books,
)
from pbxbill.reports.shadow import SHADOW
from pbxbill.reports.simulation import SIMULATION
from pbxbill.reports.statements import STATEMENT
from pbxbill.store.models import AccountRow

REPORTS: dict[str, Report] = {
    report.name: report for report in (*CALL_REPORTS, *MONEY_REPORTS, STATEMENT, SIMULATION, SHADOW)
}
OWN_REPORTS: dict[str, Report] = {OWN_USAGE.name: OWN_USAGE}
"""What an account is told of itself."""
PAGE_ROWS = 200
"""On a page; files have all of them."""
PAGE_TIMEOUT_MS = 3_000
"""A page waits no longer on PostgreSQL: what takes more is made in the background."""
FILE_TIMEOUT_MS = 3_600_000
"""Of what people watch and can stop."""
MAX_VALUE_LENGTH = 200


def reports_of(scope: Scope) -> list[Report]:
    """The reports that somebody may have, in the order in which they are shown."""
    if scope.own:
        return list(OWN_REPORTS.values())
    return [x for x in REPORTS.values() if scope.path == "/" or not x.operators]


def report_named(name: str, scope: Scope) -> Report:
    """A report; InputRefused if there is none of that name."""
    for report in reports_of(scope):
        if report.name == name:
            return report
    raise InputRefused(f"there is no report {name[:40]!r}; `pbxbill reports list` shows them")


def may_have(actor: Actor, name: str) -> bool:
    """Whether somebody may have a report, and what was made of it: each has a permission of its own."""
    return any(x.name == name and actor.may(x.permission) for x in reports_of(actor.scope))


def parameters_of(report: Report, scope: Scope) -> list[str]:
    """Keys of the parameters that somebody is asked for."""
    return [x.key for x in report.parameters if scope.path == "/" or not x.operators]


def choices_of(parameter: Parameter, scope: Scope) -> tuple[tuple[str, str], ...]:
    """Choices of a parameter that somebody has: carriers are the operator's."""
    if scope.path == "/":
        return parameter.choices
    return tuple(x for x in parameter.choices if parameter.key != "group" or x[0] != "carrier")


def made(session: Session, report: Report, asked: Asked, *, timeout_ms: int = FILE_TIMEOUT_MS) -> Table:
    """Make a report; ParameterRefused names a parameter that cannot be, TooLarge asks for the background."""
    if asked.scope.own and report not in OWN_REPORTS.values():
        raise InputRefused("reports are for those who sell")
    check_values(report, asked)
    asked.making.begin(timeout_ms)
    with _limited(session, asked.making, timeout_ms):
        asked = in_books(session, asked)
        table = report.make(session, asked)
    if any(x.kind is ParameterKind.DAY for x in report.parameters) and not has_own_days(asked):
        return replace(table, notes=(*table.notes, OTHER_DAYS))
    return table


def check_values(report: Report, asked: Asked) -> None:
    """What can be said of parameters without looking anything up; ParameterRefused names the wrong one."""
    known = parameters_of(report, asked.scope)
    for key, value in asked.values.items():
        if value.strip() and key not in known:
            raise ParameterRefused(key, f"{report.name} has no such parameter")
        if len(value) > MAX_VALUE_LENGTH or "\x00" in value:
            raise ParameterRefused(key, f"up to {MAX_VALUE_LENGTH} characters")
    for parameter in report.parameters:
        if parameter.choices:
            choice_of(asked, parameter.key, parameter.choices)


@contextmanager
def _limited(session: Session, making: Making, timeout_ms: int) -> Iterator[None]:
    """End what takes longer, or is stopped."""
    connection = session.connection().connection.driver_connection
    by_itself = session.get_bind().dialect.name == "postgresql"
    if by_itself:
        session.execute(text(f"SET LOCAL statement_timeout = {int(timeout_ms)}"))
    try:
        with making.reading_by(connection, 0 if by_itself else timeout_ms):
            yield
    except DBAPIError as error:
        if "statement timeout" in str(error.orig):
            raise takes_long() from None
        raise


def page_of(session: Session, name: str, scope: Scope, values: Mapping[str, str], **named: object) -> Table:
    """A report for a page: its first rows, within a page's time. named: zone, now_us."""
    report = report_named(name, scope)
    asked = Asked(scope, values, limit=PAGE_ROWS, is_page=True, **named)  # type: ignore[arg-type]
    return made(session, report, asked, timeout_ms=PAGE_TIMEOUT_MS)


def operator_scope(session: Session) -> Scope:
    """The operator's, for the command line."""
    operator = session.query(AccountRow).filter_by(kind="operator").one()
    return Scope(operator.id, operator.path)
