"""What past calls should cost: by the catalogue as it stands now, or by another tariff or deck.

A level keeps the version of the tariff that it was charged by; its rates are those that this tariff's deck
has for the call's time as the deck stands now. What bundles paid stays paid by them. Levels that are named
instead follow the tariff or deck that is tried on them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl

from pbxbill.charging.catalogue import RATE_COLUMNS, LoadedCatalogue
from pbxbill.charging.rerating_levels import level_rate
from pbxbill.charging.taken import TakenPieces
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.mediation.bulk import BulkTariff, FlatDeck
from pbxbill.mediation.past_calls import PastCall, PastLine, PastPage
from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.rater import Charge, charge
from pbxbill.rating.tariff import MarkUp, Rate, Tariff
from pbxbill.store.driver import Driver

_VERSIONS = (
    "SELECT effective_from_us, id FROM deck_versions WHERE rate_count > 0 AND deck_id {any_int} "
    "ORDER BY effective_from_us DESC, number DESC"
)
_OPERATORS = "SELECT t.id, t.name FROM {} t JOIN accounts a ON a.id = t.issuer_id WHERE a.kind = 'operator'"
"""Those of the operator, who rates again; resellers may have others of the same names."""
_SCHEMA = {
    "called": pl.String,
    "started_us": pl.Int64,
    "answered_us": pl.Int64,
    "billed_us": pl.Int64,
    "place": pl.Int64,
}


_PLACED = ("place", "rate_id", "billable_s", "total", "tax")

_Level = tuple[PastCall, int, list[PastLine], int]
"""A call's level with its lines, and what was owed for it."""

_Key = tuple[int, int]
"""A tariff's version and deck."""

_Terms = tuple[_Key, tuple[tuple[MarkUp, _Key], ...], int]
"""A tariff, the mark-ups on the way up with the tariff above each, and the deck that they are made on."""


@dataclass(frozen=True, slots=True)
class Instead:
    """Another tariff, or another deck under the same terms, at some levels."""

    tariff: Tariff | None = None
    deck_id: int | None = None
    account_ids: frozenset[int] | None = None
    """At the levels of these accounts; None: at the level of the caller's account."""

    def counts(self, level: int, account_id: int) -> bool:
        """Whether a level follows it."""
        return level == 0 if self.account_ids is None else account_id in self.account_ids

    def of(self, tariff: Tariff) -> Tariff:
        """What a level that was charged by a tariff follows."""
        if self.tariff is not None:
            return self.tariff
        if self.deck_id is not None:
            return replace(tariff, deck_id=self.deck_id, mark_up=None)
        return tariff


class Recorded(NamedTuple):
    """What a level was charged by."""

    tariff: Tariff
    rate: Rate


class PricedLevel(NamedTuple):
    """One level of a past call, as it was charged and as it should be."""

    call: PastCall
    level: int
    lines: list[PastLine]
    tariff: Tariff
    """By which it should be."""
    rate_id: int | None
    owed: Charge | None
    """None: it cannot be said."""
    owed_before: int
    """What was owed until now: taken or not, corrections included."""
    why: str = ""
    """Why not."""

    @property
    def account_id(self) -> int:
        """Who is charged."""
        return self.lines[0].account_id


NO_RATE = "no rate"
CYCLE_STEPS = "another tariff's cycle steps would have counted it"
OTHER_UNIT = "the tariff is in another unit"
NOT_ABOVE = "its tariff marks up another, and no level above it was charged"


