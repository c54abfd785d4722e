"""What an account is to be invoiced for: what its wallet gave and no invoice shows, and charges to ask for.

An invoice takes journal entries, not days: all that the wallet gave for before the period's end and that is
on no invoice. So a record that comes late is on the next invoice, and nothing is lost or on two. Entries' ids
grow with time, and `gathered` says up to which one all are on invoices: older ones are not looked at again.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.gathered_corrections import corrections_of, taken_ppm
from pbxbill.billing.invoices.gathered_items import (
    GatheredCharge,
    GatheredItem,
    charges_of_entries,
    charges_to_ask_for,
    readings_of,
)
from pbxbill.billing.invoices.usage_class import Known, classes_of, measures_of
from pbxbill.billing.period import Period
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.driver import Driver, driver_within, is_in, row_lock, rows_within

PAGE = 5_000
"""Entries that are looked at together."""

MARGIN_MS = 86_400_000
"""An entry may become visible this long after one with a later id."""

CHARGED = (
    "(e.kind IN ('usage', 'volume', 'correction', 'charge') OR (e.kind = 'adjustment' AND p.amount > 0))"
)
"""Entries that a wallet gave for: p is the posting on it. What fills it is no line of an invoice."""

_GATHERED_TO = "SELECT entry_id FROM gathered WHERE account_id = :account_id AND unit = :unit"
_GATHER_FIRST = text("INSERT INTO gathered VALUES (:account_id, :unit, '') ON CONFLICT DO NOTHING")
_BOOKS = (
    "SELECT w.ledger_account_id, t.id, a.kind, a.path FROM wallets w JOIN accounts a ON a.id = w.account_id "
    "LEFT JOIN ledger_accounts t ON t.issuer_id = a.parent_id AND t.code = 'tax:payable' AND t.unit = w.unit "
    "AND t.holder_id = 0 WHERE w.account_id = :account_id AND w.unit = :unit"
)
_TAX = (
    "CAST((SELECT COALESCE(-SUM(t.amount), 0) FROM postings t WHERE t.entry_id = p.entry_id "
    "AND t.ledger_account_id = :tax_book) AS BIGINT)"
)
_HEADS = (
    f"SELECT p.entry_id, e.kind, e.idempotency_key, e.at_us, e.memo, p.amount, {_TAX} FROM postings p "  # noqa: S608
    "JOIN journal_entries e ON e.id = p.entry_id LEFT JOIN invoice_entries i ON i.entry_id = p.entry_id "
    f"WHERE p.ledger_account_id = :book AND p.entry_id > :after AND i.entry_id IS NULL AND {CHARGED} "
    "ORDER BY p.entry_id LIMIT :page"
)
_UNCLAIMED = (
    "SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM postings p "  # noqa: S608 words are ours
    "JOIN journal_entries e ON e.id = p.entry_id LEFT JOIN invoice_entries i ON i.entry_id = p.entry_id "
    f"WHERE p.ledger_account_id = :book AND p.entry_id > :after AND i.entry_id IS NULL AND {CHARGED}"
)
_USAGE_SINCE = (
    "SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT), CAST(COALESCE(SUM({tax}), 0) AS BIGINT) "
    "FROM postings p JOIN journal_entries e ON e.id = p.entry_id {claims} WHERE p.ledger_account_id = :book "
    "AND e.kind IN ('usage', 'volume', 'correction') AND e.at_us >= :from_us AND e.at_us < :to_us AND {where}"
)
_USAGE_UNCLAIMED = _USAGE_SINCE.format(
    tax=_TAX,
    claims="LEFT JOIN invoice_entries i ON i.entry_id = p.entry_id",
    where="p.entry_id > :after AND i.entry_id IS NULL",
)
_USAGE_INVOICED = _USAGE_SINCE.format(
    tax=_TAX,
    claims="JOIN invoice_entries i ON i.entry_id = p.entry_id JOIN invoices v ON v.id = i.invoice_id",
    where="v.account_id = :account_id AND v.unit = :unit AND v.state <> 'discarded' "
    "AND COALESCE(v.to_us, v.created_us + 1) > :from_us",
)
_CALLS = (
    "SELECT x.session_id, x.level, x.line, c.direction, c.called, x.billable_s, x.rate_id, v.tax_mode, "
    "v.tax_ppm FROM {each_of}call_charges x JOIN cdrs c ON c.session_id = x.session_id "
    "JOIN tariff_versions v ON v.id = x.tariff_version_id WHERE x.session_id {is_each_text} "
    "AND x.account_id = {one_int}"
)
_FREE = (
    "SELECT x.session_id, x.level, x.line, c.direction, c.called, x.billable_s, x.rate_id, v.tax_mode, "
    "v.tax_ppm, c.ended_us FROM cdrs c JOIN call_charges x ON x.session_id = c.session_id "
    "AND x.account_id = :account_id JOIN wallets w ON w.id = x.wallet_id AND w.unit = :unit "
    "JOIN tariff_versions v ON v.id = x.tariff_version_id WHERE c.account_id {whose} "
    "AND c.started_us >= :from_us - :longest AND c.started_us < :to_us AND c.ended_us >= :from_us "
    "AND c.ended_us < :to_us AND x.entry_id IS NULL AND x.uncollected = 0"
)
BELOW = "SELECT b.id FROM accounts b WHERE b.path LIKE :path || '%'"
"""An account's own id and all that are below it."""
LONGEST_CALL_US = 86_400_000_000


