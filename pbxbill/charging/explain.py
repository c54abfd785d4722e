"""explain(): why a call cost what it cost, line by line, from what was frozen when it was charged.

Reads what the records name (rate row and deck version, tariff version, reservation and its history,
journal entries) and reckons the charge again in front of the reader. statement.py writes it as text.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pbxbill.errors import InputRefused
from pbxbill.ids import is_id
from pbxbill.money import PRICE_SCALE, Rounding, Unit, format_amount, round_ratio, to_decimal
from pbxbill.rating.rater import billable_seconds, charge
from pbxbill.rating.tariff import PPM, Rate, Tariff, TaxMode
from pbxbill.store.driver import Driver, Row

MAX_CALLS = 20
"""Most sessions that one call id of a switch is explained for."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the record, or an open reservation, says about the call."""

    session_id: str
    switch: str
    call_id: str
    direction: str
    account: str
    """Code; empty: nobody was identified."""
    caller: str
    dialled: str
    called: str
    destination: str
    state: str
    """reserved, answered, settled, voided, denied, or unauthorized (it passed and was charged afterwards)."""
    started_us: int
    answered_us: int | None
    ended_us: int | None
    """None: the call lives."""
    billed_us: int
    granted_us: int
    hangup_cause: int
    denial: str
    detail: str
    evidence: str

    @property
    def duration_us(self) -> int:
        """How long the switch had the call up."""
        if self.answered_us is None or self.ended_us is None:
            return 0
        return max(0, self.ended_us - self.answered_us)

    @property
    def uncharged_us(self) -> int:
        """What the call lasted beyond what is charged: lateness of the cut, or the longest call."""
        return max(0, self.duration_us - self.billed_us)


@dataclass(frozen=True, slots=True)
class DeckOrigin:
    """Which import a rate row came from."""

    deck: str
    number: int
    source: str
    effective_from_us: int


@dataclass(frozen=True, slots=True)
class Line:
    """One step of the arithmetic."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class PostingLine:
    """One leg of the level's journal entry."""

    ledger_account: str
    amount: int


@dataclass(frozen=True, slots=True)
class LevelExplanation:
    """One level of the account chain."""

    level: int
    account: str
    rate: Rate
    origin: DeckOrigin
    tariff: Tariff
    tariff_number: int
    arithmetic: tuple[Line, ...]
    total: int | None
    """What was taken, with tax; None: the call is not charged yet."""
    tax: int
    uncollected: int
    reserved: int
    """Earmarked while the call lives."""
    entry_id: str
    postings: tuple[PostingLine, ...]


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One reserve, extend or shrink."""

    verb: str
    at_us: int
    granted_us: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that a call's charge follows from."""

    call: CallFacts
    levels: tuple[LevelExplanation, ...]
    history: tuple[HistoryStep, ...]


