"""charge(): what a duration costs; affordable(): its exact inverse, how long funds last.

The price of a call is computed exactly, as one fraction, and rounded once, on the total with tax:

    0 seconds                     nothing
    up to the free seconds        the connection fee
    beyond                        max(minimum charge, connection fee + price x billable seconds)

Billable seconds start after the free seconds: one initial increment, then following ones.
The tax is the part that the rounded total contains, whether prices exclude or include it.

A rate with terms and a call with allotments are walked in stretches of one price (stretch.py). Then the
fee, free seconds, minimum and initial increment are those of the band at the answer. Where a bundle pays
for all beyond the free seconds, no fee is owed unless the bundle says so; the minimum needs call time that
is paid; the maximum caps the sum of all this.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pbxbill.clock import SECOND_US
from pbxbill.money import MAX_AMOUNT, Rounding, ceil_div, round_ratio, round_ratio_limit
from pbxbill.rating.allotment import Allotment
from pbxbill.rating.mark_up import calendar_of
from pbxbill.rating.stretch import Run, Walk
from pbxbill.rating.tariff import PPM, BandPrice, Opening, Rate, Tariff, TaxMode

MOST_OPENINGS = 10_000
"""Rates of a tariff."""


class Charge(NamedTuple):
    """What one level owes for a call, in the tariff's unit: total = net + tax."""

    total: int
    tax: int
    billable_s: int
    """Seconds after increments, free seconds not counted, those of bundles counted."""
    taken: tuple[int, ...] = ()
    """Pieces taken from each allotment. An increment that begins in a cycle step is taken from it whole."""
    included_s: int = 0
    """Billable seconds that bundles pay for."""

    @property
    def net(self) -> int:
        """The charge without tax."""
        return self.total - self.tax


class Stretch(NamedTuple):
    """Increments of a call in a row with one price; the next stretch begins where it ends."""

    from_us: int
    to_us: int
    """The end of its last increment, which may lie beyond the end of the call."""
    band: str | None
    """The band in force at its start, where that decides the price."""
    price_per_min: int | None
    """None: free seconds, or included in a bundle."""
    increments: int
    """0: free seconds."""
    billable_s: int
    price: int
    """price_per_min x billable_s, exact: in PRICE_SCALE digits, times Tariff.per."""
    allotment: int | None
    """Which of the call's allotments pays (a bundle) or sets the price (a cycle step)."""


class PriceParts(NamedTuple):
    """What the price of a walked call is made of; amounts in PRICE_SCALE digits, times Tariff.per."""

    start: BandPrice
    """The prices in force at the answer, of which the fee and the minimum count."""
    together: int
    """Call time, and the fee where it is owed."""
    fee_owed: bool
    at_minimum: bool
    """It was raised to the minimum charge."""
    at_maximum: bool
    """It was lowered to the maximum charge."""
    exact: int
    """The price, before it is taxed and rounded."""
    billable_s: int
    included_s: int
    taken: tuple[int, ...]


