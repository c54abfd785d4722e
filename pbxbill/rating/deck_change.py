"""What a new price list changes against the one before it, prefix by prefix, and what the new version holds.

All decks come as rates sorted by prefix (as text), so that each is read once, side by side with the
others, whatever their size: the shorter prefixes that a number would fall back to are those just passed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import merge
from itertools import groupby

from pbxbill.rating.tariff import BandPrice, Rate, RateTerms


class Change(StrEnum):
    """What becomes of a prefix."""

    NEW = "new"
    RAISED = "raised"
    """Some call becomes dearer, whatever becomes cheaper."""
    LOWERED = "lowered"
    ENDED = "ended"
    UNCHANGED = "unchanged"


class Finding(StrEnum):
    """What else is worth knowing of a prefix."""

    GAP = "gap"
    """It had a rate, and no row of the new deck would rate it."""
    DEARER_BY_PREFIX = "dearer_by_prefix"
    """A new or ended prefix after which its numbers cost more than by the one that rated them before."""
    DELAYED = "delayed"
    """The old price goes on until the notice is over."""
    SHORT_NOTICE = "short_notice"
    CARRIED = "carried"
    """The old price goes on until the new row begins."""
    RENAMED = "renamed"
    BELOW_COST = "below_cost"
    """It is sold for less than it costs."""
    SUSPICIOUS = "suspicious"
    """A price above what is usual."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a new deck is to be compared and combined with the one before."""

    effective_us: int
    amend: bool = False
    """Prefixes that the sheet does not name keep their rates."""
    notice_until_us: int | None = None
    """Nothing becomes dearer before this moment."""
    delay: bool = False
    """What would begins then; else it is a finding only."""
    suspicious_price: int | None = None
    """A price per minute above this is one."""


@dataclass(frozen=True, slots=True)
class PrefixChange:
    """One prefix: what it was, what it will be."""

    prefix: str
    change: Change
    before: Rate | None
    """Its rate before, or that of the shorter prefix that it had."""
    after: Rate | None
    findings: tuple[Finding, ...] = ()
    sale: Rate | None = None
    """By which it is sold, where that is below cost."""
    rates: tuple[Rate, ...] = ()
    """What the new version holds for it."""

    @property
    def shown(self) -> Rate:
        """A rate that names its destination."""
        found = self.after or self.before or self.sale
        if found is None:
            raise ValueError("a change without a rate")
        return found


@dataclass(slots=True)
class _Passed:
    """The rates of the prefixes around the one that is looked at, the longest last."""

    stack: list[tuple[str, Sequence[Rate]]] = field(default_factory=list)

    def move_to(self, prefix: str) -> None:
        while self.stack and not prefix.startswith(self.stack[-1][0]):
            self.stack.pop()

    def add(self, prefix: str, rates: Sequence[Rate]) -> None:
        if rates:
            self.stack.append((prefix, rates))

    def at(self, moment_us: int) -> Rate | None:
        """The rate in force at a moment for numbers of the prefix last moved to."""
        for _, rates in reversed(self.stack):
            found = in_force(rates, moment_us)
            if found is not None:
                return found
        return None


def compare(
    plan: Plan, old: Iterable[Rate], new: Iterable[Rate], sales: Iterable[Rate] = ()
) -> Iterator[PrefixChange]:
    """Every prefix of the three decks in its order, with what the new version holds for it."""
    passed = (_Passed(), _Passed(), _Passed())
    streams = [_tagged(rates, source) for source, rates in enumerate((old, new, sales))]
    for prefix, group in groupby(merge(*streams, key=_prefix), key=_prefix):
        mine: tuple[list[Rate], list[Rate], list[Rate]] = ([], [], [])
        for _, source, rate in group:
            mine[source].append(rate)
        for deck in passed:
            deck.move_to(prefix)
        change = _changed(plan, prefix, mine, passed)
        if change.before or change.after or change.sale:
            yield change


_Tagged = tuple[str, int, Rate]


def _tagged(rates: Iterable[Rate], source: int) -> Iterator[_Tagged]:
    for rate in rates:
        yield rate.prefix, source, rate


def _prefix(tagged: _Tagged) -> str:
    return tagged[0]


