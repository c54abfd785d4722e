"""explain(): why a call cost what it cost, line by line, from what was frozen when it was charged.

Reads what the records name (rate row and deck version, tariff version, reservation and its history,
journal entries) and reckons the charge again in front of the reader. statement.py writes it as text.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pbxbill.charging.arithmetic import Line, arithmetic, price_text
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.counters import CounterKind
from pbxbill.charging.events import Evidence
from pbxbill.charging.explanation import (
    CallFacts,
    Correction,
    Cost,
    DeckOrigin,
    Explanation,
    HistoryStep,
    LevelExplanation,
    PostingLine,
    Repriced,
    WalletShare,
)
from pbxbill.charging.rerating import RATE_FIELDS, Rates
from pbxbill.charging.rerating_levels import level_rate
from pbxbill.charging.taken import TakenPieces
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ids import is_id
from pbxbill.money import format_amount, to_decimal
from pbxbill.rating.exchange import EXCHANGE_SCALE, ExchangeRate
from pbxbill.rating.margin import margin
from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.tariff import MarkUp, Rate, Tariff
from pbxbill.store.driver import Driver, Row

MAX_CALLS = 20
"""Most sessions that one call id of a switch is explained for."""

_CALL_COLUMNS = "switch, call_id, direction, caller, dialled, called, destination"
_RECORDS = (
    f"SELECT c.session_id, {', '.join('c.' + name for name in _CALL_COLUMNS.split(', '))}, a.code, "  # noqa: S608
    "c.started_us, c.answered_us, c.ended_us, c.billed_us, c.granted_us, c.hangup_cause, c.denial, "
    "c.detail, c.evidence, r.state, c.shadow, c.ringing_us FROM cdrs c "
    "LEFT JOIN accounts a ON a.id = c.account_id "
    "LEFT JOIN reservations r ON r.session_id = c.session_id WHERE c.{by} {any_text} ORDER BY c.session_id"
)
_OPEN = (
    f"SELECT r.session_id, {', '.join('r.' + name for name in _CALL_COLUMNS.split(', '))}, a.code, "  # noqa: S608
    "r.requested_us, r.answered_us, NULL, 0, r.granted_us, 0, NULL, '', '', r.state, r.shadow, r.ringing_us "
    "FROM reservations r LEFT JOIN accounts a ON a.id = r.account_id "
    "WHERE r.state IN ('reserved', 'answered') AND r.{by} {any_text} ORDER BY r.session_id"
)
_PRICED = (
    "a.code, x.tariff_version_id, t.number, w.unit, x.exchange_id, "
    f"k.name, d.number, d.source, d.effective_from_us, {RATE_FIELDS}"
)
_PRICE_JOINS = (
    "JOIN accounts a ON a.id = x.account_id JOIN wallets w ON w.id = x.wallet_id "
    "JOIN rates r ON r.id = x.rate_id JOIN deck_versions d ON d.id = r.deck_version_id "
    "JOIN rate_decks k ON k.id = d.deck_id JOIN tariff_versions t ON t.id = x.tariff_version_id"
)
_CHARGES = (
    f"SELECT x.level, x.total, x.tax, x.uncollected, 0, x.entry_id, {_PRICED} "  # noqa: S608 names are ours
    f"FROM call_charges x {_PRICE_JOINS} WHERE x.session_id {{any_text}} ORDER BY x.level, x.line"
)
_LEVELS = (
    f"SELECT x.level, NULL, 0, 0, x.reserved, NULL, {_PRICED} "  # noqa: S608 names are ours
    f"FROM reservation_levels x {_PRICE_JOINS} WHERE x.session_id {{any_text}} ORDER BY x.level, x.line"
)
_STEPS = (
    "SELECT verb, at_us, granted_us, reserved FROM reservation_steps WHERE session_id {any_text} ORDER BY id"
)
_POSTINGS = (
    "SELECT p.entry_id, i.code, l.code, h.code, p.amount FROM postings p "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id JOIN accounts i ON i.id = l.issuer_id "
    "LEFT JOIN accounts h ON h.id = l.holder_id WHERE p.entry_id {any_text} ORDER BY p.entry_id, p.line"
)
_VOLUME = "SELECT idempotency_key, id, unit FROM journal_entries WHERE idempotency_key {any_text}"
_CORRECTIONS = (
    "SELECT y.level, y.run_id, y.at_us, w.unit, y.old_total, y.new_total, y.tax_delta, y.uncollected_delta, "  # noqa: S608
    f"y.rate_id, n.name, y.entry_id, y.tariff_version_id, {RATE_FIELDS} FROM call_corrections y "
    "JOIN wallets w ON w.id = y.wallet_id JOIN rates r ON r.id = y.rate_id "
    "JOIN tariff_versions t ON t.id = y.tariff_version_id JOIN tariffs n ON n.id = t.tariff_id "
    "WHERE y.session_id {any_text} ORDER BY y.run_id, y.level, y.line"
)
_COST = (
    "SELECT c.name, k.gateway, n.name, k.unit, k.rate_id, r.prefix, r.price_per_min, k.billable_s, k.cost "
    "FROM call_costs k JOIN carriers c ON c.id = k.carrier_id "
    "JOIN tariff_versions t ON t.id = k.tariff_version_id JOIN tariffs n ON n.id = t.tariff_id "
    "LEFT JOIN rates r ON r.id = k.rate_id WHERE k.session_id {any_text}"
)
_LIMITS = 'SELECT id, value, unit, "window" FROM limits WHERE id {any_int}'


def explain(driver: Driver, call: str) -> list[Explanation]:
    """The calls of a session id, or of a switch's call id; InputRefused if there is none."""
    driver.begin_snapshot()
    try:
        by = "session_id" if is_id(call.lower()) else "call_id"
        facts = _facts(driver, by, call.lower() if by == "session_id" else call)
        if not facts and by == "session_id":
            facts = _facts(driver, "call_id", call)
        if not facts:
            raise InputRefused(f"no call {call[:128]!r}; use the session of a CDR, or the switch's call id")
        reader = _Reader(driver)
        return [reader.explained(one) for one in facts[:MAX_CALLS]]
    finally:
        driver.rollback()