def billable_seconds(rate: Rate, duration_us: int) -> int:
    """The seconds to pay for after free seconds and increments, for a rate without terms."""
    beyond_us = duration_us - rate.free_s * SECOND_US
    if beyond_us <= 0:
        return 0
    following_us = beyond_us - rate.initial_increment_s * SECOND_US
    if following_us <= 0:
        return rate.initial_increment_s
    increments = -(-following_us // (rate.following_increment_s * SECOND_US))
    return rate.initial_increment_s + increments * rate.following_increment_s


def charge(
    rate: Rate,
    tariff: Tariff,
    duration_us: int,
    start_us: int = 0,
    allotments: Sequence[Allotment] = (),
) -> Charge:
    """What a call of this duration costs that was answered at start_us, UTC microseconds."""
    if rate.terms is None and not allotments:
        if duration_us <= 0:
            return Charge(0, 0, 0)
        seconds = billable_seconds(rate, duration_us)
        total = _plain_total(rate, tariff, seconds)
        return Charge(total, _tax_part(total, tariff), seconds)
    if duration_us <= 0:
        return Charge(0, 0, 0, (0,) * len(allotments))
    found = price_parts(rate, tariff, duration_us, start_us, allotments)
    total = _rounded(found.exact, tariff)
    return Charge(total, _tax_part(total, tariff), found.billable_s, found.taken, found.included_s)


def charge_total(
    rate: Rate,
    tariff: Tariff,
    duration_us: int,
    start_us: int = 0,
    allotments: Sequence[Allotment] = (),
) -> int:
    """The total of charge(), for what is reserved: nobody asks for its tax."""
    if duration_us <= 0:
        return 0
    if rate.terms is None and not allotments:
        return _plain_total(rate, tariff, billable_seconds(rate, duration_us))
    return _rounded(price_parts(rate, tariff, duration_us, start_us, allotments).exact, tariff)


def affordable(
    rate: Rate,
    tariff: Tariff,
    funds: int,
    limit_s: int,
    start_us: int = 0,
    allotments: Sequence[Allotment] = (),
) -> int:
    """The longest duration in microseconds, at most limit_s seconds, that funds and allotments can pay.

    It lies on the end of an increment unless limit_s cuts it: charge(it) <= funds, and where it is
    below the limit one microsecond more would cost more than funds, or the rate's terms end the call
    there. 0: not even the first moment.
    """
    if limit_s <= 0:
        return 0
    factor, denominator = tariff.gross_ratio
    numerator = round_ratio_limit(funds, denominator, tariff.rounding, tariff.rounding_step)
    budget = numerator // factor  # as _plain_total() counts
    if rate.terms is not None or allotments:
        walk = Walk(rate, calendar_of(rate, tariff), start_us, allotments, limit_s)
        return min(limit_s, _Budget(rate, tariff.per, budget, walk, allotments).lasts_s()) * SECOND_US
    beyond_fee = budget - rate.connection_fee * tariff.per
    if beyond_fee < 0:
        return 0
    if limit_s <= rate.free_s:
        return limit_s * SECOND_US
    if budget < rate.minimum_charge * tariff.per:
        return rate.free_s * SECOND_US
    if not rate.price_per_min:
        return limit_s * SECOND_US
    payable_s = beyond_fee // rate.price_per_min
    if payable_s < rate.initial_increment_s:
        return rate.free_s * SECOND_US
    payable_s -= (payable_s - rate.initial_increment_s) % rate.following_increment_s
    return min(limit_s, rate.free_s + payable_s) * SECOND_US


def increment_end(
    rate: Rate,
    duration_us: int,
    tariff: Tariff | None = None,
    start_us: int = 0,
    allotments: Sequence[Allotment] = (),
) -> int:
    """The end of the increment that a duration falls in, microseconds: up to there it is paid."""
    if rate.terms is None and not allotments:
        if duration_us <= rate.free_s * SECOND_US:
            return duration_us
        return (rate.free_s + billable_seconds(rate, duration_us)) * SECOND_US
    calendar = None if tariff is None else calendar_of(rate, tariff)
    walk = Walk(rate, calendar, start_us, allotments, ceil_div(duration_us, SECOND_US))
    if duration_us <= walk.start.free_s * SECOND_US:
        return duration_us
    return (walk.start.free_s + sum(run.seconds for run in walk.runs())) * SECOND_US


def opening(rate: Rate, tariff: Tariff) -> Opening:
    """How calls of a rate without terms begin, reckoned once: they go to the same places again and again."""
    known = tariff.openings.get(rate.id)
    if known is not None and known[0] is rate:  # comparing all of it would take as long as reckoning again
        return known[1]
    slice_us = tariff.slice_s * SECOND_US
    slice_s = billable_seconds(rate, slice_us)
    if slice_s:
        slice_us = (rate.free_s + slice_s) * SECOND_US
    longest_s = billable_seconds(rate, tariff.max_call_s * SECOND_US)
    found = Opening(slice_us, _plain_total(rate, tariff, slice_s), _plain_total(rate, tariff, longest_s))
    if len(tariff.openings) >= MOST_OPENINGS:
        tariff.openings.clear()
    tariff.openings[rate.id] = (rate, found)
    return found


def stretches(
    rate: Rate,
    tariff: Tariff,
    duration_us: int,
    start_us: int = 0,
    allotments: Sequence[Allotment] = (),
) -> tuple[Stretch, ...]:
    """What a call is made of, for those who explain its charge."""
    if duration_us <= 0:
        return ()
    walk = Walk(rate, calendar_of(rate, tariff), start_us, allotments, ceil_div(duration_us, SECOND_US))
    found = []
    if walk.start.free_s:
        free_us = min(walk.start.free_s * SECOND_US, duration_us)
        found.append(Stretch(start_us, start_us + free_us, None, None, 0, 0, 0, None))
    for run in walk.runs():
        if run.increments:
            from_us = start_us + run.from_s * SECOND_US
            price = (run.price_per_min or 0) * run.seconds
            found.append(
                Stretch(
                    from_us,
                    from_us + run.seconds * SECOND_US,
                    run.band,
                    run.price_per_min,
                    run.increments,
                    run.seconds,
                    price,
                    run.allotment,
                )
            )
    return tuple(found)


def _plain_total(rate: Rate, tariff: Tariff, seconds: int) -> int:
    """What so many billable seconds cost by a rate without terms, 0: only the free seconds were used."""
    # The net price times `per`, so that a price of a minute stays whole.
    exact = rate.connection_fee * tariff.per
    if seconds:
        exact = max(rate.minimum_charge * tariff.per, exact + rate.price_per_min * seconds)
    return _rounded(exact, tariff)


def price_parts(
    rate: Rate, tariff: Tariff, duration_us: int, start_us: int, allotments: Sequence[Allotment]
) -> PriceParts:
    """What a call of more than no duration costs, part by part, by a rate with terms or with allotments."""
    walk = Walk(rate, calendar_of(rate, tariff), start_us, allotments, ceil_div(duration_us, SECOND_US))
    taken = [0] * len(allotments)
    together = billable_s = included_s = 0
    fee_owed = time_paid = False
    for run in walk.runs():
        seconds = run.seconds
        billable_s += seconds
        fee_owed = fee_owed or _owes_fee(run, allotments)
        if run.price_per_min is None:
            included_s += seconds
        elif seconds:
            together += run.price_per_min * seconds
            time_paid = True
        if run.allotment is not None and seconds:
            taken[run.allotment] += 1 if allotments[run.allotment].whole_call else seconds
    if fee_owed:
        together += walk.start.connection_fee * tariff.per
    exact = together
    minimum = walk.start.minimum_charge * tariff.per
    at_minimum = time_paid and exact < minimum
    if at_minimum:
        exact = minimum
    at_maximum = False
    if rate.terms is not None and rate.terms.maximum_charge is not None:
        maximum = rate.terms.maximum_charge * tariff.per
        at_maximum = exact > maximum
        exact = min(exact, maximum)
    applied = (fee_owed, at_minimum, at_maximum)
    return PriceParts(walk.start, together, *applied, exact, billable_s, included_s, tuple(taken))


def _owes_fee(run: Run, allotments: Sequence[Allotment]) -> bool:
    # The first run says it for the free seconds too: a call within them owes what it would if it went on.
    return run.price_per_min is not None or (run.allotment is not None and allotments[run.allotment].fee_owed)


class _Budget:
    """How far a walk comes on a budget, which counts as _plain_total() does."""

    def __init__(
        self, rate: Rate, per: int, budget: int, walk: Walk, allotments: Sequence[Allotment]
    ) -> None:
        self._walk = walk
        self._allotments = allotments
        self._budget = budget
        self._fee = walk.start.connection_fee * per
        self._minimum = walk.start.minimum_charge * per
        self._spent = 0  # fee and call time, before minimum and maximum
        self._capped = False
        self._ends_at: int | None = None
        if rate.terms is not None and rate.terms.maximum_charge is not None:
            maximum = rate.terms.maximum_charge * per
            self._capped = budget >= maximum  # call time beyond it costs nothing more
            self._ends_at = maximum if rate.terms.ends_at_maximum else None

    def lasts_s(self) -> int:
        """The seconds after the answer up to which all is paid; it may lie beyond the walk's end."""
        if self._budget < 0:
            return 0
        paid_until_s = 0
        fee_owed = False
        for run in self._walk.runs():
            if not fee_owed and _owes_fee(run, self._allotments):
                fee_owed = True
                self._spent += self._fee
                if self._spent > self._budget and not self._capped:
                    return paid_until_s
            paid_until_s = run.from_s
            increments = run.increments
            if run.price_per_min is not None and increments:
                increments = min(increments, self._payable(run, run.price_per_min))
                self._spent += run.price_per_min * run._replace(increments=increments).seconds
            paid_until_s += run._replace(increments=increments).seconds
            if increments < run.increments:
                break
        return paid_until_s

    def _payable(self, run: Run, price: int) -> int:
        """How many increments of a paid run the budget and the maximum allow."""
        payable = run.increments
        first, following = price * run.first_s, price * run.following_s
        if not self._capped:
            if self._minimum > self._budget:
                return 0
            left = self._budget - self._spent - first
            if left < 0:
                return 0
            if following:
                payable = min(payable, 1 + left // following)
        if self._ends_at is not None:
            # Each begins where what came before is still below the maximum.
            missing = self._ends_at - self._spent
            if missing <= 0:
                return 0
            if following:
                payable = min(payable, 1 + max(0, ceil_div(missing - first, following)))
        return payable


def _rounded(exact: int, tariff: Tariff) -> int:
    factor, denominator = tariff.gross_ratio
    # No wallet holds more, and no column.
    return min(round_ratio(exact * factor, denominator, tariff.rounding, tariff.rounding_step), MAX_AMOUNT)


def _tax_part(total: int, tariff: Tariff) -> int:
    # The tax that the rounded total contains: tax is owed on what is charged, not on what was computed.
    if tariff.tax_mode is TaxMode.NONE or not tariff.tax_ppm:
        return 0
    return round_ratio(total * tariff.tax_ppm, PPM + tariff.tax_ppm, Rounding.HALF_UP)