def _changed(
    plan: Plan,
    prefix: str,
    mine: tuple[list[Rate], list[Rate], list[Rate]],
    passed: tuple[_Passed, _Passed, _Passed],
) -> PrefixChange:
    effective_us = plan.effective_us
    olds = [rate for rate in mine[0] if rate.effective_to_us is None or rate.effective_to_us > effective_us]
    news = [rate for rate in mine[1] if rate.effective_to_us is None or rate.effective_to_us > effective_us]
    old, new, sales = passed
    old.add(prefix, olds)
    findings: list[Finding] = []
    if news:
        change, before, kept = _renewed(plan, news, olds, old, findings)
    elif olds and plan.amend:
        change, before, kept = Change.UNCHANGED, olds[0], olds
    elif olds:
        change, before, kept = _ended(plan, olds, new, findings)
    else:  # only sold, or a row that ended before the version begins
        change, before, kept = Change.UNCHANGED, None, []
    new.add(prefix, kept)
    sales.add(prefix, mine[2])
    after = in_force(kept, effective_us) or (kept[0] if kept else None)
    if change is Change.ENDED and (after is None or after is before):
        after = new.at(effective_us)
    sale = _sold_below_cost(effective_us, kept, mine[2], new, sales)
    if sale is not None:
        findings.append(Finding.BELOW_COST)
    highest = plan.suspicious_price
    if highest is not None and any(_dearest(rate) > highest for rate in news):
        findings.append(Finding.SUSPICIOUS)
    return PrefixChange(prefix, change, before, after, tuple(findings), sale, tuple(kept))


def _renewed(
    plan: Plan, news: list[Rate], olds: list[Rate], old: _Passed, findings: list[Finding]
) -> tuple[Change, Rate | None, list[Rate]]:
    """A prefix that the sheet names."""
    kept: list[Rate] = []
    comparisons: list[int] = []
    shown: Rate | None = None
    notice_us = plan.notice_until_us
    for rate in news:
        begins_us = max(plan.effective_us, rate.effective_from_us or plan.effective_us)
        before = old.at(begins_us)
        shown = shown or before
        dearer, cheaper = (False, False) if before is None else compared(before, rate)
        comparisons.append(2 if dearer else 1 if cheaper else 0)
        if dearer and notice_us is not None and begins_us < notice_us:
            if not plan.delay:
                _note(findings, Finding.SHORT_NOTICE)
            else:
                _note(findings, Finding.DELAYED)
                if rate.effective_to_us is not None and rate.effective_to_us <= notice_us:
                    continue
                kept.append(rate._replace(effective_from_us=notice_us))
                continue
        kept.append(rate)
    delayed = Finding.DELAYED in findings
    if olds or delayed:
        until_then = _until_then(plan, news[0].prefix, kept, old, delayed=delayed)
        if until_then and not delayed:
            findings.append(Finding.CARRIED)
        kept += until_then
    kept.sort(key=_begins)
    if not olds:
        if 2 in comparisons:
            findings.append(Finding.DEARER_BY_PREFIX)
        return Change.NEW, shown, kept
    if shown is not None and shown.destination != news[0].destination:
        findings.append(Finding.RENAMED)
    worst = max(comparisons)
    change = Change.RAISED if worst == 2 else Change.LOWERED if worst == 1 else Change.UNCHANGED
    return change, shown or olds[0], kept


def _until_then(plan: Plan, prefix: str, kept: Sequence[Rate], old: _Passed, *, delayed: bool) -> list[Rate]:
    """The old prices for the time before the first new row, and, delayed, for gaps before its notice ends."""
    starts = [max(plan.effective_us, _begins(rate)) for rate in kept]
    until_us = plan.notice_until_us if delayed else min(starts, default=plan.effective_us)
    if until_us is None or until_us <= plan.effective_us:
        return []
    filled: list[Rate] = []
    at_us = plan.effective_us
    for rate in sorted(kept, key=_begins):
        filled += _old_between(plan.effective_us, old, at_us, min(_begins(rate), until_us), prefix)
        at_us = max(at_us, until_us if rate.effective_to_us is None else rate.effective_to_us)
    return filled + _old_between(plan.effective_us, old, at_us, until_us, prefix)


def _old_between(effective_us: int, old: _Passed, from_us: int, until_us: int, prefix: str) -> list[Rate]:
    # The rates that numbers of this prefix have in the old deck within [from, until), cut to it.
    found: list[Rate] = []
    while from_us < until_us:
        edges = [
            edge
            for _, rates in old.stack
            for rate in rates
            for edge in (rate.effective_from_us, rate.effective_to_us)
            if edge is not None and from_us < edge < until_us
        ]
        to_us = min(edges, default=until_us)
        rate = old.at(from_us)
        if rate is not None:
            if found and found[-1].id == rate.id and found[-1].effective_to_us == from_us:
                found[-1] = found[-1]._replace(effective_to_us=to_us)
            else:
                begins_us = rate.effective_from_us if from_us == effective_us else from_us
                found.append(rate._replace(prefix=prefix, effective_from_us=begins_us, effective_to_us=to_us))
        from_us = to_us
    return found