class Head(NamedTuple):
    """An entry that the wallet gave for."""

    entry_id: str
    kind: str
    key: str
    at_us: int
    memo: str
    gross: int
    """Taken from the wallet; below zero: given back."""
    tax: int

    @property
    def session_id(self) -> str:
        """Of a call's charge or of what a volume gives back."""
        return self.key[7:39]

    @property
    def place(self) -> tuple[str, int, int]:
        """Session, level and line of the charge."""
        level, _, line = self.key[40:].partition(":")
        return self.session_id, int(level), int(line or 0)


class UsageKey(NamedTuple):
    """What is one line: usage that is told together, under one tax."""

    what: str
    """outbound, inbound or usage (messages, data ...) as in call records; volume; correction."""
    where: str
    """The class of the destination; empty: none is known."""
    measure: str
    ppm: int | None
    """Tax of the tariff, taken with each charge; None: a tariff without."""
    epoch: int
    """Between which changes of the issuer's taxes it was."""


@dataclass(slots=True)
class UsageSum:
    """What lies under a key."""

    first_us: int
    calls: int = 0
    pieces: int = 0
    gross: int = 0
    tax: int = 0
    entries: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Gathered:
    """All that an invoice of the account would hold now."""

    usage: dict[UsageKey, UsageSum] = field(default_factory=dict)
    items: list[GatheredItem] = field(default_factory=list)
    """Readings, adjustments, and charges that nobody can say more of."""
    charges: list[GatheredCharge] = field(default_factory=list)
    asked: tuple[GatheredCharge, ...] = ()
    """Of the charges those that no wallet gave for."""
    after: str = ""
    """Behind which entry it looked."""
    newest: str = ""
    """The newest entry that it saw; empty: there was none."""
    mark: str = ""
    """What `gathered` may say once all of it is on an invoice."""

    @property
    def is_empty(self) -> bool:
        """Nothing that costs or gives back anything: calls that cost nothing make no invoice."""
        return not (self.items or self.charges or any(x.entries for x in self.usage.values()))


class Books(NamedTuple):
    """Where an account's entries in a unit are found."""

    wallet: int
    tax: int
    is_reseller: bool
    path: str


def books_of(session: Session, account_id: int, unit: str) -> Books | None:
    """None: the account has no wallet in the unit."""
    rows = rows_within(session, _BOOKS, {"account_id": account_id, "unit": unit})
    if not rows:
        return None
    (row,) = rows
    if row[1] is None:
        raise InputRefused(f"the seller's books in {unit} lack {LedgerCode.TAX_PAYABLE}: open it first")
    return Books(row[0], row[1], row[2] == "reseller", row[3])


def gathered_to(session: Session, account_id: int, unit: str, *, lock: bool = False) -> str:
    """Up to which entry all are on invoices; locked: nobody else makes or discards a draft meanwhile."""
    values = {"account_id": account_id, "unit": unit}
    if not lock:
        found = rows_within(session, _GATHERED_TO, values)
        return str(found[0][0]) if found else ""
    locking = _GATHERED_TO + row_lock(session)
    found = rows_within(session, locking, values)
    if not found:
        session.execute(_GATHER_FIRST, values)
        found = rows_within(session, locking, values)
    return str(found[0][0])


