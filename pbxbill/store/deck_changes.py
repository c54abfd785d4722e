"""What an import of rates would change, noted prefix by prefix before it does.

Counts, the first of each kind, the prices that rise most; every prefix goes into a report, too, where one is
asked for, as CSV.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappush, heapreplace
from typing import Any, TextIO, TypeAlias

from pbxbill.rating.deck_change import Change, Finding, PrefixChange
from pbxbill.rating.rate_comparison import dearest_price
from pbxbill.rating.rate_text import price_text
from pbxbill.rating.sheet_guard import guarded
from pbxbill.rating.tariff import PPM, Rate
from pbxbill.store.calendars import BandUse

Kind: TypeAlias = Change | Finding
COLUMNS = (
    *("prefix", "destination", "change", "notes", "price_before", "price_after", "increments_before"),
    *("increments_after", "effective_from", "effective_to", "sold_at", "in_turn"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DeckChanges:
    """Counts what passes and keeps the first of each kind."""

    def __init__(
        self, first: int, report: TextIO | None = None, *, steep_ppm: int | None = None, whole: bool = True
    ) -> None:
        self._first = first
        self._writer = None if report is None else csv.writer(report, lineterminator="\n")
        self._whole = whole  # a report of every prefix, or only of those that change
        self._steep_ppm = steep_ppm
        self._steepest: list[tuple[int, int, PrefixChange]] = []
        self.counts: Counter[Kind] = Counter()
        self.samples: dict[Kind, list[PrefixChange]] = {kind: [] for kind in (*Change, *Finding)}
        self.use = BandUse()
        self.steep_count = 0
        """Prices that rise by more than steep_ppm millionths."""
        if self._writer is not None:
            self._writer.writerow(COLUMNS)

    def add(self, change: PrefixChange) -> None:
        """Note one prefix."""
        if change.before is not None or change.after is not None:
            self._note(change.change, change)
        for finding in change.findings:
            self._note(finding, change)
        self._note_rise(change)
        self.use.note(rate.terms for rate in change.rates)
        if self._writer is not None and (self._whole or change.change is not Change.UNCHANGED):
            shown = change_facts(change)
            self._writer.writerow([_harmless(str(shown[name] or "")) for name in COLUMNS])

    def _note(self, kind: Kind, change: PrefixChange) -> None:
        self.counts[kind] += 1
        if len(self.samples[kind]) < self._first:
            self.samples[kind].append(change)

    def _note_rise(self, change: PrefixChange) -> None:
        if self._steep_ppm is None or change.before is None or change.after is None:
            return
        before, after = dearest_price(change.before), dearest_price(change.after)
        # What was free and costs something now has no percentage: it stands before all others.
        rise_ppm = (after - before) * PPM // before if before else (10**15 if after else 0)
        if rise_ppm <= self._steep_ppm:
            return
        self.steep_count += 1
        entry = (rise_ppm, -self.steep_count, change)
        if len(self._steepest) < self._first:
            heappush(self._steepest, entry)
        elif entry > self._steepest[0]:
            heapreplace(self._steepest, entry)

    def steepest(self) -> list[tuple[int, PrefixChange]]:
        """The prefixes whose prices rise most, with by how many millionths."""
        return [(ppm, change) for ppm, _, change in sorted(self._steepest, reverse=True)]

    def summary(self) -> str:
        """The counts in one line."""
        said = [f"{self.counts[change]} {change.value}" for change in Change]
        said += [f"{self.counts[x]} {x.value.replace('_', ' ')}" for x in Finding if self.counts[x]]
        return ", ".join(said)

    def facts(self) -> dict[str, Any]:
        """All of it for a program."""
        facts: dict[str, Any] = {
            "counts": {kind.value: self.counts[kind] for kind in self.samples},
            "first": {
                kind.value: [change_facts(change) for change in samples]
                for kind, samples in self.samples.items()
                if samples
            },
        }
        if self._steep_ppm is not None:
            steepest = [change_facts(change) | {"rise_ppm": ppm} for ppm, change in self.steepest()]
            facts |= {"steep_ppm": self._steep_ppm, "steep": self.steep_count, "steepest": steepest}
        return facts


def change_facts(change: PrefixChange) -> dict[str, Any]:
    """One prefix as people read it."""
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
        "effective_from": _moment(after.effective_from_us) if after else None,
        "effective_to": _moment(after.effective_to_us) if after else None,
        "sold_at": priced(sale),
        "in_turn": _in_turn(change.rates),
    }


def _in_turn(rates: Sequence[Rate]) -> str | None:
    """The prices that count one after the other, where they are several."""
    said = []
    for at, rate in enumerate(rates):
        begins = f" from {_moment(rate.effective_from_us)}" if rate.effective_from_us is not None else ""
        ends_us = rate.effective_to_us
        goes_on = at + 1 < len(rates) and rates[at + 1].effective_from_us == ends_us
        ends = "" if ends_us is None or goes_on else f" until {_moment(ends_us)}"
        said.append(f"{price_text(rate)}{begins}{ends}")
    return "; then ".join(said) if len(said) > 1 else None


def _moment(at_us: int | None) -> str | None:
    if at_us is None:
        return None
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _harmless(cell: str) -> str:
    return "".join(x if x.isprintable() or x == "\n" else "\ufffd" for x in guarded(cell))
