"""What last period's calls would have brought by another tariff or deck. Nothing is written."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.clock import Clock
from pbxbill.errors import InputRefused
from pbxbill.mediation.past_calls import PastPage, count, pages
from pbxbill.mediation.pricing import NO_RATE, PricedLevel, Pricer, instead_of
from pbxbill.money import Rounding, round_ratio
from pbxbill.rating.tariff import PPM, Tariff, TaxMode
from pbxbill.store.driver import Driver

MAX_NUMBERS = 50_000
"""Numbers without a rate that are told apart; more of them are only counted."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Whose calls of which period, and by what they are tried."""

    from_us: int
    to_us: int
    accounts: tuple[str, ...] = ()
    """Charges of these accounts, at whatever level; empty: of every caller's account."""
    tariff: str | None = None
    deck: str | None = None
    top: int = 10


@dataclass(slots=True)
class Comparison:
    """Sums over some charges of one unit, without tax."""

    calls: int = 0
    billed_us: int = 0
    old: int = 0
    new: int = 0
    cost: int = 0
    """What the one who charges pays for these calls: the level above, or the carrier."""
    without_cost: int = 0
    """Calls of which no cost is known."""
    dearer: int = 0
    cheaper: int = 0
    unrated: int = 0
    """Calls that would have no rate: they bring nothing, and cost nothing."""
    unrated_old: int = 0
    """What these brought."""
    left_out: int = 0
    """Calls that cannot be tried."""


@dataclass(frozen=True, slots=True, order=True)
class Moved:
    """One call that would get dearer or cheaper, with tax."""

    by: int
    session_id: str
    called: str
    destination: str
    account_id: int
    unit: str
    old: int
    new: int


@dataclass(slots=True)
class Outcome:
    """What a scenario comes to."""

    scenario: Scenario
    calls: int = 0
    by_account: dict[tuple[str, int], Comparison] = field(default_factory=dict)
    """By unit and account."""
    by_destination: dict[tuple[str, str], Comparison] = field(default_factory=dict)
    dearest: list[Moved] = field(default_factory=list)
    """Calls whose price rises most, the largest first."""
    cheapest: list[Moved] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)
    """Numbers without a rate, with their calls."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why charges could not be tried."""


Progress = Callable[[int, int], None]
"""Told how many calls are tried, of how many."""


def simulate(connect: Callable[[], Driver], clock: Clock, scenario: Scenario, progress: Progress) -> Outcome:
    """Try a scenario; InputRefused if it names what is not there."""
    if scenario.from_us >= scenario.to_us:
        raise InputRefused("the period ends before it begins")
    if (scenario.tariff is None) == (scenario.deck is None):
        raise InputRefused("name the tariff, or the deck, to try: --tariff or --deck")
    driver = connect()
    try:
        driver.begin_snapshot()
        catalogue = LoadedCatalogue(connect, serving=False)
        catalogue.refresh(driver, clock.now_us())
        account_ids = _ids(driver, scenario.accounts)
        instead = instead_of(driver, catalogue, account_ids, tariff=scenario.tariff, deck=scenario.deck)
        period = (scenario.from_us, scenario.to_us)
        pricer = Pricer(driver, catalogue, period, instead)
        found = _Sums(Outcome(scenario), catalogue)
        total = count(driver, *period, account_ids)
        for page in pages(driver, *period, account_ids):
            for priced in pricer.price(page, instead.counts):
                found.add(page, priced)
            found.outcome.calls += len(page.calls)
            progress(found.outcome.calls, total)
        return found.finished()
    finally:
        driver.rollback()
        driver.close()


def _ids(driver: Driver, codes: tuple[str, ...]) -> list[int] | None:
    if not codes:
        return None
    known: dict[str, int] = dict(driver.select("SELECT code, id FROM accounts"))
    unknown = [code for code in codes if code not in known]
    if unknown:
        raise InputRefused(f"no account {unknown[0]!r}")
    return [known[code] for code in codes]


class _Sums:
    """Adds up charge after charge, in memory that does not grow with their number."""

    def __init__(self, outcome: Outcome, catalogue: LoadedCatalogue) -> None:
        self.outcome = outcome
        self._catalogue = catalogue
        self._dearest: list[Moved] = []
        self._cheapest: list[Moved] = []

    def add(self, page: PastPage, priced: PricedLevel) -> None:
        """One charge as it was and as it would be."""
        outcome, call = self.outcome, priced.call
        old_tariff = self._catalogue.tariff(priced.lines[0].tariff_version_id)
        unit = old_tariff.unit.code
        sums = (
            outcome.by_account.setdefault((unit, priced.account_id), Comparison()),
            outcome.by_destination.setdefault((unit, call.destination), Comparison()),
        )
        before = priced.owed_before
        old = before - _tax_within(before, old_tariff)
        cost = self._cost(page, priced, unit)
        for one in sums:
            one.calls += 1
            if priced.owed is None and priced.why == NO_RATE:
                one.unrated += 1
                one.unrated_old += old
            elif priced.owed is None:
                one.left_out += 1
            else:
                one.billed_us += call.billed_us
                one.old += old
                one.new += priced.owed.net
                one.dearer += priced.owed.total > before
                one.cheaper += priced.owed.total < before
                one.without_cost += cost is None
                one.cost += cost or 0
        if priced.owed is None:
            self._not_tried(priced)
        elif priced.owed.total != before:
            self._moved(priced, unit, before, priced.owed.total)

    def finished(self) -> Outcome:
        """With the lists in their order."""
        self.outcome.dearest = sorted(self._dearest, reverse=True)
        self.outcome.cheapest = sorted(self._cheapest, reverse=True)
        return self.outcome

    def _not_tried(self, priced: PricedLevel) -> None:
        if priced.why != NO_RATE:
            self.outcome.reasons[priced.why] += 1
        elif priced.call.called in self.outcome.numbers or len(self.outcome.numbers) < MAX_NUMBERS:
            self.outcome.numbers[priced.call.called] += 1
        else:
            self.outcome.reasons["no rate, beyond the numbers that are listed"] += 1

    def _moved(self, priced: PricedLevel, unit: str, old: int, new: int) -> None:
        call = priced.call
        kept = self._dearest if new > old else self._cheapest
        moved = Moved(
            abs(new - old), call.session_id, call.called, call.destination, priced.account_id, unit, old, new
        )
        if len(kept) < self.outcome.scenario.top:
            heapq.heappush(kept, moved)
        elif kept:
            heapq.heappushpop(kept, moved)

    def _cost(self, page: PastPage, priced: PricedLevel, unit: str) -> int | None:
        """What the issuer of the charge pays, without tax, in the unit of the charge; None: unknown."""
        above = page.levels[priced.call.session_id].get(priced.level + 1)
        if above is not None:
            tariff = self._catalogue.tariff(above[0].tariff_version_id)
            if tariff.unit.code != unit or len(above) > 1 or above[0].exchange_id is not None:
                return None
            owed = above[0].total + above[0].uncollected
            return owed - _tax_within(owed, tariff)
        cost_unit, cost = page.costs.get(priced.call.session_id, ("", 0))
        return cost if cost_unit == unit else None


def _tax_within(total: int, tariff: Tariff) -> int:
    if tariff.tax_mode is TaxMode.NONE:
        return 0
    return round_ratio(total * tariff.tax_ppm, PPM + tariff.tax_ppm, Rounding.HALF_UP)