def _belongs(head: "Head", period: Period) -> bool:
    """Charges of the very moment in which a period ends are on its invoice: what the next period costs in
    advance is asked for when that begins, not when it is over."""
    return head.at_us < period.to_us or (head.at_us == period.to_us and head.kind == "charge")


def gather(
    session: Session, account_id: int, unit: str, period: Period, tax_changes: Sequence[int], known: Known
) -> Gathered:
    """What the next invoice of the account takes. tax_changes: when taxes of the issuer begin or end."""
    found = Gathered(charges=charges_to_ask_for(session, account_id, unit, period.to_us))
    found.asked = tuple(found.charges)
    after = found.after = found.mark = gathered_to(session, account_id, unit)
    books = books_of(session, account_id, unit)
    if books is None:
        return found
    driver = driver_within(session)
    gatherer = _Gatherer(driver, account_id, tax_changes, known, found)
    last = ""
    while True:
        values = {"book": books.wallet, "tax_book": books.tax, "after": last or after, "page": PAGE}
        heads = [Head(*row) for row in rows_within(session, _HEADS, values)]
        gatherer.take([head for head in heads if _belongs(head, period)])
        gatherer.left += [head.entry_id for head in heads if not _belongs(head, period)]
        if len(heads) < PAGE:
            break
        last = heads[-1].entry_id
    newest = found.newest = heads[-1].entry_id if heads else last
    if newest:
        first_left = min(gatherer.left, default=newest)
        # Where the clock ran ahead for a while, ids that are made from now on lie before the newest one.
        seen = id_before(min(newest, new_id()), MARGIN_MS)
        found.mark = max(after, min(seen, id_before(first_left, 1)))
    _add_free_calls(session, gatherer, books, unit, period)
    return found


def came_since(session: Session, account_id: int, unit: str, period: Period, newest: str) -> bool:
    """Whether entries of a period have come behind the newest one that was seen."""
    books = books_of(session, account_id, unit)
    if books is None:
        return False
    values = {"book": books.wallet, "tax_book": books.tax, "after": newest, "page": PAGE}
    heads = [Head(*row) for row in rows_within(session, _HEADS, values)]
    return len(heads) == PAGE or any(_belongs(head, period) for head in heads)


def id_before(entry_id: str, by_ms: int) -> str:
    """An id that is certainly older than another, by so much."""
    return f"{max(0, int(entry_id[:12], 16) - by_ms):012x}"


def unclaimed_gross(session: Session, account_id: int, unit: str, book: int) -> int:
    """What the wallet gave for that is on no invoice and no draft yet."""
    values = {"book": book, "after": gathered_to(session, account_id, unit)}
    ((gross,),) = rows_within(session, _UNCLAIMED, values)
    return int(gross)


def usage_net(session: Session, account_id: int, unit: str, period: Period) -> int:
    """What the account used in a period, without tax, whether it is on an invoice or not."""
    books = books_of(session, account_id, unit)
    if books is None:
        return 0
    values = {
        "account_id": account_id,
        "unit": unit,
        "book": books.wallet,
        "tax_book": books.tax,
        "from_us": period.from_us,
        "to_us": period.to_us,
        "after": gathered_to(session, account_id, unit),
    }
    net = 0
    for statement in (_USAGE_UNCLAIMED, _USAGE_INVOICED):
        ((gross, tax),) = rows_within(session, statement, values)
        net += gross - tax
    return net


