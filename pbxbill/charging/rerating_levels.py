"""The same for charges with more than one rate and one wallet, for open calls, and for corrections.

Calls are read page by page, whole: a mark-up follows from the level above it, a shared bundle was counted at
the level below. A call is given the pieces that it took, so that nothing else than its records is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.counters import CounterKind
from pbxbill.charging.pricing import RINGING_US
from pbxbill.charging.rerating import RATE_FIELDS, Rates, known_tariff, tax_taken
from pbxbill.charging.taken import Piece, Share, TakenPieces, unpaid
from pbxbill.clock import SECOND_US
from pbxbill.errors import check
from pbxbill.ids import is_id
from pbxbill.rating.mark_up import calendar_of, marked_up
from pbxbill.rating.rater import Charge, charge
from pbxbill.rating.tariff import Rate, Tariff
from pbxbill.store.driver import Driver, Row

PAGE_CALLS = 2000

_MARK_UPS = "SELECT id FROM tariff_versions WHERE mark_up IS NOT NULL"
_WITH_MORE = (
    "SELECT s.id FROM (SELECT session_id AS id FROM reserved_counts UNION SELECT session_id FROM "
    "call_charges WHERE line > 0 OR exchange_id IS NOT NULL OR tariff_version_id {any_int}) s "
    "JOIN cdrs c ON c.session_id = s.id WHERE s.id > '{last}' AND c.answered_us IS NOT NULL "
    "ORDER BY s.id LIMIT {limit}"
)
_CHARGED = (
    "SELECT x.session_id, x.level, x.line, x.wallet_id, w.unit, x.exchange_id, x.tariff_version_id, "  # noqa: S608
    "c.called, c.started_us, c.answered_us, c.billed_us, x.billable_s, x.total, x.tax, x.uncollected, "
    f"{RATE_FIELDS} FROM call_charges x JOIN cdrs c ON c.session_id = x.session_id "
    "JOIN wallets w ON w.id = x.wallet_id JOIN rates r ON r.id = x.rate_id "
    "WHERE x.session_id {any_text} ORDER BY x.session_id, x.level, x.line"
)
_OPEN = (
    "SELECT o.session_id FROM reservations o WHERE o.state IN ('reserved', 'answered') "
    "AND o.session_id > '{last}' ORDER BY o.session_id LIMIT {limit}"
)
_RESERVED = (
    "SELECT x.session_id, x.level, x.line, x.wallet_id, w.unit, x.exchange_id, x.tariff_version_id, "  # noqa: S608
    "o.called, o.requested_us, o.answered_us, o.granted_us, 0, x.reserved, 0, 0, "
    f"{RATE_FIELDS} FROM reservation_levels x JOIN reservations o ON o.session_id = x.session_id "
    "JOIN wallets w ON w.id = x.wallet_id JOIN rates r ON r.id = x.rate_id "
    "WHERE x.session_id {any_text} ORDER BY x.session_id, x.level, x.line"
)
_CORRECTED = (
    "SELECT s.id FROM (SELECT DISTINCT session_id AS id FROM call_corrections) s WHERE s.id > '{last}' "
    "ORDER BY s.id LIMIT {limit}"
)
_CORRECTIONS = (
    "SELECT y.session_id, y.level, y.line, y.tariff_version_id, y.billable_s, y.old_total, y.new_total, "  # noqa: S608
    f"y.tax_delta, y.uncollected_delta, {RATE_FIELDS} FROM call_corrections y "
    "JOIN rates r ON r.id = y.rate_id WHERE y.session_id {any_text} "
    "ORDER BY y.session_id, y.level, y.line, y.run_id"
)


class Line(NamedTuple):
    """What one wallet gave, or has reserved, for one level."""

    session_id: str
    level: int
    line: int
    wallet_id: int
    unit: str
    exchange_id: int | None
    tariff: Tariff
    called: str
    started_us: int
    answered_us: int | None
    duration_us: int
    billable_s: int
    amount: int
    tax: int
    uncollected: int
    rate: Rate


Levels = dict[int, list[Line]]


class _Reader:
    """Reads calls with all that their prices follow from."""

    def __init__(self, driver: Driver, catalogue: LoadedCatalogue) -> None:
        self.driver = driver
        self.catalogue = catalogue
        self.rates = Rates()
        self._exchange_ids = {id for (id,) in driver.select("SELECT id FROM exchange_rates")}

    def pages(self, statement: str, *lists: Sequence[int]) -> Iterator[list[str]]:
        """Sessions in their order; their ids are ours, and checked before they become part of a statement."""
        last = ""
        while True:
            check(not last or is_id(last), "session {} is no id of ours", last)
            page = statement.replace("{last}", last).replace("{limit}", str(PAGE_CALLS))
            ids = [row[0] for row in self.driver.select(page, *lists)]
            if ids:
                yield ids
            if len(ids) < PAGE_CALLS:
                return
            last = ids[-1]

    def calls(self, statement: str, session_ids: Sequence[str]) -> Iterator[tuple[str, Levels]]:
        """Each call's lines by level."""
        rows = self.driver.select(statement, session_ids)
        for session_id, found in groupby(rows, key=lambda row: row[0]):
            levels: Levels = {}
            for row in found:
                tariff = known_tariff(self.catalogue, row[6])
                if tariff is None or (row[5] is not None and row[5] not in self._exchange_ids):
                    levels.clear()
                    break  # found where what rows name must exist
                line = Line(*(*row[:6], tariff, *row[7:15], self.rates.of(row[15:])))
                levels.setdefault(line.level, []).append(line)
            if levels:
                yield session_id, levels

    def shares(self, lines: Sequence[Line]) -> list[Share]:
        """What each wallet of a level gave."""
        exchange, units = self.catalogue.offers.exchange, self.catalogue.units
        return [
            Share(x.amount, units[x.unit], None if x.exchange_id is None else exchange.rate(x.exchange_id))
            for x in lines
        ]


