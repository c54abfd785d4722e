"""What a new price list changes against the one before it, prefix by prefix, and what the new version holds.

All decks come as rates sorted by prefix (as text), so that each is read once, side by side with the
others, whatever their size: the shorter prefixes that a number would fall back to are those just passed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import merge
from itertools import groupby

from pbxbill.rating.rate_comparison import compared, dearest_price, sold_below
from pbxbill.rating.tariff import Rate


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
    FOLLOWED = "followed"
    """The sheet has prices of several periods for it."""
    RENAMED = "renamed"
    BELOW_COST = "below_cost"
    """It is sold for less than it costs."""
    SUSPICIOUS = "suspicious"
    """A price above what is usual."""
    SUSPICIOUS_DATE = "suspicious_date"
    """A row that begins earlier or later than is usual."""


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
    usual_begin_us: tuple[int, int] | None = None
    """A row that begins outside of this is suspicious too."""
    ended: frozenset[str] = frozenset()
    """Of a deck that is amended: prefixes that have no rate of their own any more."""


@dataclass(frozen=True, slots=True)
class PrefixChange:
    """One prefix: what it was, what it will be."""

    prefix: str
    change: Change
    before: Rate | None
    """Its rate before, or that of the shorter prefix that it had."""
    after: Rate | None
    """The rate that makes the change, from when it does; not an old one that goes on until then."""
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

    def edges(self, from_us: int, to_us: int | None) -> list[int]:
        """The moments within (from, to) when some of these rates begin or end, in their order."""
        found = {
            edge_us
            for _, rates in self.stack
            for rate in rates
            for edge_us in (rate.effective_from_us, rate.effective_to_us)
            if edge_us is not None and from_us < edge_us and (to_us is None or edge_us < to_us)
        }
        return sorted(found)

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
    findings = [Finding.FOLLOWED] if news and len(mine[1]) > 1 else []
    if news:
        change, before, after, kept = _renewed(plan, news, olds, (old, new), findings)
    elif olds and plan.amend and prefix not in plan.ended:
        change, before, kept = Change.UNCHANGED, olds[0], olds
        after = in_force(olds, effective_us) or olds[0]
    elif olds:
        change, before, after, kept = _ended(plan, olds, new, findings)
    else:  # only sold, or a row that ended before the version begins
        change, before, after, kept = Change.UNCHANGED, None, None, []
    new.add(prefix, kept)
    sales.add(prefix, mine[2])
    sale = _sold_below_cost(effective_us, kept, mine[2], new, sales)
    if sale is not None:
        findings.append(Finding.BELOW_COST)
    highest = plan.suspicious_price
    if highest is not None and any(dearest_price(rate) > highest for rate in news):
        findings.append(Finding.SUSPICIOUS)
    if any(_begins_unusually(plan, rate) for rate in news):
        findings.append(Finding.SUSPICIOUS_DATE)
    return PrefixChange(prefix, change, before, after, tuple(findings), sale, tuple(kept))


_Outcome = tuple[Change, Rate | None, Rate | None, list[Rate]]
"""What became of a prefix; its rates before and after, as they are shown; what is kept for it."""


def _renewed(
    plan: Plan, news: list[Rate], olds: list[Rate], around: tuple[_Passed, _Passed], findings: list[Finding]
) -> _Outcome:
    """A prefix that the sheet names."""
    old, new = around
    shown: Rate | None = None
    dearer = cheaper = short = False
    notice_us = plan.effective_us if plan.notice_until_us is None else plan.notice_until_us
    first_us = min(_begins(rate) for rate in news)
    for moment_us in _moments(plan.effective_us, news, old, new):
        before, after = old.at(moment_us), in_force(news, moment_us)
        if after is None and not (olds and moment_us < first_us):
            after = new.at(moment_us)  # a row that ends leaves its numbers to a shorter prefix
        if before is not None and after is not None:
            shown = shown or before
            up, down = compared(before, after)
            dearer, cheaper = dearer or up, cheaper or (down and after.prefix == news[0].prefix)
            short = short or (up and moment_us < notice_us)
    if short and plan.delay:
        findings.append(Finding.DELAYED)
        kept = told = _delayed(plan.effective_us, notice_us, news, old)
    else:
        told = news
        carried = _carried(plan.effective_us, news, olds)
        kept = carried + news
        findings += [Finding.SHORT_NOTICE] * short + [Finding.CARRIED] * bool(carried)
    changed_from, after = _changing(plan.effective_us, told, old, (dearer, cheaper))
    if not olds:
        findings += [Finding.DEARER_BY_PREFIX] * dearer
        return Change.NEW, changed_from or shown, after, kept
    if shown is not None and shown.destination != news[0].destination:
        findings.append(Finding.RENAMED)
    change = Change.RAISED if dearer else Change.LOWERED if cheaper else Change.UNCHANGED
    return change, changed_from or shown or olds[0], after, kept


def _changing(
    effective_us: int, rates: Sequence[Rate], old: _Passed, change: tuple[bool, bool]
) -> tuple[Rate | None, Rate]:
    """The first of these rates that makes its numbers dearer, or else cheaper, and the rate before it."""
    dearer, cheaper = change
    for rate in sorted(rates, key=_begins):
        before = old.at(max(effective_us, _begins(rate)))
        if before is not None and (dearer or cheaper) and compared(before, rate)[0 if dearer else 1]:
            return before, rate
    return None, in_force(rates, effective_us) or rates[0]


def _moments(effective_us: int, news: Sequence[Rate], old: _Passed, new: _Passed) -> list[int]:
    """When the version begins, and every later moment when a price of these numbers may change."""
    own = _Passed([(news[0].prefix, news)]).edges(effective_us, None)
    return sorted({effective_us, *own, *old.edges(effective_us, None), *new.edges(effective_us, None)})


def _carried(effective_us: int, news: Sequence[Rate], olds: Sequence[Rate]) -> list[Rate]:
    """The prefix's old rates for the time before its first new row begins."""
    until_us = min(_begins(rate) for rate in news)
    return [
        rate._replace(effective_to_us=min(until_us, rate.effective_to_us or until_us))
        for rate in olds
        if until_us > effective_us and _begins(rate) < until_us
    ]