class _Gatherer:
    """Adds entries to what is gathered, page by page."""

    def __init__(
        self, driver: Driver, account_id: int, tax_changes: Sequence[int], known: Known, found: Gathered
    ) -> None:
        self._driver = driver
        self._account_id = account_id
        self._tax_changes = tax_changes
        self._known = known
        self._found = found
        self.left: list[str] = []
        """Entries that a later invoice, or a note, takes."""

    def take(self, heads: Sequence[Head]) -> None:
        by_kind: dict[str, list[Head]] = {}
        for head in heads:
            by_kind.setdefault(head.kind, []).append(head)
        calls = by_kind.get("usage", []) + by_kind.get("volume", [])
        if calls:
            self._calls(calls)
        if "correction" in by_kind:
            self._corrections(by_kind["correction"])
        charged = by_kind.get("charge", [])
        if charged:
            read, others = readings_of(self._driver, charged)
            collected, unknown = charges_of_entries(self._driver, others)
            self._found.items += read
            self._found.charges += collected
            self._found.items += [GatheredItem.of(head) for head in unknown]
        self._found.items += [GatheredItem.adjustment(head) for head in by_kind.get("adjustment", ())]

    def _calls(self, heads: Sequence[Head]) -> None:
        sessions = sorted({head.session_id for head in heads})
        rows = self._driver.select(_CALLS, sessions, [self._account_id])
        classes, measures = self._named(rows)
        by_place = {tuple(row[:3]): row for row in rows}
        for head in heads:
            row = by_place[head.place]
            ppm = taken_ppm(row[7], row[8])
            if head.kind == "volume":
                self._add(UsageKey("volume", "", "items", ppm, self._epoch(head.at_us)), head)
                continue
            direction = row[3]
            where = classes.get(row[4], "") if direction != "inbound" else ""
            key = UsageKey(direction, where, measures.get(row[6], "seconds"), ppm, self._epoch(head.at_us))
            self._add(key, head, row[5])

    def free_calls(self, rows: Sequence[Sequence[int | str]]) -> None:
        """Calls that cost nothing are counted with the others."""
        classes, measures = self._named(rows)
        for row in rows:
            direction, called, billable_s, rate_id, tax_mode, tax_ppm, ended_us = row[3:]
            where = classes.get(str(called), "") if direction != "inbound" else ""
            measure = measures.get(int(rate_id), "seconds")
            key = UsageKey(
                str(direction),
                where,
                measure,
                taken_ppm(str(tax_mode), int(tax_ppm)),
                self._epoch(int(ended_us)),
            )
            counted = self._found.usage.setdefault(key, UsageSum(int(ended_us)))
            counted.calls += 1
            counted.pieces += int(billable_s)

    def _named(self, rows: Iterable[Sequence[int | str]]) -> tuple[dict[str, str], dict[int, str]]:
        outbound = {str(row[4]) for row in rows if row[3] != "inbound"}
        pieces = {int(row[6]) for row in rows if row[3] == "usage"}
        return classes_of(self._driver, outbound, self._known), measures_of(self._driver, pieces, self._known)

    def _corrections(self, heads: Sequence[Head]) -> None:
        parts, of_notes = corrections_of(self._driver, [head.entry_id for head in heads])
        for head in heads:
            if head.entry_id in of_notes:
                self.left.append(head.entry_id)
                continue
            for number, (ppm, calls, gross, tax) in enumerate(parts.get(head.entry_id, [(None, 0, 0, 0)])):
                part = head._replace(gross=gross, tax=tax) if head.entry_id in parts else head
                key = UsageKey("correction", "", "calls", ppm, self._epoch(head.at_us))
                self._add(key, part, calls, claims=not number)
                self._found.usage[key].calls += calls - 1

    def _add(self, key: UsageKey, head: Head, pieces: int = 0, *, claims: bool = True) -> None:
        counted = self._found.usage.get(key)
        if counted is None:
            counted = self._found.usage[key] = UsageSum(head.at_us)
        counted.calls += 1
        counted.pieces += pieces
        counted.gross += head.gross
        counted.tax += head.tax
        if claims:
            counted.entries.append(head.entry_id)

    def _epoch(self, at_us: int) -> int:
        return bisect_right(self._tax_changes, at_us)


def _add_free_calls(session: Session, gatherer: _Gatherer, books: Books, unit: str, period: Period) -> None:
    """By the time of their end: there is no entry that says which invoice they are on."""
    values = {
        "account_id": gatherer._account_id,
        "unit": unit,
        "from_us": period.from_us,
        "to_us": period.to_us,
        "longest": LONGEST_CALL_US,
        "path": books.path,
    }
    whose = is_in(session, BELOW) if books.is_reseller else "= :account_id"
    rows = session.execute(text(_FREE.format(whose=whose)), values)
    while page := rows.fetchmany(PAGE):
        gatherer.free_calls([tuple(row) for row in page])