_CALL_COLUMNS = "switch, call_id, direction, caller, dialled, called, destination"
_RECORDS = (
    f"SELECT c.session_id, {', '.join('c.' + name for name in _CALL_COLUMNS.split(', '))}, a.code, "  # noqa: S608
    "c.started_us, c.answered_us, c.ended_us, c.billed_us, c.granted_us, c.hangup_cause, c.denial, "
    "c.detail, c.evidence, r.state FROM cdrs c LEFT JOIN accounts a ON a.id = c.account_id "
    "LEFT JOIN reservations r ON r.session_id = c.session_id WHERE c.{by} {any_text} ORDER BY c.session_id"
)
_OPEN = (
    f"SELECT r.session_id, {', '.join('r.' + name for name in _CALL_COLUMNS.split(', '))}, a.code, "  # noqa: S608
    "r.requested_us, r.answered_us, NULL, 0, r.granted_us, 0, NULL, '', '', r.state FROM reservations r "
    "LEFT JOIN accounts a ON a.id = r.account_id "
    "WHERE r.state IN ('reserved', 'answered') AND r.{by} {any_text} ORDER BY r.session_id"
)
_PRICED = (
    "a.code, r.id, r.prefix, r.destination, r.price_per_min, r.connection_fee, r.minimum_charge, "
    "r.initial_increment_s, r.following_increment_s, r.free_s, r.effective_from_us, r.effective_to_us, "
    "k.name, d.number, d.source, d.effective_from_us, "
    "t.id, n.name, t.deck_id, u.code, u.scale, u.digits, t.tax_mode, t.tax_ppm, t.rounding, "
    "t.rounding_step, t.slice_s, t.renew_before_s, t.max_call_s, t.number"
)
_PRICE_JOINS = (
    "JOIN accounts a ON a.id = x.account_id JOIN rates r ON r.id = x.rate_id "
    "JOIN deck_versions d ON d.id = r.deck_version_id JOIN rate_decks k ON k.id = d.deck_id "
    "JOIN tariff_versions t ON t.id = x.tariff_version_id JOIN tariffs n ON n.id = t.tariff_id "
    "JOIN units u ON u.code = t.unit"
)
_CHARGES = (
    f"SELECT x.level, x.total, x.tax, x.uncollected, x.entry_id, {_PRICED} "  # noqa: S608 names are ours
    f"FROM call_charges x {_PRICE_JOINS} WHERE x.session_id {{any_text}} ORDER BY x.level"
)
_LEVELS = (
    f"SELECT x.level, NULL, 0, 0, NULL, {_PRICED}, x.reserved "  # noqa: S608 names are ours
    f"FROM reservation_levels x {_PRICE_JOINS} WHERE x.session_id {{any_text}} ORDER BY x.level"
)
_STEPS = (
    "SELECT verb, at_us, granted_us, reserved FROM reservation_steps WHERE session_id {any_text} ORDER BY id"
)
_POSTINGS = (
    "SELECT p.entry_id, i.code, l.code, h.code, p.amount FROM postings p "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id JOIN accounts i ON i.id = l.issuer_id "
    "LEFT JOIN accounts h ON h.id = l.holder_id WHERE p.entry_id {any_text} ORDER BY p.entry_id, p.line"
)


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
        return [_explained(driver, one) for one in facts[:MAX_CALLS]]
    finally:
        driver.rollback()


def _facts(driver: Driver, by: str, value: str) -> list[CallFacts]:
    found = [_recorded(row) for row in driver.select(_RECORDS.replace("{by}", by), [value])]
    return found + [_recorded(row) for row in driver.select(_OPEN.replace("{by}", by), [value])]


def _recorded(row: Row) -> CallFacts:
    session_id, switch, call_id, direction, caller, dialled, called, destination, code, *times = row
    started_us, answered_us, ended_us, billed_us, granted_us, cause, denial, detail, evidence, state = times
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
        state="denied" if denial else state or "unauthorized",
        started_us=started_us,
        answered_us=answered_us,
        ended_us=ended_us,
        billed_us=billed_us,
        granted_us=granted_us,
        hangup_cause=cause,
        denial=denial or "",
        detail=detail,
        evidence=evidence,
    )


def _explained(driver: Driver, call: CallFacts) -> Explanation:
    rows = driver.select(_CHARGES, [call.session_id])
    if call.ended_us is None:
        rows = driver.select(_LEVELS, [call.session_id])
    postings: dict[str, list[PostingLine]] = {}
    entry_ids = [row[4] for row in rows if row[4]]
    for entry_id, issuer, code, holder, amount in driver.select(_POSTINGS, entry_ids) if entry_ids else ():
        name = f"{issuer}:{code}" + (f":{holder}" if holder else "")
        postings.setdefault(entry_id, []).append(PostingLine(name, amount))
    levels = tuple(_level(row, call, tuple(postings.get(row[4], ()))) for row in rows)
    steps = tuple(HistoryStep(*row) for row in driver.select(_STEPS, [call.session_id]))
    return Explanation(call, levels, steps)


