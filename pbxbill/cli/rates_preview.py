"""What an import would change, shown before it does: counts, the first prefixes of each kind, all as CSV."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, TypeAlias

import click

from pbxbill.cli.output import harmless, moment, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, to_decimal
from pbxbill.rating.deck_change import Change, Finding, PrefixChange
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms
from pbxbill.store.calendars import BandUse

Kind: TypeAlias = Change | Finding

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
_COLUMNS = ("prefix", "destination", "change", "notes", "price_before", "price_after")
_MORE_COLUMNS = (
    "increments_before",
    "increments_after",
    "effective_from",
    "effective_to",
    "sold_at",
    "in_turn",
)


class Preview:
    """Counts what passes and keeps the first of each kind; used as a context while a report is written."""

    def __init__(self, first: int, report: Path | None) -> None:
        self._first = first
        self._path = report
        self._stream: TextIO | None = None
        self.counts: Counter[Kind] = Counter()
        self.samples: dict[Kind, list[PrefixChange]] = {kind: [] for kind in TITLES}
        self.use = BandUse()

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._stream = self._path.open("w", encoding="utf-8", newline="")
            except OSError as error:
                raise InputRefused(f"the report {self._path} cannot be written: {error.strerror}") from None
            self._writer = csv.writer(self._stream, lineterminator="\n")
            self._writer.writerow((*_COLUMNS, *_MORE_COLUMNS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def add(self, change: PrefixChange) -> None:
        """Note one prefix."""
        if change.before is not None or change.after is not None:
            self._note(change.change, change)
        for finding in change.findings:
            self._note(finding, change)
        self.use.note(rate.terms for rate in change.rates)
        if self._stream is not None:
            shown = _facts(change)
            self._writer.writerow([harmless(str(shown[name] or "")) for name in (*_COLUMNS, *_MORE_COLUMNS)])

    def _note(self, kind: Kind, change: PrefixChange) -> None:
        self.counts[kind] += 1
        if len(self.samples[kind]) < self._first:
            self.samples[kind].append(change)

    def show(self, unit: str) -> None:
        """Print it for a person."""
        for kind, title in TITLES.items():
            count = self.counts[kind]
            if not count or not self.samples[kind]:
                continue
            rows = [_facts(change) for change in self.samples[kind]]
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
        click.echo(self.summary())

    def summary(self) -> str:
        """The counts in one line."""
        said = [f"{self.counts[change]} {change.value}" for change in Change]
        said += [f"{self.counts[x]} {x.value.replace('_', ' ')}" for x in Finding if self.counts[x]]
        return ", ".join(said)

    def facts(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "counts": {kind.value: self.counts[kind] for kind in TITLES},
            "first": {
                kind.value: [_facts(change) for change in samples]
                for kind, samples in self.samples.items()
                if samples
            },
        }


def price_text(rate: Rate) -> str:
    """The prices of a rate: its own, those of its bands, its steps, its fee and its limits."""
    terms = rate.terms or RateTerms()
    own = BandPrice(*rate[3:9], terms.steps)
    said = [] if terms.banded_only else _band_texts("", own)
    for name, price in terms.bands:
        said += _band_texts(f"{name} ", price)
    if terms.maximum_charge is not None:
        said.append(f"at most {_plain(terms.maximum_charge)}")
    return ", ".join(said)


def _band_texts(band: str, price: BandPrice) -> list[str]:
    said = [f"{band}{_plain(price.price_per_min)}"]
    said += [f"{band}from {step.from_s} s {_plain(step.price_per_min)}" for step in price.steps]
    if price.connection_fee:
        said.append(f"{band}fee {_plain(price.connection_fee)}")
    if price.minimum_charge:
        said.append(f"{band}at least {_plain(price.minimum_charge)}")
    return said


def _plain(price: int) -> str:
    return f"{to_decimal(price, PRICE_SCALE).normalize():f}"


def _in_turn(rates: Sequence[Rate]) -> str | None:
    """The prices that count one after the other, where they are several."""
    said = []
    for at, rate in enumerate(rates):
        begins = f" from {moment(rate.effective_from_us)}" if rate.effective_from_us is not None else ""
        ends_us = rate.effective_to_us
        goes_on = at + 1 < len(rates) and rates[at + 1].effective_from_us == ends_us
        ends = "" if ends_us is None or goes_on else f" until {moment(ends_us)}"
        said.append(f"{price_text(rate)}{begins}{ends}")
    return "; then ".join(said) if len(said) > 1 else None


def _facts(change: PrefixChange) -> dict[str, Any]:
    before, after, sale = change.before, change.after, change.sale

    def priced(rate: Rate | None) -> str | None:
        if rate is None:
            return None
        by = "" if rate.prefix == change.prefix else f" (by {rate.prefix or '*'})"
        return price_text(rate) + by

    def increments(rate: Rate | None) -> str | None:
        return None if rate is None else f"{rate.initial_increment_s}/{rate.following_increment_s}"

    return {
        "prefix": change.prefix or "*",
        "destination": change.shown.destination,
        "change": change.change.value if before is not None or after is not None else "",
        "notes": ", ".join(finding.value for finding in change.findings),
        "price_before": priced(before),
        "price_after": priced(after),
        "increments_before": increments(before),
        "increments_after": increments(after),
        "effective_from": moment(after.effective_from_us) if after else None,
        "effective_to": moment(after.effective_to_us) if after else None,
        "sold_at": priced(sale),
        "in_turn": _in_turn(change.rates),
    }