def _facts(driver: Driver, by: str, value: str) -> list[CallFacts]:
    found = [_recorded(row) for row in driver.select(_RECORDS.replace("{by}", by), [value])]
    return found + [_recorded(row) for row in driver.select(_OPEN.replace("{by}", by), [value])]


def _recorded(row: Row) -> CallFacts:
    session_id, switch, call_id, direction, caller, dialled, called, destination, code, *times = row
    (
        started_us,
        answered_us,
        ended_us,
        billed_us,
        granted_us,
        cause,
        denial,
        detail,
        evidence,
        state,
        shadow,
        ringing_us,
    ) = times
    return CallFacts(
        session_id=session_id,
        switch=switch,
        call_id=call_id,
        direction=direction,
        account=code or "",
        caller=caller,
        dialled=dialled,
        called=called,
        destination=destination,
        state="denied"
        if denial
        else state or ("imported" if evidence == Evidence.IMPORT else "unauthorized"),
        started_us=started_us,
        answered_us=answered_us,
        ended_us=ended_us,
        billed_us=billed_us,
        granted_us=granted_us,
        hangup_cause=cause,
        denial=denial or "",
        detail=detail,
        evidence=evidence,
        shadow=shadow,
        ringing_us=ringing_us,
    )


class _Charged(NamedTuple):
    """One line of a charge or reservation as it was read."""

    level: int
    share: WalletShare
    account: str
    tariff: Tariff
    tariff_number: int
    origin: DeckOrigin
    rate: Rate