class Priced(Protocol):
    """What a level's prices are made of."""

    @property
    def tariff(self) -> Tariff:
        """Its terms."""
        ...

    @property
    def rate(self) -> Rate:
        """The rate that its record names."""
        ...


def level_rate(levels: Mapping[int, Sequence[Priced]], level: int) -> Rate:
    """A level's rate: its own, or what mark-ups make of the one that it names, which is the topmost's."""
    rate = levels[level][0].rate
    tariffs = [levels[level][0].tariff]
    while tariffs[-1].mark_up is not None and (level := level + 1) in levels:
        tariffs.append(levels[level][0].tariff)
    above = tariffs.pop()
    for tariff in reversed(tariffs):
        if tariff.mark_up is not None:
            rate = marked_up(rate, tariff.mark_up, above)
        above = tariff
    return rate


def check_level_prices(driver: Driver, catalogue: LoadedCatalogue) -> Iterator[str | None]:
    """For each level that is more than one rate and one wallet what is wrong with it."""
    reader = _Reader(driver, catalogue)
    mark_ups = [version_id for (version_id,) in driver.select(_MARK_UPS)]
    for ids in reader.pages(_WITH_MORE, mark_ups):
        taken = TakenPieces(driver, catalogue.offers.bundles, ids)
        for session_id, levels in reader.calls(_CHARGED, ids):
            for level, lines in levels.items():
                if _is_simple(lines) and not taken.of(session_id, level):
                    continue  # checked with the many
                rate = level_rate(levels, level)
                problem = _charged_wrongly(reader, taken, lines, rate) or _limited_wrongly(taken, lines, rate)
                yield None if problem is None else f"level {level} of call {session_id}: {problem}"


def _is_simple(lines: Sequence[Line]) -> bool:
    return len(lines) == 1 and lines[0].exchange_id is None and lines[0].tariff.mark_up is None


def _charged_wrongly(reader: _Reader, taken: TakenPieces, lines: Sequence[Line], rate: Rate) -> str | None:
    first, tariff = lines[0], lines[0].tariff
    owed, pieces = owed_again(taken, first, rate)
    uncollected = sum(line.uncollected for line in lines)
    left = unpaid(owed.total - uncollected, tariff.unit, reader.shares(lines))
    if left or uncollected < 0:
        charged = " + ".join(f"{line.amount} {line.unit}" for line in lines)
        return f"costs {owed.total} {tariff.unit.code}, charged are {charged} and {uncollected} uncollected"
    if first.billable_s != owed.billable_s:
        return f"lasts {owed.billable_s} billable seconds, recorded are {first.billable_s}"
    for line in lines:
        if line.tax != tax_taken(owed, line.amount):
            return f"{line.amount} contains {tax_taken(owed, line.amount)} tax, recorded is {line.tax}"
    for piece, count in zip(pieces, owed.taken, strict=True):
        if not _counted_below(piece, count) and count != piece.allotment.available:
            return f"takes {count} of counter {piece.counter.id}, recorded are {piece.allotment.available}"
    if not first.called.startswith(rate.prefix) or not rate.effective_at(first.started_us):
        return f"rate {rate.id} is none for {first.called} when the call began"
    return None


