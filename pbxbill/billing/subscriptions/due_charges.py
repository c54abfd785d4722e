"""Which charges a subscription owes up to a moment: set-up, periods, their parts, what is given back, fees.

A subscription is served in stretches of the same terms and quantity: until a change, a pause or its end. The
next stretch begins with the change, or when it is resumed, and is charged by a standing of its own. What is
charged for a period and given back of it always adds up to what its served days cost.

    in advance   a period is charged when it begins, as far as it is known then to be served; what is paid
                 beyond a stop that became known later is given back at the stop
    in arrears   a period is charged when it has ended, or at the stop
    trued up     a minimum spend is compared with the usage of a period when that has ended, or at the stop;
                 a change of the quantity alone is none: both stretches have one minimum
    stop         an end within the minimum term costs the cancellation fee; one before anything was to be
                 paid, in the trial, costs nothing: all that was charged since is given back

What was due is due whenever it is asked for: charges of missed periods come as they would have come one by
one, with the same keys. Whoever makes a change has made all charges up to then first.

An explanation holds, in the unit's steps: `whole`, what the whole period costs; `used`, `of` and `by`, the
days or seconds of it; `period_from_us`, `period_to_us`; of a minimum also `minimum`, that of the part, and
`usage`; of a fee its `fee`, with `amount` and `used` days `of` the term's, or `share_ppm` of `used` months at
`price` for `of` of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pbxbill.billing.charge import ONE, ChargeKind, Collection
from pbxbill.billing.invoices.line_words import ENGLISH
from pbxbill.billing.period import BillingCycle, Period, local_date, months_after
from pbxbill.billing.proration import Proration, portion, prorated
from pbxbill.billing.subscriptions.plan_terms import (
    WHOLE_PPM,
    CancellationFee,
    ChargeType,
    FeeKind,
    PlanCharge,
    PlanTerms,
    PricedPart,
    Timing,
    period_price,
)
from pbxbill.money import Rounding, round_ratio

MAX_PERIODS = 500
"""That one answer catches up with."""
_MONTHS = {"month": 1, "quarter": 3, "year": 12}

Usage = Callable[[Period], int]
"""Net usage of the account in a time, in the plan's unit."""


class Stop(StrEnum):
    """Why a stretch of service is over."""

    CHANGE = "change"
    """Of the plan, its version or a price."""
    QUANTITY = "quantity"
    """Of the quantity alone: what the period's usage must come to goes on."""
    PAUSE = "pause"
    END = "end"


@dataclass(frozen=True, slots=True)
class Standing:
    """A stretch of a subscription's service, and what of it is charged."""

    key: str
    """Of the stretch: keys of its charges begin with it."""
    cycle: BillingCycle
    from_us: int
    """The first moment to be paid for: of sign-up, the trial's end, the change, the resumption."""
    charged_to_us: int
    """As the last answer said; from_us at first."""
    quantity: int = 1
    agreed: Mapping[str, int] = field(default_factory=dict)
    """Prices agreed with the account, by the names of the plan's charges."""
    set_up: bool = True
    """Its set-up and one-time charges are due: it is new, or was changed to a plan that wants them."""
    served_to_us: int | None = None
    """When the stretch before was over; None: there was none."""
    stops_us: int | None = None
    """When it is over; None: that is not known."""
    stop: Stop = Stop.END
    term: Period | None = None
    """The minimum term."""
    taken_over_us: int | None = None
    """Up to when another system has charged it: a minimum spend counts from there."""
    minimum_from_us: int | None = None
    """When the first stretch of these terms began, of those that changes of the quantity alone divide."""