def _delayed(effective_us: int, notice_us: int, news: Sequence[Rate], old: _Passed) -> list[Rate]:
    """Until the notice is over the old price wherever the new one is dearer, then the new ones."""
    edges = set(old.edges(effective_us, notice_us))
    for rate in news:
        for edge_us in (rate.effective_from_us, rate.effective_to_us):
            if edge_us is not None and effective_us < edge_us < notice_us:
                edges.add(edge_us)
    kept: list[Rate] = []
    starts = [effective_us, *sorted(edges)]
    for from_us, to_us in zip(starts, [*starts[1:], notice_us], strict=True):
        before, after = old.at(from_us), in_force(news, from_us)
        if before is not None and (after is None or compared(before, after)[0]):
            after = before._replace(prefix=news[0].prefix)
        if after is None:
            continue
        if kept and kept[-1].effective_to_us == from_us and _same(kept[-1], after):
            kept[-1] = kept[-1]._replace(effective_to_us=to_us)
        else:
            begins_us = after.effective_from_us if from_us == effective_us else from_us
            kept.append(after._replace(effective_from_us=begins_us, effective_to_us=to_us))
    for rate in news:
        if rate.effective_to_us is None or rate.effective_to_us > notice_us:
            if kept and kept[-1].effective_to_us == notice_us and _same(kept[-1], rate):
                kept[-1] = kept[-1]._replace(effective_to_us=rate.effective_to_us)
            else:
                kept.append(rate._replace(effective_from_us=max(notice_us, _begins(rate))))
    return kept


def _same(one: Rate, other: Rate) -> bool:
    return one[1:9] == other[1:9] and one.terms == other.terms


def _ended(plan: Plan, olds: list[Rate], new: _Passed, findings: list[Finding]) -> _Outcome:
    """A prefix of the old deck that the sheet does not name."""
    before, after = in_force(olds, plan.effective_us) or olds[0], new.at(plan.effective_us)
    if after is None:
        findings.append(Finding.GAP)
    own_edges = _Passed([(before.prefix, olds)]).edges(plan.effective_us, None)
    dearer_from_us = None
    for moment_us in sorted({plan.effective_us, *own_edges, *new.edges(plan.effective_us, None)}):
        own, fallback = in_force(olds, moment_us), new.at(moment_us)
        if own is not None and fallback is not None and compared(own, fallback)[0]:
            dearer_from_us = moment_us
            break
    if dearer_from_us is None:
        return Change.ENDED, before, after, []
    findings.append(Finding.DEARER_BY_PREFIX)
    notice_us = plan.notice_until_us
    if notice_us is None or notice_us <= dearer_from_us:
        return Change.ENDED, before, after, []
    if not plan.delay:
        findings.append(Finding.SHORT_NOTICE)
        return Change.ENDED, before, after, []
    findings.append(Finding.DELAYED)
    kept = [
        rate._replace(effective_to_us=min(notice_us, rate.effective_to_us or notice_us))
        for rate in olds
        if _begins(rate) < notice_us
    ]
    later = new.at(notice_us) or after
    return Change.ENDED, before, later and later._replace(effective_from_us=notice_us), kept


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
        if cost is not None and sale is not None and sold_below(sale, cost):
            return sale
    return None


def in_force(rates: Sequence[Rate], moment_us: int) -> Rate | None:
    """The rate of one prefix that counts at a moment: of those in force the one that began last."""
    found = None
    for rate in rates:
        if rate.effective_at(moment_us) and (found is None or _begins(rate) >= _begins(found)):
            found = rate
    return found


def _begins_unusually(plan: Plan, rate: Rate) -> bool:
    if plan.usual_begin_us is None or rate.effective_from_us is None:
        return False
    first_us, last_us = plan.usual_begin_us
    return not first_us <= rate.effective_from_us <= last_us


def _begins(rate: Rate) -> int:
    return -(2**62) if rate.effective_from_us is None else rate.effective_from_us
