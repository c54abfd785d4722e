"""reports: what was earned, used, owed and lost; on the screen, as files, made by themselves."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table, progress, warn
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import one_moment, reading, transaction

FORMATS = ("csv", "xlsx", "docx", "pdf", "html")
SHOWN_ROWS = 200


@click.group()
def reports() -> None:
    """Reports on calls, money and customers; those below a reseller as he sees them with --as."""


def _given(values: tuple[str, ...], named: dict[str, Any]) -> dict[str, str]:
    """Parameters: those with options of their own, and KEY=VALUE."""
    found = {key: str(value) for key, value in named.items() if value is not None}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputRefused(f"--set {text[:40]!r}: write KEY=VALUE")
        found[key.strip()] = value
    return found


def _scope(session: Session, code: str | None) -> Scope:
    from pbxbill.reports.catalogue import operator_scope

    if code is None:
        return operator_scope(session)
    account = account_by_code(session, code)
    if account.kind == "customer":
        raise InputRefused(f"{code} is a customer; reports are for those who sell")
    return Scope(account.id, account.path)


def _parameters(command: Any) -> Any:
    for option in (
        click.option("--set", "sets", multiple=True, help="KEY=VALUE: a filter, e.g. account=alice."),
        click.option("--group", help="By what rows are summed up; `reports list` shows it."),
        click.option("--as", "seller", help="As this reseller sees it; default: the operator."),
        click.option("--zone", default="UTC", show_default=True, help="In whose days, e.g. Europe/Paris."),
        click.option("--language", default="en", show_default=True, help="Of headings, figures and dates."),
    ):
        command = option(command)
    return command


@reports.command("list")
@json_option
@pass_context
def list_reports(_context: Context, /, *, as_json: bool) -> None:
    """List reports with what they can be asked for."""
    from pbxbill.reports.catalogue import REPORTS

    rows = []
    for report in REPORTS.values():
        groups = next((x.choices for x in report.parameters if x.key == "group"), ())
        keys = [x.key for x in report.parameters if x.key != "group"]
        rows.append((report.name, report.about, " ".join(keys), " ".join(name for name, _ in groups)))
    if as_json:
        names = ("report", "about", "parameters", "groups")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    print_table("", ("report", "about", "parameters", "by"), rows)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, or being told to end, stops what is made: no statement runs on in the database."""
    before = {
        number: signal.signal(number, lambda _number, _frame: stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@reports.command()
@click.argument("name")
@click.option("--from", "first", help="First day, e.g. 2026-01-01; default: of this month.")
@click.option("--to", "last", help="Last day; default: today.")
@_parameters
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Write a file of this kind.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="To this file; default: by name."
)
@json_option
@pass_context
def show(context: Context, /, name: str, **named: Any) -> None:
    """Show the report NAME, or write it to a file."""
    from pbxbill.reports.files import file_name, sheet_of
    from pbxbill.reports.making import Making
    from pbxbill.reports.reader import Reader
    from pbxbill.reports.rendering import columns_of, render, shown
    from pbxbill.reports.report import MAX_ROWS, Asked
    from pbxbill.reports.words import words

    days = {"from": named["first"], "to": named["last"], "group": named["group"]}
    values = _given(named["sets"], days)
    file_format = named["file_format"]
    limit = MAX_ROWS if file_format or named["as_json"] else SHOWN_ROWS
    with progress(name, "") as tell:
        making = Making(is_watched=True, listener=lambda far: tell(far.done, far.total or None))
        with _stopped_by_signals(making.stop):
            with (
                context.application() as application,
                transaction(one_moment(application.database)) as session,
            ):
                scope = _scope(session, named["seller"])
                asked = Asked(scope, values, named["zone"], context.clock.now_us(), limit, making)
                reader = Reader(words(named["language"]), named["language"])
                sheet, reader = sheet_of(session, name, asked, reader)
            content = render(sheet, file_format, reader) if file_format else b""
    if file_format:
        path = named["out"] or Path(file_name(sheet.report, values, asked, file_format))
        path.write_bytes(content)
        click.echo(f"{path}: {len(sheet.table.rows)} rows")
        return
    columns = columns_of(sheet.table)
    if named["as_json"]:
        print_json(
            {
                "rows": [{x.key: _told(row, x, reader) for x in columns} for row in sheet.table.rows],
                "totals": [{x.key: _told(row, x, reader) for x in columns} for row in sheet.table.totals],
            }
        )
        return
    title = f"{reader.translate(sheet.report.title)}: " + ", ".join(
        f"{reader.translate(label)} {value}" for label, value in sheet.facts
    )
    rows = [[shown(row, x, reader) for x in columns] for row in sheet.table.rows]
    for total in sheet.table.totals:
        line = [shown(total, x, reader) for x in columns]
        rows.append([line[0] or reader.translate("Total"), *line[1:]])
    right = {"money", "count", "seconds", "ppm"}
    headings = [(">" if x.kind.value in right else "") + reader.translate(x.heading) for x in columns]
    print_table(title, headings, rows)
    if sheet.table.is_cut:
        warn(f"only the first {limit} rows are shown: --format writes all of them")


def _told(row: Any, column: Any, reader: Any) -> Any:
    """A value for a program: amounts and moments as text, the rest as it is."""
    from pbxbill.listing.listing import ColumnKind
    from pbxbill.money import format_amount

    value = row.get(column.key)
    if value is None:
        return None
    if column.kind is ColumnKind.MONEY:
        unit = reader.units.get(row.get(column.unit) or "")
        return None if unit is None else format_amount(value, unit)
    if column.kind in (ColumnKind.DAY, ColumnKind.MOMENT):
        at = reader.at(value)
        return at.date().isoformat() if column.kind is ColumnKind.DAY else at.isoformat()
    return value


@reports.command()
@click.option("--as", "seller", help="Of this reseller; default: the operator's.")
@json_option
@pass_context
def runs(context: Context, /, *, seller: str | None, as_json: bool) -> None:
    """List reports that were made in the background, or wait for it."""
    from pbxbill.reports.runs import runs_of, state_of, why

    names = ("id", "report", "format", "state", "done", "file", "asked", "by", "error")
    now_us = context.clock.now_us()
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = [
            (
                x.id, x.report, x.format, state_of(x, now_us), _done(x), x.file_name,
                moment(x.asked_us), x.by, why(x),
            )
            for x in runs_of(session, _scope(session, seller))
        ]  # fmt: skip
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    print_table("", names, rows)


def _done(run: Any) -> str:
    """How much of one is made, and of what."""
    from pbxbill.reports.runs import how_far

    far = how_far(run)
    if far is None:
        return ""
    return f"{far.stage} {far.done} of {far.total}" if far.total else str(far.stage)


@reports.command()
@click.argument("run_id", type=int)
@pass_context
def stop(context: Context, /, run_id: int) -> None:
    """Stop the report RUN_ID, which is made in the background or waits for it."""
    from pbxbill.reports.runs import ask_to_stop
    from pbxbill.store.report_models import ReportRunRow

    with context.application() as application, transaction(application.database) as session:
        if session.get(ReportRunRow, run_id) is None:
            raise InputRefused(f"there is no report {run_id}; `pbxbill reports runs` shows them")
        state = ask_to_stop(session, run_id, context.clock.now_us()).state
    click.echo(f"report {run_id}: {state}")


@reports.group()
def schedule() -> None:
    """Reports that make themselves and are sent by mail."""


@schedule.command("add")
@click.argument("report")
@click.option("--name", help="What it is called; default: as the report.")
@click.option(
    "--every", type=click.Choice(("day", "week", "month")), required=True, help="Of which the last."
)
@click.option("--format", "file_format", type=click.Choice(FORMATS), default="xlsx", show_default=True)
@click.option(
    "--mail", "emails", multiple=True, required=True, help="Where it is sent; several times if need be."
)
@click.option("--at", "at", default="06:00", show_default=True, help="From this time of the day after on.")
@_parameters
@click.option("--by", default="", help="Who wants it; kept with it.")
@pass_context
def add(context: Context, /, report: str, **named: Any) -> None:
    """Have REPORT made of every whole day, week (from Monday) or month, and sent."""
    from pbxbill.reports.schedules import NewSchedule, add_schedule

    hour, _, minute = named["at"].partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
        raise InputRefused(f"--at {named['at'][:20]!r}: write HH:MM")
    new = NewSchedule(
        name=named["name"] or report,
        report=report,
        every=named["every"],
        format=named["file_format"],
        emails=named["emails"],
        values=_given(named["sets"], {"group": named["group"]}),
        zone=named["zone"],
        language=named["language"],
        minute=int(hour) * 60 + int(minute),
        by=named["by"],
    )
    with context.application() as application, transaction(application.database) as session:
        row = add_schedule(session, _scope(session, named["seller"]), new, context.clock.now_us())
    click.echo(f"schedule {row.id}")


@schedule.command("list")
@click.option("--as", "seller", help="Of this reseller; default: the operator's.")
@json_option
@pass_context
def list_schedules(context: Context, /, *, seller: str | None, as_json: bool) -> None:
    """List schedules."""
    from pbxbill.reports.schedules import schedules_of

    names = ("id", "name", "report", "every", "format", "mail", "on", "last made")
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = [
            (
                x.id, x.name, x.report, x.every, x.format, x.emails.replace("\n", " "),
                "yes" if x.enabled else "no", x.last_day,
            )
            for x in schedules_of(session, _scope(session, seller))
        ]  # fmt: skip
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    print_table("", names, rows)


@schedule.command("remove")
@click.argument("schedule_id", type=int)
@pass_context
def remove(context: Context, /, schedule_id: int) -> None:
    """Remove a schedule; what it made stays as long as it is kept."""
    from pbxbill.store.report_models import ReportScheduleRow

    with context.application() as application, transaction(application.database) as session:
        row = session.get(ReportScheduleRow, schedule_id)
        if row is None:
            raise InputRefused(f"there is no schedule {schedule_id}")
        session.delete(row)
    click.echo(f"schedule {schedule_id} removed")


@reports.command()
@pass_context
def rebuild(context: Context, /) -> None:
    """Make all roll-ups again from the call records; reports stay right meanwhile."""
    from pbxbill.reports.rollups import rebuild as rebuild_all

    with (
        context.application() as application,
        progress("Rolling up", "hours") as tell,
    ):
        rebuild_all(application.database, context.clock.now_us(), tell=tell)
    click.echo("rolled up")


@reports.command()
@pass_context
def check(context: Context, /) -> None:
    """Count all calls again against the roll-ups; what differs is made again."""
    from pbxbill.reports.rollups import check_counts, roll_up

    with context.application() as application:
        now_us = context.clock.now_us()
        wrong = check_counts(application.database, now_us, always=True)
        done = roll_up(application.database, now_us)
    click.echo(f"{wrong} hours lacked calls; {done.hours} hours rolled up")


COMMANDS = (reports,)
