"""Hands an issuer's books to accounting programs: as CSV, or as Beancount text, line by line.

Beancount text begins with what each account held, as an entry of its own, and ends with balance assertions:
who loads it sees that nothing was lost on the way. Amounts are exact decimals, days the issuer's.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pbxbill.billing.books.chart import CHART
from pbxbill.billing.books.exported_journal import ExportedEntry, exported_entries
from pbxbill.billing.books.trial_balance import LedgerSum, ledger_sums
from pbxbill.billing.period import Period, day_start_us, local_date
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit, format_amount, to_decimal
from pbxbill.rating.sheet_guard import guarded
from pbxbill.store.driver import Driver

COLUMNS = {
    "date": "the day in the issuer's zone",
    "moment": "in UTC",
    "entry": "id of the journal entry; its postings share it",
    "kind": "usage, charge, invoice, payment, earned ...",
    "account": "code of the account that it is about; of a wallet's posting, its holder",
    "ledger_account": "of the chart: pbxbill books accounts",
    "debit": "or empty",
    "credit": "or empty",
    "unit": "what both count",
    "document": "number of the invoice or note that it belongs to",
    "entries": "how many entries it stands for: more than 1 where usage is summed up by day",
    "memo": "what it is for",
}
"""Of the CSV."""
_ILLEGAL = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Exported:
    """Whose books are exported, and which days of them."""

    issuer_id: int
    issuer: str
    """Account code."""
    zone: str
    first: date
    last: date
    by_day: bool = False
    """Usage is summed up by day."""

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InputRefused(f"the last day, {self.last}, lies before the first, {self.first}")

    @property
    def period(self) -> Period:
        """All of these days."""
        after = self.last + timedelta(days=1)
        return Period(day_start_us(self.first, self.zone), day_start_us(after, self.zone))


def first_day(driver: Driver, issuer_id: int, zone: str) -> date | None:
    """Of the first entry in an issuer's books; None: they are empty."""
    ((at_us,),) = driver.select(
        "SELECT MIN(e.at_us) FROM journal_entries e JOIN postings p ON p.entry_id = e.id "  # noqa: S608
        "JOIN ledger_accounts l ON l.id = p.ledger_account_id "
        f"WHERE l.issuer_id = {int(issuer_id)}"
    )
    return None if at_us is None else local_date(at_us, zone)


def csv_lines(driver: Driver, exported: Exported, units: Mapping[str, Unit]) -> Iterator[str]:
    """A line for each posting; within a snapshot of the caller's."""
    yield _row(COLUMNS)
    for entry in _journal(driver, exported):
        unit = units[entry.unit]
        for leg in entry.legs:
            amount = format_amount(abs(leg.amount), unit)
            debit, credit = (amount, "") if leg.amount >= 0 else ("", amount)
            yield _row(
                (
                    str(entry.day),
                    _moment(entry.at_us),
                    entry.id,
                    entry.kind,
                    leg.holder or entry.account,
                    leg.code.value,
                    debit,
                    credit,
                    entry.unit,
                    entry.document,
                    str(entry.count),
                    entry.memo,
                )
            )


def beancount_lines(driver: Driver, exported: Exported, names: Mapping[str, str]) -> Iterator[str]:
    """Text that bean-check accepts, directive by directive; within a snapshot of the caller's.

    names: what units are called, by their codes.
    """
    period = exported.period
    sums = [
        x
        for x in ledger_sums(driver, from_us=period.from_us, to_us=period.to_us, issuer_id=exported.issuer_id)
        if not x.holder_id or x.opening or x.debit or x.credit
    ]
    units = {x.unit.code: x.unit for x in sums}
    yield f'option "title" {_text(f"Books of {exported.issuer}")}\n'
    for code in units:
        yield f'option "operating_currency" "{commodity(code)}"\n'
    yield "\n"
    for code in units:
        yield f"{exported.first} commodity {commodity(code)}\n  name: {_text(names.get(code) or code)}\n"
    yield from _opened(exported, sums)
    yield from _openings(exported, sums)
    for entry in _journal(driver, exported):
        yield _transaction(entry, units[entry.unit])
    yield "\n"
    for x in sums:
        amount = _amount(x.at(end=True), x.unit)
        yield f"{exported.last + timedelta(days=1)} balance {_name(x)}  {amount[0]} ~ 0 {amount[1]}\n"


def _journal(driver: Driver, exported: Exported) -> Iterator[ExportedEntry]:
    return exported_entries(
        driver, exported.issuer_id, exported.period, exported.zone, by_day=exported.by_day
    )


def _opened(exported: Exported, sums: Iterable[LedgerSum]) -> Iterator[str]:
    opened: dict[str, LedgerSum] = {}
    for x in sums:
        opened.setdefault(_name(x), x)
    for name, x in opened.items():
        holder = f"  account: {_text(x.holder)}\n" if x.holder else ""
        yield f"{exported.first} open {name}\n  code: {_text(x.code.value)}\n{holder}"


def _openings(exported: Exported, sums: Iterable[LedgerSum]) -> Iterator[str]:
    """What was there before; it balances by itself."""
    held = [x for x in sums if x.opening]
    if held:
        yield f'\n{exported.first} * "Opening balances"\n  kind: "opening"\n'
        for x in held:
            yield f"  {_name(x)}  {' '.join(_amount(x.opening, x.unit))}\n"


def _transaction(entry: ExportedEntry, unit: Unit) -> str:
    payee = f"{_text(entry.account)} " if entry.account else ""
    facts = {
        "entry": entry.id,
        "kind": entry.kind,
        "account": entry.account,
        "document": entry.document,
        "moment": _moment(entry.at_us),
        "entries": str(entry.count) if entry.count > 1 else "",
    }
    lines = [f"\n{entry.day} * {payee}{_text(entry.memo or entry.kind)}"]
    lines += [f"  {key}: {_text(value)}" for key, value in facts.items() if value]
    for leg in entry.legs:
        name = account_name(leg.code, leg.holder_id, leg.holder)
        lines.append(f"  {name}  {' '.join(_amount(leg.amount, unit))}")
    return "\n".join([*lines, ""])


def account_name(code: LedgerCode, holder_id: int, holder: str) -> str:
    """A legal name for Beancount; the number keeps apart what looks alike without its other characters."""
    if not holder_id:
        return CHART[code].name
    plain = _ILLEGAL.sub("-", holder).strip("-")
    return f"{CHART[code].name}:{holder_id}{f'-{plain}' if plain else ''}"


def _name(x: LedgerSum) -> str:
    return account_name(x.code, x.holder_id, x.holder)


def commodity(unit: str) -> str:
    """A unit's code as Beancount takes it: it begins with a letter."""
    return unit if unit[:1].isalpha() else f"X-{unit}"


def _amount(amount: int, unit: Unit) -> tuple[str, str]:
    return f"{to_decimal(amount, unit.scale):f}", commodity(unit.code)


def _text(text: str) -> str:
    plain = "".join(x if x.isprintable() else "\ufffd" for x in text)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _moment(at_us: int) -> str:
    whole, part = divmod(at_us, SECOND_US)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{part:06d}Z"


def _row(cells: Iterable[str]) -> str:
    out = io.StringIO()
    safe = ("".join(x if x.isprintable() else "\ufffd" for x in cell) for cell in cells)
    csv.writer(out, lineterminator="\n").writerow([guarded(cell) for cell in safe])
    return out.getvalue()
