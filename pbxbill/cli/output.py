"""How commands print: tables for people, JSON and CSV for programs, moments the same everywhere."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pbxbill.billing.period import day_start_us
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.sheet_guard import guarded

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WIDTH_WITHOUT_TERMINAL = 200
LONGEST_WORD = 40
"""A word with more characters is broken where the terminal is narrow."""
BETWEEN_COLUMNS = 3

LOCAL_DAY = "A date alone is that day of the account's time zone; with an hour: UTC unless it says otherwise."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def price_of(option: str, text: str) -> int:
    """The compiled price that an option was given; InputRefused names the option."""
    try:
        return compile_price(parse_decimal(text))
    except InputRefused as refused:
        raise InputRefused(f"{option}: {refused}") from None


def console() -> Console:
    """Where tables go; wide where no terminal would cut them."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(file=sys.stdout, width=width, highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: bool = False) -> Table:
    """A table; columns whose name starts with ">" are numbers and stand to the right.

    whole: there is room for every word as it is, so none is broken.
    """
    made = Table(title=title or None, box=SIMPLE_HEAD, title_justify="left")
    # What came from a caller must be shown, not obeyed: no markup, no control characters.
    printed = [[printable(cell) for cell in row] for row in rows]
    widths = _word_widths(columns, printed)
    for name, width in zip(columns, widths, strict=True):
        if name.startswith(">"):
            made.add_column(name[1:], justify="right", no_wrap=True)
        else:
            made.add_column(name, overflow="fold", min_width=width if whole else None)
    for row in printed:
        made.add_row(*row)
    return made


def _word_widths(columns: Sequence[str], printed: Sequence[Sequence[Any]]) -> list[int]:
    """The width that each column needs; numbers stay on their line, other cells break between words."""
    widths = []
    for at, name in enumerate(columns):
        cells = [name.removeprefix(">"), *(str(row[at]) for row in printed if at < len(row))]
        parts = cells if name.startswith(">") else [word for cell in cells for word in cell.split()]
        widths.append(min(LONGEST_WORD, max((len(part) for part in parts), default=0)))
    return widths


def printable(cell: Any) -> Any:
    """A cell as plain text."""
    from rich.text import Text

    if cell is None:
        return ""
    if isinstance(cell, Text):
        return cell
    return Text(visible(str(cell)))


def visible(text: str) -> str:
    """Text without control characters: what a caller sent must not reach the terminal as an order to it."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table to standard output; line by line where the terminal is too narrow for its columns."""
    printed = [[printable(cell) for cell in row] for row in rows]
    shown = console()
    needed = sum(_word_widths(columns, printed)) + BETWEEN_COLUMNS * (len(columns) + 1)
    if printed and shown.is_terminal and needed > shown.width:
        _print_lines(shown, title, columns, printed)
    else:
        shown.print(table(title, columns, printed, whole=shown.is_terminal))


def _print_lines(
    shown: Console, title: str, columns: Sequence[str], printed: Sequence[Sequence[Any]]
) -> None:
    """Each row as lines of a name and what stands there; what is empty is left out."""
    names = [name.removeprefix(">") for name in columns]
    width = max(len(name) for name in names)
    if title:
        shown.print(printable(title))
    for row in printed:
        shown.print()
        for at, (name, cell) in enumerate(zip(names, row, strict=False)):
            if name and str(cell):
                # A column without a name says more of the one before it: the unit of an amount.
                more = row[at + 1] if at + 1 < len(row) and not names[at + 1] else ""
                shown.print(f"{name:<{width}} ", cell, more, markup=False)


def print_json(content: Any) -> None:
    """Print an object for a program."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def warn(told: str) -> None:
    """Say what somebody should look at, where there is such a thing; the command has done its work."""
    if told:
        click.echo(f"warning: {visible(told)}", err=True)


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows for a spreadsheet."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if cell is None else harmless(str(cell)) for cell in row])


def harmless(cell: str) -> str:
    """A cell for a spreadsheet: without control characters, and shown where it begins like a formula."""
    return visible(guarded(cell))


def moment(at_us: int | None) -> str | None:
    """A moment in UTC, to the millisecond."""
    if at_us is None:
        return None
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_moment(text: str) -> int:
    """A moment that a person wrote, UTC unless it says otherwise."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputRefused(f"{text[:40]!r} is no date; write 2026-01-31 or 2026-01-31T08:00:00Z") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - _EPOCH) // timedelta(microseconds=1)


def local_moment(text: str, zone: str) -> int:
    """A moment that a person wrote: a date alone is the first moment of that day in a zone."""
    day = _day(text)
    return parse_moment(text) if day is None else day_start_us(day, zone)


def local_last_moment(text: str, zone: str) -> int:
    """Until when something holds: a date alone is the last moment of that day in a zone."""
    day = _day(text)
    if day is None:
        return parse_moment(text)
    if day == date.max:
        raise InputRefused(f"{day} is too far away")
    return day_start_us(day + timedelta(days=1), zone) - 1


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@contextmanager
def progress(what: str, counted: str, of: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar on standard error, told how many are done and of how many; nothing where no terminal shows it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    on_error = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(counted),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=on_error, transient=True, disable=not on_error.is_terminal) as bar:
        task = bar.add_task(what, total=of)

        def tell(done: int, of: int | None = None) -> None:
            bar.update(task, completed=done, total=of)

        yield tell


def seconds(duration_us: int, digits: int = 1) -> str:
    """A duration in seconds, cut off after some digits."""
    unit_us = SECOND_US // 10**digits
    whole, part = divmod(duration_us // unit_us, 10**digits)
    return f"{whole}.{part:0{digits}d}"


def minutes(duration_us: int) -> str:
    """A duration as H:MM:SS."""
    left_s = max(0, duration_us) // SECOND_US
    return f"{left_s // 3600}:{left_s // 60 % 60:02d}:{left_s % 60:02d}"
