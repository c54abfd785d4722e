"""calendars: which hours, days and holidays belong to which time band."""

from pathlib import Path
from typing import Any

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.rating.bands import BandRule
from pbxbill.rating.calendar_text import WEEKDAYS, calendar_from_toml
from pbxbill.store.calendars import (
    calendar_by_name,
    calendar_of,
    set_calendar,
    tariffs_of_older_versions,
)
from pbxbill.store.calendars import calendars as all_calendars
from pbxbill.store.engine import reading, transaction


@click.group()
def calendars() -> None:
    """Calendars of time bands (day, night, weekend, holiday), which tariffs name."""


@calendars.command("set")
@click.argument("name")
@click.option(
    "--file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML."
)
@pass_context
def set_(context: Context, name: str, file: Path) -> None:
    """Make a calendar, or the next version of one, from a TOML file."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputRefused(f"{file} cannot be read: {error}") from None
    now_us = context.clock.now_us()
    try:
        calendar = calendar_from_toml(text, name=name)
    except InputRefused as refusal:
        raise InputRefused(f"{file}: {refusal}") from None
    with context.application() as application, transaction(application.database) as session:
        row = set_calendar(session, calendar, now_us)
        behind = tariffs_of_older_versions(session, row)
    click.echo(
        f"calendar {name} has version {row.number}: {len(calendar.rules)} rules, "
        f"{len(calendar.holidays)} holidays"
    )
    if behind:
        named = ", ".join(behind)
        click.echo(
            "these tariffs go on with its version before, until "
            f"`pbxbill tariffs set TARIFF --calendar {name}`: {named}"
        )


@calendars.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List calendars with all their versions."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = all_calendars(session)
    shown = []
    for row in rows:
        calendar = calendar_of(row)
        bands = ", ".join(dict.fromkeys(rule.band for rule in calendar.rules))
        shown.append(
            {
                "calendar": row.name,
                "version": row.number,
                "zone": calendar.zone,
                "bands": bands,
                "made": moment(row.created_us),
            }
        )
    if as_json:
        print_json(shown)
        return
    print_table("", ("Calendar", ">Version", "Zone", "Bands", "Made"), (list(x.values()) for x in shown))


@calendars.command("show")
@click.argument("name")
@json_option
@pass_context
def show(context: Context, name: str, as_json: bool) -> None:
    """Show the newest version of a calendar."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = calendar_by_name(session, name)
    calendar = calendar_of(row)
    rules = [_rule(rule) for rule in calendar.rules]
    holidays = sorted(calendar.holidays)
    if as_json:
        print_json(
            {
                "calendar": name,
                "version": row.number,
                "zone": calendar.zone,
                "rules": rules,
                "holidays": holidays,
            }
        )
        return
    titles = ("Band", "Days", "From", "To", "Dates", "Holidays", ">Priority")
    print_table(f"{name}, version {row.number}, {calendar.zone}", titles, (list(x.values()) for x in rules))
    if holidays:
        click.echo(f"{len(holidays)} holidays from {holidays[0]} to {holidays[-1]}")


def _rule(rule: BandRule) -> dict[str, Any]:
    return {
        "band": rule.band,
        "days": " ".join(WEEKDAYS[day] for day in sorted(rule.weekdays)),
        "from": _time(rule.from_s),
        "to": _time(rule.to_s),
        "dates": " ".join(rule.dates),
        "holidays": "yes" if rule.holidays else "",
        "priority": rule.priority,
    }


def _time(second: int) -> str:
    text = f"{second // 3600:02d}:{second // 60 % 60:02d}"
    return f"{text}:{second % 60:02d}" if second % 60 else text


COMMANDS = (calendars,)
