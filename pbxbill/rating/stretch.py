"""The walk through a call: its increments, in stretches of one price each, from the answer on.

    free seconds      nothing is taken and nothing is paid
    allotments        in their order: included pieces of bundles, priced pieces of cycle steps
    the rate          by the band and the step in force where an increment begins

Increments begin at whole seconds after the answer. A run of them is reckoned with at once, so that a walk
takes as long as the call has stretches, not increments. What it all costs is rater.py's.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pbxbill.clock import SECOND_US
from pbxbill.money import ceil_div
from pbxbill.rating.allotment import UNLIMITED, Allotment
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms

_NO_TERMS = RateTerms()


class Run(NamedTuple):
    """Increments in a row with one price, each as long as the others but perhaps the first."""

    from_s: int
    """Counted from the answer."""
    first_s: int
    following_s: int
    increments: int
    price_per_min: int | None
    """None: included in a bundle."""
    allotment: int | None
    """Which of the call's allotments the pieces are taken from; None: the rate's own price."""
    band: str | None

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.first_s + (self.increments - 1) * self.following_s if self.increments else 0


class Walk:
    """One call of one rate; until_s is where no further increment may begin."""

    def __init__(
        self,
        rate: Rate,
        calendar: BandCalendar | None,
        start_us: int,
        allotments: Sequence[Allotment],
        until_s: int,
    ) -> None:
        terms = rate.terms or _NO_TERMS
        self._bands = dict(terms.bands) if calendar is not None else {}
        self._calendar = calendar if self._bands else None
        self._own = self._elsewhere = own_prices(rate)
        if terms.banded_only and self._bands:
            # Whoever made the deck was to refuse a gap. Call time is not given away in one that is left.
            self._elsewhere = max(self._bands.values(), key=_price_per_min)
        self._start_us = start_us
        self._until_s = until_s
        self._until_us = start_us + until_s * SECOND_US
        self._allotments = allotments
        self._first = True
        self.start = self._in_force(0)[1]
        """The prices in force at the answer: fee, free seconds, minimum and initial increment are theirs."""
        self._second = self.start.free_s

    def runs(self) -> Iterator[Run]:
        """The call's runs. The first comes even if no increment begins: it says who would pay."""
        spilled: dict[int, int] = {}
        for index, allotment in enumerate(self._allotments):
            if allotment.price_per_min is None:
                run = self._included(index, allotment)
                if run is None:
                    continue
                yield run
                if self._second >= self._until_s:
                    return
            else:
                # An increment that began in an earlier step of this counter may reach into this one.
                left = allotment.available - spilled.get(allotment.counter_id, 0)
                while left > 0:
                    run = self._priced(index, allotment.price_per_min, left)
                    yield run
                    if self._second >= self._until_s:
                        return
                    left -= run.seconds
                spilled[allotment.counter_id] = -left
        while True:
            yield self._priced(None, None, UNLIMITED)
            if self._second >= self._until_s:
                return

    def _included(self, index: int, allotment: Allotment) -> Run | None:
        # By whole increments of the allotment itself: what is left below one stays unused.
        first_s = allotment.initial_increment_s if self._first else allotment.following_increment_s
        if allotment.whole_call:
            available = UNLIMITED if allotment.available > 0 else 0
        else:
            available = allotment.available
        if available < first_s:
            return None
        increments = min(
            1 + (available - first_s) // allotment.following_increment_s,
            _begun(self._second, first_s, allotment.following_increment_s, self._until_s),
        )
        return self._walked(
            Run(self._second, first_s, allotment.following_increment_s, increments, None, index, None)
        )

    def _priced(self, index: int | None, price: int | None, left: int) -> Run:
        # By the rate's own increments, up to the edge of a band or step or until no piece is left.
        band, prices, bound_s = self._in_force(self._second)
        if price is None:
            price = prices.price_per_min
            for step in prices.steps:
                if step.from_s > self._second:
                    bound_s = min(bound_s, step.from_s)
                    break
                price = step.price_per_min
        first_s = self.start.initial_increment_s if self._first else prices.following_increment_s
        bound_s = min(bound_s, self._second + left)
        increments = _begun(self._second, first_s, prices.following_increment_s, bound_s)
        return self._walked(
            Run(self._second, first_s, prices.following_increment_s, increments, price, index, band)
        )

    def _walked(self, run: Run) -> Run:
        self._second += run.seconds
        self._first = self._first and not run.increments
        return run

    def _in_force(self, second: int) -> tuple[str | None, BandPrice, int]:
        # The band, its prices, and the second from which on increments belong to another one.
        if self._calendar is None:
            return None, self._own, self._until_s
        moment_us = self._start_us + second * SECOND_US
        band, edge_us = self._calendar.span_at(moment_us, max(moment_us, self._until_us))
        prices = self._elsewhere if band is None else self._bands.get(band, self._elsewhere)
        return band, prices, min(self._until_s, ceil_div(edge_us - self._start_us, SECOND_US))


def own_prices(rate: Rate) -> BandPrice:
    """The prices of a rate outside its bands."""
    return BandPrice(
        rate.price_per_min,
        rate.connection_fee,
        rate.minimum_charge,
        rate.initial_increment_s,
        rate.following_increment_s,
        rate.free_s,
        () if rate.terms is None else rate.terms.steps,
    )


def _begun(from_s: int, first_s: int, following_s: int, bound_s: int) -> int:
    """How many increments begin within [from_s, bound_s)."""
    if from_s >= bound_s:
        return 0
    beyond_s = bound_s - from_s - first_s
    return 1 if beyond_s <= 0 else 1 + ceil_div(beyond_s, following_s)


def _price_per_min(prices: BandPrice) -> int:
    return prices.price_per_min