def _ended(
    plan: Plan, olds: list[Rate], new: _Passed, findings: list[Finding]
) -> tuple[Change, Rate, list[Rate]]:
    """A prefix of the old deck that the sheet does not name."""
    before = in_force(olds, plan.effective_us) or olds[0]
    fallback = new.at(plan.effective_us)
    if fallback is None:
        findings.append(Finding.GAP)
        return Change.ENDED, before, []
    if not compared(before, fallback)[0]:
        return Change.ENDED, before, []
    findings.append(Finding.DEARER_BY_PREFIX)
    notice_us = plan.notice_until_us
    if notice_us is None or notice_us <= plan.effective_us:
        return Change.ENDED, before, []
    if not plan.delay:
        findings.append(Finding.SHORT_NOTICE)
        return Change.ENDED, before, []
    findings.append(Finding.DELAYED)
    kept = [
        rate._replace(effective_to_us=min(notice_us, rate.effective_to_us or notice_us))
        for rate in olds
        if _begins(rate) < notice_us
    ]
    return Change.ENDED, before, kept


def _sold_below_cost(
    effective_us: int, costs: Sequence[Rate], sold: Sequence[Rate], new: _Passed, sales: _Passed
) -> Rate | None:
    """The sale that brings less than the new deck asks, at any moment when one of them changes."""
    if not costs and not sold:
        return None
    moments = {effective_us}
    for rate in (*costs, *sold):
        if rate.effective_from_us is not None and rate.effective_from_us > effective_us:
            moments.add(rate.effective_from_us)
    for moment_us in sorted(moments):
        cost, sale = new.at(moment_us), sales.at(moment_us)
        if cost is not None and sale is not None and _below(sale, cost):
            return sale
    return None


def _below(sale: Rate, cost: Rate) -> bool:
    for band in _bands(sale, cost):
        asked, paid = _in_band(cost, band), _in_band(sale, band)
        dearest = max(asked.price_per_min, *(step.price_per_min for step in asked.steps), 0)
        cheapest = min([paid.price_per_min, *(step.price_per_min for step in paid.steps)])
        if cheapest < dearest:
            return True
    return False


def in_force(rates: Sequence[Rate], moment_us: int) -> Rate | None:
    """The rate of one prefix that counts at a moment: of those in force the one that began last."""
    found = None
    for rate in rates:
        if rate.effective_at(moment_us) and (found is None or _begins(rate) >= _begins(found)):
            found = rate
    return found


def compared(before: Rate, after: Rate) -> tuple[bool, bool]:
    """Whether some call is dearer after, and whether some call is cheaper."""
    if before[3:9] == after[3:9] and before.terms == after.terms:
        return False, False
    pairs: list[tuple[int, int]] = []
    for band in _bands(before, after):
        one, other = _in_band(before, band), _in_band(after, band)
        pairs += zip(one[:5], other[:5], strict=True)
        pairs.append((-one.free_s, -other.free_s))
        pairs += [
            (_price_at(one, s), _price_at(other, s)) for s in {x.from_s for x in one.steps + other.steps}
        ]
    one_terms, other_terms = before.terms or RateTerms(), after.terms or RateTerms()
    pairs.append((_cap(one_terms), _cap(other_terms)))
    dearer = any(one < other for one, other in pairs)
    cheaper = any(one > other for one, other in pairs)
    return dearer, cheaper


def _bands(one: Rate, other: Rate) -> list[str]:
    names = {name for rate in (one, other) if rate.terms for name, _ in rate.terms.bands}
    base = not (one.terms and one.terms.banded_only and other.terms and other.terms.banded_only)
    return [*([""] if base or not names else []), *sorted(names)]


def _in_band(rate: Rate, band: str) -> BandPrice:
    terms = rate.terms
    if terms is not None:
        for name, price in terms.bands:
            if name == band:
                return price
    return BandPrice(*rate[3:9], terms.steps if terms else ())


def _price_at(price: BandPrice, second: int) -> int:
    found = price.price_per_min
    for step in price.steps:
        if step.from_s <= second:
            found = step.price_per_min
    return found


_NO_CAP = 2**63


def _cap(terms: RateTerms) -> int:
    return _NO_CAP if terms.maximum_charge is None else terms.maximum_charge


def _dearest(rate: Rate) -> int:
    if rate.terms is None:
        return rate.price_per_min
    prices = [_in_band(rate, band) for band in _bands(rate, rate)]
    return max([x.price_per_min for x in prices] + [s.price_per_min for x in prices for s in x.steps])


def _begins(rate: Rate) -> int:
    return -(2**62) if rate.effective_from_us is None else rate.effective_from_us


def _note(findings: list[Finding], finding: Finding) -> None:
    if finding not in findings:
        findings.append(finding)