class _Reader:
    """Reads what explanations are made of, within one snapshot."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._catalogue = LoadedCatalogue(lambda: driver, serving=False)
        self._catalogue.refresh(driver, 0)
        self._rates = Rates()

    def explained(self, call: CallFacts) -> Explanation:
        """One call."""
        select, session = self._driver.select, [call.session_id]
        rows = select(_LEVELS if call.ended_us is None else _CHARGES, session)
        postings = self._postings([row[5] for row in rows if row[5]])
        levels: dict[int, list[_Charged]] = {}
        for row in rows:
            levels.setdefault(row[0], []).append(self._charged(row, postings))
        taken = TakenPieces(self._driver, self._catalogue.offers.bundles, session)
        corrections: dict[int, list[Row]] = {}
        for row in select(_CORRECTIONS, session):
            corrections.setdefault(row[0], []).append(row)
        explained = tuple(
            self._level(call, levels, level, taken, corrections.get(level, ())) for level in sorted(levels)
        )
        steps = tuple(HistoryStep(*row) for row in select(_STEPS, session))
        return Explanation(call, explained, steps, self._cost(call, explained))

    def _charged(self, row: Row, postings: dict[str, tuple[PostingLine, ...]]) -> _Charged:
        level, total, tax, uncollected, reserved, entry_id, account, version_id, number, unit = row[:10]
        exchange_id, deck, deck_number, source, effective_from_us = row[10:15]
        exchange = None if exchange_id is None else self._catalogue.offers.exchange.rate(exchange_id)
        share = WalletShare(
            self._catalogue.units[unit],
            total,
            tax,
            uncollected,
            reserved,
            exchange,
            entry_id or "",
            postings.get(entry_id, ()),
        )
        origin = DeckOrigin(deck, deck_number, source, effective_from_us)
        tariff = self._catalogue.tariff(version_id)
        return _Charged(level, share, account, tariff, number, origin, self._rates.of(row[15:]))

    def _postings(self, entry_ids: list[str]) -> dict[str, tuple[PostingLine, ...]]:
        found: dict[str, tuple[PostingLine, ...]] = {}
        for entry_id, issuer, code, holder, amount in (
            self._driver.select(_POSTINGS, entry_ids) if entry_ids else ()
        ):
            name = f"{issuer}:{code}" + (f":{holder}" if holder else "")
            found[entry_id] = (*found.get(entry_id, ()), PostingLine(name, amount))
        return found

    def _level(
        self,
        call: CallFacts,
        levels: dict[int, list[_Charged]],
        level: int,
        taken: TakenPieces,
        corrections: Sequence[Row],
    ) -> LevelExplanation:
        first = levels[level][0]
        rate, tariff = level_rate(levels, level), first.tariff
        live = call.ended_us is None
        return LevelExplanation(
            level=level,
            account=first.account,
            rate=rate,
            marked_up=tuple(_marked_up(first.rate, levels, level)),
            origin=first.origin,
            tariff=tariff,
            tariff_number=first.tariff_number,
            arithmetic=_reckoned(call, level, rate, tariff, taken),
            shares=tuple(charged.share for charged in levels[level]),
            limits=tuple(self._limits(taken, call.session_id, level, tariff, live)),
            priced_anew=self._priced_anew(call.session_id, level, tariff),
            corrections=tuple(self._correction(row) for row in corrections),
            repriced=self._repriced(call, levels, level, taken, corrections[-1]) if corrections else None,
        )

    def _correction(self, row: Row) -> Correction:
        run_id, at_us, unit, *values, entry_id = row[1:11]
        return Correction(*(run_id, at_us, self._catalogue.units[unit], *values, entry_id or ""))

    def _repriced(
        self, call: CallFacts, levels: dict[int, list[_Charged]], level: int, taken: TakenPieces, last: Row
    ) -> Repriced:
        tariff = self._catalogue.tariff(last[11])
        now = levels[level][0]._replace(tariff=tariff, rate=self._rates.of(last[12:]))
        rate = level_rate(levels | {level: [now]}, level)
        return Repriced(rate, tariff, _reckoned(call, level, rate, tariff, taken))

    def _limits(
        self, taken: TakenPieces, session_id: str, level: int, tariff: Tariff, live: bool
    ) -> Iterator[str]:
        spent = [x for x in taken.of(session_id, level) if x.counter.kind == CounterKind.SPEND]
        ids = [x.counter.ref_id for x in spent]
        limits = {id: rest for id, *rest in self._driver.select(_LIMITS, ids)} if ids else {}
        for held in spent:
            own = held.reserved if live else held.used
            amount = f"{format_amount(own, tariff.unit)} {tariff.unit.code}"
            if held.counter.ref_id in limits:
                value, unit, window = limits[held.counter.ref_id]
                most = format_amount(value, self._catalogue.units[unit])
                used = format_amount(held.counter.used + held.counter.reserved, self._catalogue.units[unit])
                yield f"{amount} of the {most} {unit} that may be spent per {window}; {used} are spent by now"
            else:
                yield f"{amount} of a spending limit that is no more"

    def _priced_anew(self, session_id: str, level: int, tariff: Tariff) -> tuple[WalletShare, ...]:
        if tariff.cycle_steps is None:
            return ()
        rows = self._driver.select(_VOLUME, [f"volume:{session_id}:{level}"])
        postings = self._postings([id for _, id, _ in rows])
        found = []
        for _, id, unit in rows:
            total = next((x.amount for x in postings[id] if ":wallet:" in x.ledger_account), 0)
            units = self._catalogue.units
            found.append(WalletShare(units[unit], total, 0, 0, 0, None, id, postings[id]))
        return tuple(found)

    def _cost(self, call: CallFacts, levels: tuple[LevelExplanation, ...]) -> Cost | None:
        rows = self._driver.select(_COST, [call.session_id])
        if not rows:
            return None
        carrier, gateway, tariff, unit_code, rate_id, prefix, price, billable_s, cost = rows[0]
        unit = self._catalogue.units[unit_code]
        left = None
        if levels and rate_id is not None and len(levels[-1].shares) == 1:
            (share,) = levels[-1].shares
            at_us = call.answered_us or call.started_us
            exchange = None
            if share.unit != unit:
                exchange = self._catalogue.offers.exchange.find(unit.code, share.unit.code, at_us)
            if share.unit == unit or exchange is not None:
                net = (share.total or 0) - share.tax
                net += sum(x.new_total - x.old_total - x.tax_delta for x in levels[-1].corrections)
                left = margin(net, share.unit, cost, unit, exchange)
        return Cost(carrier, gateway, tariff, unit, rate_id, prefix or "", price or 0, billable_s, cost, left)


def _reckoned(
    call: CallFacts, level: int, rate: Rate, tariff: Tariff, taken: TakenPieces
) -> tuple[Line, ...]:
    live = call.ended_us is None
    charged_us = call.granted_us if live else call.billed_us
    within_free = charged_us <= rate.free_s * SECOND_US
    pieces = taken.pieces(call.session_id, level, tariff, live=live, within_free=within_free)
    start_us = call.started_us if call.answered_us is None else call.answered_us
    return tuple(arithmetic(rate, tariff, charged_us, start_us, pieces))


def _marked_up(rate: Rate, levels: dict[int, list[_Charged]], level: int) -> Iterator[Line]:
    chain: list[tuple[str, MarkUp]] = []
    top = levels[level][0].tariff
    while level in levels and (mark_up := levels[level][0].tariff.mark_up) is not None:
        chain.append((levels[level][0].account, mark_up))
        level += 1
        top = levels[level][0].tariff if level in levels else top
    if not chain:
        return
    yield Line("price above", f"{_prices(rate)} per minute")
    for account, mark_up in reversed(chain):
        rate = marked_up(rate, mark_up, top)  # of which only prices are shown here
        parts = [f"{to_decimal(mark_up.ppm, 4).normalize():+f} %"] if mark_up.ppm else []
        if mark_up.absolute:
            parts.append(f"{'+' if mark_up.absolute > 0 else ''}{price_text(mark_up.absolute)}")
        if mark_up.rounding_step > 1:
            parts.append(f"rounded up to {price_text(mark_up.rounding_step)}")
        yield Line("mark-up", f"{', '.join(parts) or 'none'}: {_prices(rate)} for {account}")


def _prices(rate: Rate) -> str:
    bands = () if rate.terms is None else rate.terms.bands
    own = [] if rate.terms is not None and rate.terms.banded_only and bands else [rate.price_per_min]
    parts = [price_text(price) for price in own]
    return ", ".join([*parts, *(f"{name} {price_text(price.price_per_min)}" for name, price in bands)])


def exchange_text(exchange: ExchangeRate) -> str:
    """An exchange rate as it was entered."""
    rate = to_decimal(exchange.rate, EXCHANGE_SCALE).normalize()
    return f"1 {exchange.from_unit} = {rate:f} {exchange.to_unit}"
