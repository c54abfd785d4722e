"""What an import would change, shown before it does: counts, the first prefixes of each kind, all as CSV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pbxbill.cli.output import print_table
from pbxbill.errors import InputRefused
from pbxbill.rating.deck_change import Change, Finding
from pbxbill.store.deck_changes import DeckChanges, Kind, change_facts

TITLES: dict[Kind, str] = {
    Change.NEW: "new prefixes",
    Change.RAISED: "raised prices",
    Change.LOWERED: "lowered prices",
    Change.ENDED: "ended prefixes",
    Change.UNCHANGED: "unchanged",
    Finding.GAP: "gaps: had a rate and would have none",
    Finding.DEARER_BY_PREFIX: "dearer than by the prefix that counted before, or counts after",
    Finding.SHORT_NOTICE: "dearer before the notice is over",
    Finding.DELAYED: "increases that wait for the end of the notice",
    Finding.CARRIED: "old prices that go on until the new row begins",
    Finding.FOLLOWED: "prices that follow each other: each counts until the next begins, or to its own end",
    Finding.RENAMED: "renamed destinations",
    Finding.BELOW_COST: "sold below cost",
    Finding.SUSPICIOUS: "suspiciously high prices",
    Finding.SUSPICIOUS_DATE: "suspicious dates: more than five years from now",
}


@contextmanager
def noted_changes(first: int, report: Path | None) -> Iterator[DeckChanges]:
    """What notes them, and writes every prefix into a report if one is asked for."""
    if report is None:
        yield DeckChanges(first)
        return
    try:
        stream = report.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise InputRefused(f"the report {report} cannot be written: {error.strerror}") from None
    with stream:
        yield DeckChanges(first, stream)


def show_changes(changes: DeckChanges, unit: str) -> None:
    """Print them for a person."""
    for kind, title in TITLES.items():
        count = changes.counts[kind]
        if not count or not changes.samples[kind]:
            continue
        rows = [change_facts(change) for change in changes.samples[kind]]
        more = f", the first {len(rows)}" if count > len(rows) else ""
        titles = ["Prefix", "Destination", f">{unit} before", f">{unit} after", "From"]
        names = ["prefix", "destination", "price_before", "price_after", "effective_from"]
        if kind is Finding.BELOW_COST:
            titles, names = (
                [*titles[:2], f">{unit} cost", f">{unit} sold at"],
                [*names[:2], "price_after", "sold_at"],
            )
        elif kind is Finding.FOLLOWED:
            titles, names = [*titles[:2], f"{unit} in turn"], [*names[:2], "in_turn"]
        print_table(f"{title}: {count}{more}", titles, ([row[name] for name in names] for row in rows))
    click.echo(changes.summary())