def _level(row: Row, call: CallFacts, postings: tuple[PostingLine, ...]) -> LevelExplanation:
    level, total, tax, uncollected, entry_id, account, *columns = row
    rate = Rate(*columns[:11])
    deck, deck_number, source, effective_from_us = columns[11:15]
    version_id, name, deck_id, unit, scale, digits, tax_mode, tax_ppm, rounding, step = columns[15:25]
    slice_s, renew_before_s, max_call_s, tariff_number, *reserved = columns[25:]
    tariff = Tariff(
        version_id,
        name,
        deck_id,
        Unit(unit, scale, digits),
        TaxMode(tax_mode),
        tax_ppm,
        Rounding(rounding),
        step,
        slice_s,
        renew_before_s,
        max_call_s,
    )
    charged_us = call.granted_us if call.ended_us is None else call.billed_us
    return LevelExplanation(
        level=level,
        account=account,
        rate=rate,
        origin=DeckOrigin(deck, deck_number, source, effective_from_us),
        tariff=tariff,
        tariff_number=tariff_number,
        arithmetic=tuple(arithmetic(rate, tariff, charged_us)),
        total=total,
        tax=tax,
        uncollected=uncollected,
        reserved=reserved[0] if reserved else 0,
        entry_id=entry_id or "",
        postings=postings,
    )


def arithmetic(rate: Rate, tariff: Tariff, duration_us: int) -> Iterator[Line]:
    """How a duration becomes a charge, in the order in which rater.charge() reckons."""
    unit = tariff.unit
    yield Line("charged time", seconds_text(duration_us))
    if duration_us <= 0:
        yield Line("total", f"0 {unit.code}: a call of no duration costs nothing")
        return
    yield from _increments(rate, duration_us)
    billable_s = billable_seconds(rate, duration_us)
    sixtieths = rate.connection_fee * 60 + rate.price_per_min * billable_s
    if rate.connection_fee:
        yield Line("connection fee", price_text(rate.connection_fee))
    if billable_s:
        price = price_text(rate.price_per_min)
        yield Line("price", f"{billable_s} s / 60 x {price} per minute = {_sixtieths_text(sixtieths, rate)}")
        if rate.minimum_charge * 60 > sixtieths:
            sixtieths = rate.minimum_charge * 60
            yield Line("minimum charge", price_text(rate.minimum_charge))
    owed = charge(rate, tariff, duration_us)
    if tariff.tax_mode is TaxMode.EXCLUSIVE:
        percent = to_decimal(tariff.tax_ppm, 4).normalize()
        yield Line("tax", f"{percent:f} % is added")
    steps = "" if tariff.rounding_step == 1 else f" of {tariff.rounding_step}"
    how = f"rounded {tariff.rounding.value.replace('_', ' ')} to {unit.scale} digits{steps}"
    yield Line("total", f"{format_amount(owed.total, unit)} {unit.code}, {how}")
    if tariff.tax_mode is not TaxMode.NONE and tariff.tax_ppm:
        rate_text = f"{tariff.tax_ppm} / {PPM + tariff.tax_ppm}"
        contained = format_amount(owed.tax, unit)
        yield Line("of which tax", f"{contained} {unit.code}: total x {rate_text}, rounded half up")


def _increments(rate: Rate, duration_us: int) -> Iterator[Line]:
    billable_s = billable_seconds(rate, duration_us)
    if rate.free_s:
        yield Line("free seconds", f"{rate.free_s} s")
    if not billable_s:
        yield Line("billable", "0 s: the call ended within the free seconds")
        return
    following = (billable_s - rate.initial_increment_s) // rate.following_increment_s
    parts = f"{rate.initial_increment_s} s initial increment"
    if following:
        parts += f" + {following} x {rate.following_increment_s} s following"
    yield Line("billable", f"{parts} = {billable_s} s")


def seconds_text(duration_us: int) -> str:
    """A duration to the microsecond, e.g. "61.5 s"."""
    return f"{to_decimal(duration_us, 6).normalize():f} s"


def price_text(price: int) -> str:
    """A compiled price as it was written."""
    return f"{to_decimal(price, PRICE_SCALE).normalize():f}"


def _sixtieths_text(sixtieths: int, rate: Rate) -> str:
    exact, rest = divmod(sixtieths, 60)
    with_fee = " with the fee" if rate.connection_fee else ""
    if not rest:
        return price_text(exact) + with_fee
    return f"about {price_text(round_ratio(sixtieths, 60, Rounding.HALF_UP))}{with_fee}"