def _limited_wrongly(taken: TakenPieces, lines: Sequence[Line], rate: Rate) -> str | None:
    """Spending limits count what a call cost when it ended; corrections leave them alone."""
    first = lines[0]
    owed, _ = owed_again(taken, first, rate)
    for held in taken.of(first.session_id, first.level):
        if held.counter.kind != CounterKind.SPEND or held.used == owed.total:
            continue
        # A limit that was removed while the call was up counted nothing of it.
        if held.used or held.counter.ref_id in taken.limit_ids:
            return f"costs {owed.total}, the limit's counter {held.counter.id} was told {held.used}"
    return None


def _counted_below(piece: Piece, count: int) -> bool:
    # A shared bundle may have paid more at a level below, where all of it was counted.
    return piece.bundle is not None and count <= piece.allotment.available


def owed_again(taken: TakenPieces, line: Line, rate: Rate) -> tuple[Charge, list[Piece]]:
    """What a level owes, reckoned with exactly the pieces that it took."""
    answered_us = line.answered_us or 0
    free = line.duration_us <= rate.free_s * SECOND_US
    pieces = taken.pieces(line.session_id, line.level, line.tariff, within_free=free)
    allotments = [piece.allotment for piece in pieces]
    owed = charge(rate, line.tariff, line.duration_us, answered_us, allotments)
    if free:
        pieces = []
        owed = Charge(owed.total, owed.tax, owed.billable_s)
    return owed, pieces


def check_reserved(driver: Driver, catalogue: LoadedCatalogue) -> Iterator[str | None]:
    """For each level of an open call whether it reserves what its granted time costs."""
    reader = _Reader(driver, catalogue)
    for ids in reader.pages(_OPEN):
        taken = TakenPieces(driver, catalogue.offers.bundles, ids)
        for session_id, levels in reader.calls(_RESERVED, ids):
            rates = {level: level_rate(levels, level) for level in levels}
            starts_us = _starts_us(levels, rates)
            for level, lines in levels.items():
                first, tariff = lines[0], lines[0].tariff
                pieces = taken.pieces(session_id, level, tariff, live=True)
                allotments = [piece.allotment for piece in pieces]
                costs = [
                    charge(rates[level], tariff, first.duration_us, at_us, allotments).total
                    for at_us in starts_us
                ]
                # Until it is extended an answered call holds what the dearest moment of its answer may cost.
                possible = {max(costs), costs[0]}
                if any(unpaid(cost, tariff.unit, reader.shares(lines)) == 0 for cost in possible):
                    yield None
                else:
                    held = " + ".join(f"{line.amount} {line.unit}" for line in lines)
                    what = f"level {level} of call {session_id} reserves {held}"
                    yield f"{what} for time that costs {max(costs)}"


def _starts_us(levels: Levels, rates: dict[int, Rate]) -> list[int]:
    """When it was answered, or asked for, then the moments from which another band may have counted."""
    first = next(iter(levels.values()))[0]
    asked_us = first.started_us
    edges = {
        moment
        for level, lines in levels.items()
        if (calendar := calendar_of(rates[level], lines[0].tariff)) is not None
        for moment, _ in calendar.edges(asked_us, asked_us + RINGING_US)
    }
    return [first.answered_us or asked_us, asked_us, *sorted(edges)]


def check_corrections(driver: Driver, catalogue: LoadedCatalogue) -> Iterator[str | None]:
    """For each corrected level whether its corrections lead from the charge to what the last rate says."""
    reader = _Reader(driver, catalogue)
    for ids in reader.pages(_CORRECTED):
        taken = TakenPieces(driver, catalogue.offers.bundles, ids)
        charged = dict(reader.calls(_CHARGED, ids))
        rows = driver.select(_CORRECTIONS, ids)
        for (session_id, level), found in groupby(rows, key=lambda row: (row[0], row[1])):
            levels = charged.get(session_id, {})
            problem = "was never charged"
            if level in levels:
                problem = _corrected_wrongly(reader, taken, levels, level, list(found)) or ""
            yield f"level {level} of call {session_id}, corrected: {problem}" if problem else None


def _corrected_wrongly(
    reader: _Reader, taken: TakenPieces, levels: Levels, level: int, rows: list[Row]
) -> str | None:
    lines = {line.line: line for line in levels[level]}
    for row in rows:
        _, _, number, version_id, billable_s, old, new, tax, uncollected = row[:9]
        line = lines[number]
        if line.amount != old:
            return f"a correction begins with {old}, where {line.amount} was charged"
        lines[line.line] = line._replace(
            tariff=reader.catalogue.tariff(version_id),
            rate=reader.rates.of(row[9:]),
            billable_s=billable_s,
            amount=new,
            tax=line.tax + tax,
            uncollected=line.uncollected + uncollected,
        )
    corrected = levels | {level: list(lines.values())}
    return _charged_wrongly(reader, taken, corrected[level], level_rate(corrected, level))
