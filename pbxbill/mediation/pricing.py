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
from pbxbill.errors import InputRefused
from pbxbill.mediation.bulk import BulkTariff, FlatDeck
from pbxbill.mediation.past_calls import PastCall, PastLine, PastPage
from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.rater import Charge
from pbxbill.rating.tariff import Tariff
from pbxbill.store.driver import Driver

_VERSIONS = (
    "SELECT effective_from_us, id FROM deck_versions WHERE rate_count > 0 AND deck_id {any_int} "
    "ORDER BY effective_from_us DESC, number DESC"
)
_SCHEMA = {
    "called": pl.String,
    "started_us": pl.Int64,
    "answered_us": pl.Int64,
    "billed_us": pl.Int64,
    "place": pl.Int64,
}


_Level = tuple[PastCall, int, list[PastLine]]


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
    why: str = ""
    """Why not."""

    @property
    def account_id(self) -> int:
        """Who is charged."""
        return self.lines[0].account_id

    @property
    def owed_before(self) -> int:
        """What was owed until now: taken or not, corrections included."""
        return sum(line.total + line.uncollected for line in self.lines)


NO_RATE = "no rate"
HELD = "paid from a bundle or in cycle steps"
SEVERAL = "paid from several wallets, or one of another unit"
OTHER_UNIT = "the tariff is in another unit"
MARKED_UP = "its tariff is a mark-up"


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
        self._plans: dict[tuple[int, int], BulkTariff] = {}
        self._decks: dict[int, list[tuple[int, FlatDeck]]] = {}

    def price(self, page: PastPage, only: Callable[[int, int], bool] | None = None) -> Iterator[PricedLevel]:
        """Every charged level of a page's calls; only: those for whose level and account it is true."""
        waiting: dict[tuple[int, int], tuple[Tariff, list[_Level]]] = {}
        for call in page.calls:
            for level, lines in page.levels.get(call.session_id, {}).items():
                if only is not None and not only(level, lines[0].account_id):
                    continue
                old = self._catalogue.tariff(lines[0].tariff_version_id)
                tariff = old
                if self._instead.counts(level, lines[0].account_id):
                    tariff = self._followed(old)
                held = (call.session_id, level) in page.held
                why = self._refusal(held, lines, old, tariff)
                if why:
                    yield PricedLevel(call, level, lines, tariff, None, None, why)
                else:
                    waiting.setdefault((tariff.version_id, tariff.deck_id), (tariff, []))[1].append(
                        (call, level, lines)
                    )
        for tariff, levels in waiting.values():
            yield from self._rated(tariff, levels)

    def _followed(self, old: Tariff) -> Tariff:
        found = self._followers.get(old.version_id)
        if found is None:
            found = self._followers[old.version_id] = self._instead.of(old)
        return found

    @staticmethod
    def _refusal(held: bool, lines: list[PastLine], old: Tariff, tariff: Tariff) -> str:
        if held:
            return HELD
        if len(lines) > 1 or lines[0].exchange_id is not None:
            return SEVERAL
        if tariff.unit.code != old.unit.code:
            return OTHER_UNIT
        if tariff.mark_up is not None:
            return MARKED_UP
        return ""

    def _rated(self, tariff: Tariff, levels: list[_Level]) -> Iterator[PricedLevel]:
        rows = [
            (call.called, call.started_us, call.answered_us, call.billed_us, place)
            for place, (call, _, _) in enumerate(levels)
        ]
        rated = self._plan(tariff).charged(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
        for place, rate_id, billable_s, total, tax in rated.select(
            "place", "rate_id", "billable_s", "total", "tax"
        ).iter_rows():
            call, level, lines = levels[place]
            if rate_id is None:
                yield PricedLevel(call, level, lines, tariff, None, None, NO_RATE)
            else:
                owed = Charge(total, tax, billable_s)
                yield PricedLevel(call, level, lines, tariff, rate_id, owed)

    def _plan(self, tariff: Tariff) -> BulkTariff:
        key = (tariff.version_id, tariff.deck_id)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = BulkTariff(tariff, self._versions(tariff.deck_id))
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
        ids = {name: id for id, name in driver.select("SELECT id, name FROM tariffs")}
        found = catalogue.current_tariff(ids[tariff]) if tariff in ids else None
        if found is None:
            raise InputRefused(f"no tariff {tariff!r}; `pbxbill tariffs` lists them")
        return Instead(tariff=found, account_ids=accounts)
    if deck is not None:
        decks = {name: id for id, name in driver.select("SELECT id, name FROM rate_decks")}
        if deck not in decks:
            raise InputRefused(f"no rate deck {deck!r}; `pbxbill rates import` makes one")
        return Instead(deck_id=decks[deck], account_ids=accounts)
    return Instead(account_ids=accounts)