class Pricer:
    """Prices the calls of one period."""

    def __init__(
        self, driver: Driver, catalogue: LoadedCatalogue, period: tuple[int, int], instead: Instead
    ) -> None:
        self._driver = driver
        self._catalogue = catalogue
        self._from_us, self._to_us = period
        self._instead = instead
        self._followers: dict[int, Tariff] = {}
        self._tariffs: dict[_Key, Tariff] = {}
        self._plans: dict[_Terms, BulkTariff] = {}
        self._decks: dict[int, list[tuple[int, FlatDeck]]] = {}

    def price(self, page: PastPage, only: Callable[[int, int], bool] | None = None) -> Iterator[PricedLevel]:
        """Every charged level of a page's calls; only: those for whose level and account it is true."""
        waiting: dict[_Terms, list[_Level]] = {}
        taken = TakenPieces(
            self._driver, self._catalogue.offers.bundles, sorted({session_id for session_id, _ in page.held})
        )
        several = [x for x in page.levels.values() if any(_is_several(lines) for lines in x.values())]
        rate_ids = {lines[0].rate_id for levels in several for lines in levels.values()}
        self._catalogue.ensure(self._driver, rate_ids)
        for call in page.calls:
            levels = page.levels.get(call.session_id, {})
            for level, lines in levels.items():
                if only is not None and not only(level, lines[0].account_id):
                    continue
                old = self._catalogue.tariff(lines[0].tariff_version_id)
                tariff = self._tariff(level, lines)
                before = self._owed_before(call, levels, level, taken)
                why = self._refusal(old, tariff)
                terms = None if why else self._terms(levels, level)
                if terms is None:
                    yield PricedLevel(call, level, lines, tariff, None, None, before, why or NOT_ABOVE)
                elif (call.session_id, level) in page.held:
                    yield self._with_pieces(terms, (call, level, lines, before), taken)
                else:
                    waiting.setdefault(terms, []).append((call, level, lines, before))
        for terms, waited in waiting.items():
            yield from self._rated(terms, waited)

    def _terms(self, levels: dict[int, list[PastLine]], level: int) -> _Terms | None:
        """The level's tariff, its mark-ups up to the first level with a deck, and that deck."""
        tariff = own = self._tariff(level, levels[level])
        mark_ups: list[tuple[MarkUp, _Key]] = []
        while tariff.mark_up is not None:
            mark_up = tariff.mark_up
            level += 1
            if level not in levels:
                return None
            tariff = self._tariff(level, levels[level])
            above = (tariff.version_id, tariff.deck_id)
            self._tariffs[above] = tariff
            mark_ups.append((mark_up, above))
        self._tariffs[own.version_id, own.deck_id] = own
        return (own.version_id, own.deck_id), tuple(mark_ups), tariff.deck_id

    def _tariff(self, level: int, lines: list[PastLine]) -> Tariff:
        old = self._catalogue.tariff(lines[0].tariff_version_id)
        if not self._instead.counts(level, lines[0].account_id):
            return old
        found = self._followers.get(old.version_id)
        if found is None:
            found = self._followers[old.version_id] = self._instead.of(old)
        return found

    @staticmethod
    def _refusal(old: Tariff, tariff: Tariff) -> str:
        if tariff.unit.code != old.unit.code:
            return OTHER_UNIT
        if tariff.cycle_steps is not None and tariff.tariff_id != old.tariff_id:
            return CYCLE_STEPS
        return ""

    def _owed_before(
        self, call: PastCall, levels: dict[int, list[PastLine]], level: int, taken: TakenPieces
    ) -> int:
        lines = levels[level]
        if not _is_several(lines):
            return lines[0].total + lines[0].uncollected
        # Wallets of other units may have given a little more than they paid: the rate says what was owed.
        named = {
            number: [Recorded(self._catalogue.tariff(x.tariff_version_id), self._catalogue.rate(x.rate_id))]
            for number, (x, *_) in levels.items()
        }
        rate, tariff = level_rate(named, level), named[level][0].tariff
        return self._charged(call, level, rate, tariff, taken).total

    @staticmethod
    def _charged(call: PastCall, level: int, rate: Rate, tariff: Tariff, taken: TakenPieces) -> Charge:
        """What it costs with the pieces that it took: what bundles paid stays paid by them."""
        free = call.billed_us <= rate.free_s * SECOND_US
        pieces = taken.pieces(call.session_id, level, tariff, within_free=free)
        allotments = [piece.allotment for piece in pieces]
        return charge(rate, tariff, call.billed_us, call.answered_us, allotments)

    def _with_pieces(self, terms: _Terms, waiting: _Level, taken: TakenPieces) -> PricedLevel:
        plan = self._plan(terms)
        call, level, lines, before = waiting
        rate = plan.rate_of(call.called, call.started_us)
        if rate is None:
            return PricedLevel(call, level, lines, plan.tariff, None, None, before, NO_RATE)
        owed = self._charged(call, level, rate, plan.tariff, taken)
        return PricedLevel(call, level, lines, plan.tariff, rate.id, owed, before)

    def _rated(self, terms: _Terms, levels: list[_Level]) -> Iterator[PricedLevel]:
        plan = self._plan(terms)
        rows = [
            (call.called, call.started_us, call.answered_us, call.billed_us, place)
            for place, (call, *_) in enumerate(levels)
        ]
        rated = plan.charged(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
        for place, rate_id, billable_s, total, tax in rated.select(_PLACED).iter_rows():
            call, level, lines, before = levels[place]
            if rate_id is None:
                yield PricedLevel(call, level, lines, plan.tariff, None, None, before, NO_RATE)
            else:
                owed = Charge(total, tax, billable_s)
                yield PricedLevel(call, level, lines, plan.tariff, rate_id, owed, before)

    def _plan(self, terms: _Terms) -> BulkTariff:
        plan = self._plans.get(terms)
        if plan is None:
            key, mark_ups, deck_id = terms

            def repriced(rate: Rate) -> Rate:
                for mark_up, above in reversed(mark_ups):
                    rate = marked_up(rate, mark_up, self._tariffs[above])
                return rate

            plan = self._plans[terms] = BulkTariff(
                self._tariffs[key], self._versions(deck_id), repriced if mark_ups else None
            )
        return plan

    def _versions(self, deck_id: int) -> list[tuple[int, FlatDeck]]:
        """The versions of a deck that are in force some time in the period."""
        found = self._decks.get(deck_id)
        if found is None:
            found = self._decks[deck_id] = []
            for from_us, version_id in self._driver.select(_VERSIONS, [deck_id]):
                if from_us < self._to_us and all(known_us != from_us for known_us, _ in found):
                    found.append((from_us, self._compiled(version_id)))
                if from_us <= self._from_us:
                    break
        return found

    def _compiled(self, version_id: int) -> FlatDeck:
        statement = f"SELECT {RATE_COLUMNS} FROM rates WHERE deck_version_id {{any_int}}"  # noqa: S608 ours
        return FlatDeck(CompiledDeck.from_rows(version_id, self._driver.stream(statement, [version_id])))


def _is_several(lines: list[PastLine]) -> bool:
    return len(lines) > 1 or lines[0].exchange_id is not None


def instead_of(
    driver: Driver,
    catalogue: LoadedCatalogue,
    account_ids: Sequence[int] | None,
    *,
    tariff: str | None,
    deck: str | None,
) -> Instead:
    """What a person named; InputRefused if there is no such tariff or deck."""
    if tariff is not None and deck is not None:
        raise InputRefused("name a tariff or a deck, not both")
    accounts = None if account_ids is None else frozenset(account_ids)
    if tariff is not None:
        ids = {name: id for id, name in driver.select(_OPERATORS.format("tariffs"))}
        found = catalogue.current_tariff(ids[tariff]) if tariff in ids else None
        if found is None:
            raise InputRefused(f"no tariff {tariff!r}; `pbxbill tariffs` lists them")
        return Instead(tariff=found, account_ids=accounts)
    if deck is not None:
        decks = {name: id for id, name in driver.select(_OPERATORS.format("rate_decks"))}
        if deck not in decks:
            raise InputRefused(f"no rate deck {deck!r}; `pbxbill rates import` makes one")
        return Instead(deck_id=decks[deck], account_ids=accounts)
    return Instead(account_ids=accounts)
