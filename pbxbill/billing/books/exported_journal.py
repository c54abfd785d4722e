"""An issuer's journal for a time, entry by entry, as it is handed to an accountant: in bounded memory.

What calls, messages and data cost may be summed up by local days: one entry for each day and unit then stands
for all of them, with one posting for each account that they moved.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from pbxbill.billing.period import Period, day_start_us, local_date
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.driver import Driver

SUMMED_UP = frozenset({"usage", "volume"})
"""Kinds of entries of which there may be one for every call."""


class Leg(NamedTuple):
    """A posting; debit above zero."""

    code: LedgerCode
    holder_id: int
    holder: str
    """Account code, where it is a wallet."""
    amount: int


@dataclass(frozen=True, slots=True)
class ExportedEntry:
    """An entry, or all usage of a day."""

    id: str
    at_us: int
    day: date
    """In the issuer's zone."""
    kind: str
    unit: str
    memo: str
    account: str
    """Code of the account that it is about; empty: many."""
    document: str
    """Number of the invoice, note or receipt that it belongs to."""
    count: int
    """How many entries it stands for."""
    legs: tuple[Leg, ...]


_JOURNAL = (
    "SELECT e.id, e.at_us, e.kind, e.unit, e.memo, COALESCE(d.number, x.number, g.number, ''), "
    "COALESCE(f.many, 1), COALESCE(o.code, ''), l.code, l.holder_id, COALESCE(h.code, ''), p.amount "
    "FROM journal_entries e JOIN postings p ON p.entry_id = e.id "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.issuer_id = {issuer_id} "
    "LEFT JOIN accounts h ON h.id = l.holder_id "
    # The document that it issued, or that it is on, or that it paid.
    "LEFT JOIN invoices d ON d.entry_id = e.id "
    "LEFT JOIN invoice_entries i ON i.entry_id = e.id LEFT JOIN invoices x ON x.id = i.invoice_id "
    "LEFT JOIN (SELECT entry_id, MIN(invoice_id) AS invoice_id, COUNT(DISTINCT invoice_id) AS many "
    "FROM allocations GROUP BY entry_id) f ON f.entry_id = e.id AND d.id IS NULL "
    "LEFT JOIN invoices g ON g.id = f.invoice_id "
    "LEFT JOIN accounts o ON o.id = COALESCE(d.account_id, g.account_id) "
    "WHERE e.at_us >= {from_us} AND e.at_us < {to_us} ORDER BY e.at_us, e.id, p.line"
)


def exported_entries(
    driver: Driver, issuer_id: int, period: Period, zone: str, *, by_day: bool = False
) -> Iterator[ExportedEntry]:
    """Entries in the order of their moments; within a snapshot of the caller's, who asks nothing else."""
    statement = _JOURNAL.format(
        issuer_id=int(issuer_id), from_us=int(period.from_us), to_us=int(period.to_us)
    )
    entries = _entries(driver, statement, _Days(zone))
    return _summed_up(entries) if by_day else entries


class _Days:
    """The local day of moments that grow."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._day = date.min
        self._ends_us = 0

    def day_of(self, at_us: int) -> date:
        if at_us >= self._ends_us:
            self._day = local_date(at_us, self._zone)
            self._ends_us = day_start_us(self._day + timedelta(days=1), self._zone)
        return self._day


def _entries(driver: Driver, statement: str, days: _Days) -> Iterator[ExportedEntry]:
    for (id, at_us), found in groupby(driver.stream(statement), key=lambda row: (row[0], row[1])):
        rows = list(found)
        kind, unit, memo, number, many, owner = rows[0][2:8]
        legs = tuple(_leg(row) for row in rows)
        holder = next((leg.holder for leg in legs if leg.holder), "")
        more = f" and {many - 1} more" if many > 1 else ""
        yield ExportedEntry(
            id, at_us, days.day_of(at_us), kind, unit, memo, holder or owner, f"{number}{more}", 1, legs
        )


def _leg(row: tuple[Any, ...]) -> Leg:
    code, holder_id, holder, amount = row[8:]
    return Leg(LedgerCode(code), holder_id, holder, amount)


class _Sums:
    """Usage of one day, by unit and account."""

    def __init__(self) -> None:
        self._last: dict[str, ExportedEntry] = {}
        self._counts: dict[str, int] = {}
        self._legs: dict[str, dict[tuple[LedgerCode, int, str], int]] = {}

    def add(self, entry: ExportedEntry) -> None:
        unit = entry.unit
        self._last[unit] = entry
        self._counts[unit] = self._counts.get(unit, 0) + entry.count
        legs = self._legs.setdefault(unit, {})
        for code, holder_id, holder, amount in entry.legs:
            key = code, holder_id, holder
            legs[key] = legs.get(key, 0) + amount

    def told(self) -> Iterator[ExportedEntry]:
        for unit, last in self._last.items():
            count = self._counts[unit]
            legs = tuple(Leg(*key, amount) for key, amount in self._legs[unit].items() if amount)
            memo = f"usage of {last.day}: {count} {'entry' if count == 1 else 'entries'}"
            id = f"usage-{last.day}-{unit}"
            yield ExportedEntry(id, last.at_us, last.day, "usage", unit, memo, "", "", count, legs)


def _summed_up(entries: Iterator[ExportedEntry]) -> Iterator[ExportedEntry]:
    """Other entries of a day come before its usage."""
    for _, of_day in groupby(entries, key=lambda entry: entry.day):
        sums = _Sums()
        for entry in of_day:
            if entry.kind in SUMMED_UP:
                sums.add(entry)
            else:
                yield entry
        yield from sums.told()