@dataclass(frozen=True, slots=True)
class DueCharge:
    """One charge as it becomes a row."""

    key: str
    kind: ChargeKind
    name: str
    """Of the plan's charge; empty: a minimum spend or a fee."""
    product_class: str
    quantity: int
    """In millionths."""
    unit_price: int
    net: int
    explanation: Mapping[str, int | str]
    at_us: int
    from_us: int | None
    to_us: int | None
    collection: Collection
    deferred: int
    """What of it is not earned yet."""
    first_piece: int = 1
    """Above 1: a later step of a graduated price."""
    reason: Stop | None = None
    """Why something is given back, or a fee is due."""
    gives_back: ChargeKind | None = None
    """Of a credit: the kind of what it gives back."""

    @property
    def facts(self) -> dict[str, str | int]:
        """What its line is about."""
        return {"of": "charge", "kind": self.kind.value, "name": self.name, "piece": self.first_piece}

    @property
    def description(self) -> str:
        """In plain English."""
        return ENGLISH.description(self.facts)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due up to a moment."""

    charges: tuple[DueCharge, ...]
    charged_to_us: int
    """To be kept; when the stretch is over, where it was."""
    next_us: int | None
    """When to ask again; None: never, the stretch is over. Not after the moment asked for: ask at once."""
    over: bool
    """The stretch is over, and all of it is charged."""


def no_usage(period: Period) -> int:
    """The usage of a plan without a minimum spend, which is not asked for."""
    del period
    return 0


def due_charges(terms: PlanTerms, standing: Standing, until_us: int, usage: Usage = no_usage) -> Due:
    """The charges of a stretch that are due up to and at a moment and not made yet.

    Set-up charges, and those at the stop, may come again until charged_to_us has moved, with the same keys.
    """
    stretch = _Stretch(terms, standing, usage)
    stops_us = standing.stops_us
    charged = standing.charged_to_us > standing.from_us
    if stops_us is not None and (
        stops_us < standing.from_us or (stops_us == standing.from_us and not charged)
    ):
        if stops_us > until_us:
            return Due((), standing.charged_to_us, stops_us, over=False)
        # It was charged already where the stop became known after the trial.
        left = stretch.unserved() if charged else stretch.left_of_minimum(stops_us)
        return Due(tuple(left), standing.from_us, None, over=True)
    if standing.from_us > until_us:
        return Due((), standing.charged_to_us, standing.from_us, over=False)
    made: list[DueCharge] = []
    if standing.set_up and standing.charged_to_us == standing.from_us:
        made += stretch.once()
    charged_to_us = standing.charged_to_us
    for _ in range(MAX_PERIODS):
        part, whole = stretch.next_part(charged_to_us)
        if part.from_us >= part.to_us or stretch.due_us(part) > until_us:
            break
        made += stretch.period(part, whole)
        charged_to_us = part.to_us
    if stops_us is None or charged_to_us < stops_us:
        following, _whole = stretch.next_part(charged_to_us)
        return Due(tuple(made), charged_to_us, stretch.due_us(following), over=False)
    if stops_us > until_us:
        return Due(tuple(made), charged_to_us, stops_us, over=False)
    made += stretch.at_stop(stops_us, charged_to_us)
    return Due(tuple(made), stops_us, None, over=True)


@dataclass(frozen=True, slots=True)
class _Stretch:
    terms: PlanTerms
    standing: Standing
    usage: Usage

    def next_part(self, charged_to_us: int) -> tuple[Period, Period]:
        """What is charged next, as far as it is served, and the period that it lies in."""
        whole = self.standing.cycle.period_of(charged_to_us)
        stops_us = self.standing.stops_us
        return Period(charged_to_us, whole.to_us if stops_us is None else min(whole.to_us, stops_us)), whole

    def due_us(self, part: Period) -> int:
        return part.from_us if self.terms.timing is Timing.ADVANCE else part.to_us

    def unserved(self) -> Iterator[DueCharge]:
        """All that was charged of a stretch that ended before it was to be paid for is given back."""
        if self.standing.taken_over_us is None:  # else its set-up was another system's
            yield from self.once(sign=-1)
        charged = Period(self.standing.from_us, self.standing.charged_to_us)
        for whole in self.standing.cycle.periods(charged.from_us, charged.to_us):
            part = whole.common(charged)
            yield from self._recurring(part, whole, part.from_us, sign=-1)

    def left_of_minimum(self, stops_us: int) -> Iterator[DueCharge]:
        """What stretches before left to be trued up, where this one ends in the moment of its beginning."""
        goes_on = self.standing.minimum_from_us is not None and self.standing.minimum_from_us < stops_us
        if goes_on and stops_us > self.standing.cycle.period_of(stops_us).from_us:
            yield from self._true_up(stops_us)

    def once(self, sign: int = 1) -> Iterator[DueCharge]:
        at_us = self.standing.from_us
        for charge in self.terms.charges:
            if charge.type is ChargeType.RECURRING:
                continue
            for priced in self._parts(charge):
                net = sign * priced.quantity * priced.unit_price
                if net:
                    yield self._charge(charge, priced, net, {"whole": net}, at_us=at_us)

    def period(self, part: Period, whole: Period) -> Iterator[DueCharge]:
        """The charges of a period's part, and what is to be trued up with them."""
        in_advance = self.terms.timing is Timing.ADVANCE
        if in_advance and part.from_us > self.standing.from_us:
            yield from self._true_up(part.from_us)
        # Without proration who began the period has paid all of it.
        if self.terms.proration is not Proration.NONE or not self._paid_before(part, whole):
            # The last moment of the service: what is paid in arrears is on the invoice of its period.
            at_us = part.from_us if in_advance else part.to_us - 1
            yield from self._recurring(part, whole, at_us, sign=1)
        if not in_advance:
            yield from self._true_up(part.to_us)

    def at_stop(self, stops_us: int, charged_to_us: int) -> Iterator[DueCharge]:
        """What is given back at a stop, and what it costs."""
        if self.terms.timing is Timing.ADVANCE:
            yield from self._true_up(stops_us)
        if self.terms.proration is not Proration.NONE and stops_us < charged_to_us:
            paid = Period(stops_us, charged_to_us)
            for whole in self.standing.cycle.periods(stops_us, charged_to_us):
                part = whole.common(paid)
                yield from self._recurring(part, whole, part.from_us, sign=-1)
        term = self.standing.term
        fee = None if self.terms.term is None else self.terms.term.fee
        if self.standing.stop is Stop.END and fee is not None and term is not None and stops_us < term.to_us:
            yield from self._fee(fee, term, stops_us)

    def _parts(self, charge: PlanCharge) -> tuple[PricedPart, ...]:
        return charge.parts(self.standing.quantity, self.standing.agreed.get(charge.name))

    def _paid_before(self, part: Period, whole: Period) -> bool:
        if part.from_us > self.standing.from_us:
            return part.from_us > whole.from_us
        served_to_us = self.standing.served_to_us
        return served_to_us is not None and served_to_us > whole.from_us

    def _recurring(self, part: Period, whole: Period, at_us: int, sign: int) -> Iterator[DueCharge]:
        measured = portion(part, whole, self.standing.cycle.zone, self.terms.proration)
        for charge in self.terms.charges:
            if charge.type is not ChargeType.RECURRING:
                continue
            for priced in self._parts(charge):
                amount = sign * priced.quantity * priced.unit_price
                share = measured.share(amount)
                if not share.amount:
                    continue
                explanation = _measures(whole, share.used, share.of, share.by) | {"whole": amount}
                yield self._charge(charge, priced, share.amount, explanation, at_us=at_us, part=part)

    def _charge(
        self,
        charge: PlanCharge,
        priced: PricedPart,
        net: int,
        explanation: dict[str, int | str],
        *,
        at_us: int,
        part: Period | None = None,
    ) -> DueCharge:
        key = [self.standing.key, charge.name, str(part.from_us if part else at_us)]
        if priced.first_piece > 1:
            key.append(str(priced.first_piece))
        if net < 0:
            key.append("credit")
        kind = self.terms.charge_kind(charge)
        in_advance = part is not None and self.terms.timing is Timing.ADVANCE
        return DueCharge(
            key=":".join(key),
            kind=ChargeKind.CREDIT if net < 0 else kind,
            name=charge.name,
            product_class=charge.product_class,
            quantity=priced.quantity * ONE,
            unit_price=priced.unit_price,
            net=net,
            explanation=explanation,
            at_us=at_us,
            from_us=part.from_us if part else None,
            to_us=part.to_us if part else None,
            collection=self.terms.collection,
            deferred=net if in_advance else 0,
            first_piece=priced.first_piece,
            reason=self.standing.stop if net < 0 else None,
            gives_back=kind if net < 0 else None,
        )

    def _true_up(self, to_us: int) -> Iterator[DueCharge]:
        """What is missing to the minimum spend of the period, or its served part, that ends here."""
        if not self.terms.minimum_spend:
            return
        whole = self.standing.cycle.period_of(to_us - 1)
        standing = self.standing
        if standing.stop is Stop.QUANTITY and to_us == standing.stops_us and to_us < whole.to_us:
            return  # the next stretch has the same minimum, and is measured with this one
        began_us = standing.from_us if standing.minimum_from_us is None else standing.minimum_from_us
        part = Period(max(whole.from_us, began_us, standing.taken_over_us or 0), to_us)
        if part.from_us >= to_us:
            return
        # Without proration a minimum would be owed twice where a plan is changed to another.
        by = Proration.DAY if self.terms.proration is Proration.NONE else self.terms.proration
        share = prorated(self.terms.minimum_spend, part, whole, self.standing.cycle.zone, by)
        used = self.usage(part)
        if used >= share.amount:
            return
        explanation = _measures(whole, share.used, share.of, by) | {
            "whole": self.terms.minimum_spend,
            "minimum": share.amount,
            "usage": used,
        }
        net = share.amount - used
        yield self._unnamed(
            ChargeKind.MINIMUM_SPEND, f":minimum:{part.from_us}", net, explanation, to_us - 1, part=part
        )

    def _fee(self, fee: CancellationFee, term: Period, stops_us: int) -> Iterator[DueCharge]:
        cycle = self.standing.cycle
        left = Period(max(stops_us, term.from_us), term.to_us)
        net = fee.amount
        explanation: dict[str, int | str] = {"fee": fee.kind.value}
        if fee.kind is FeeKind.SLIDING:
            share = prorated(fee.amount, left, term, cycle.zone, Proration.DAY)
            net = share.amount
            explanation |= {"amount": fee.amount, "used": share.used, "of": share.of, "by": share.by.value}
        elif fee.kind is FeeKind.REMAINING:
            price = period_price(self.terms, self.standing.quantity, self.standing.agreed)
            used, of, by = _remaining(cycle, left)
            net = round_ratio(price * used * fee.share_ppm, of * WHOLE_PPM, Rounding.HALF_UP)
            explanation |= {"price": price, "used": used, "of": of, "by": by, "share_ppm": fee.share_ppm}
        if net:
            # Like what is paid in arrears: on the last invoice with the service itself.
            at_us = stops_us - 1
            yield self._unnamed(
                ChargeKind.CANCELLATION_FEE, ":fee", net, explanation, at_us, fee.product_class
            )

    def _unnamed(  # noqa: PLR0913, PLR0917  # what differs between a minimum and a fee
        self,
        kind: ChargeKind,
        key: str,
        net: int,
        explanation: Mapping[str, int | str],
        at_us: int,
        product_class: str = "usage",
        part: Period | None = None,
    ) -> DueCharge:
        return DueCharge(
            key=f"{self.standing.key}:{key}",
            kind=kind,
            name="",
            product_class=product_class,
            quantity=ONE,
            unit_price=net,
            net=net,
            explanation=explanation,
            at_us=at_us,
            from_us=part.from_us if part else None,
            to_us=part.to_us if part else None,
            collection=self.terms.collection,
            deferred=0,
            reason=None if part else self.standing.stop,
        )


def _measures(whole: Period, used: int, of: int, by: Proration) -> dict[str, int | str]:
    return {
        "used": used,
        "of": of,
        "by": by.value,
        "period_from_us": whole.from_us,
        "period_to_us": whole.to_us,
    }


def _remaining(cycle: BillingCycle, left: Period) -> tuple[int, int, str]:
    """Months that remain of a term, those begun as whole, and of how many a period is; else its periods."""
    if cycle.unit not in _MONTHS:
        return sum(1 for _ in cycle.periods(left.from_us, left.to_us)), 1, "period"
    first, last = local_date(left.from_us, cycle.zone), local_date(left.to_us, cycle.zone)
    months = max(0, (last.year - first.year) * 12 + last.month - first.month - 1)
    while months_after(first, months) < last:
        months += 1
    return months, _MONTHS[cycle.unit] * cycle.every, "month"
