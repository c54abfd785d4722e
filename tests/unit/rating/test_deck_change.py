"""What a new price list changes, and what the new version holds: tables, and properties against lookups."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.deck_change import Change, Finding, Plan, PrefixChange, compare
from pbxbill.rating.rate_comparison import compared
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms, Step

NOW = 1_000
NOTICE = 2_000
PLAN = Plan(NOW)


def rate(prefix: str, price: int, begins: int | None = None, ends: int | None = None, **more: Any) -> Rate:
    return Rate(1, prefix, "x", price, effective_from_us=begins, effective_to_us=ends)._replace(**more)


def changes(old: Sequence[Rate], new: Sequence[Rate], plan: Plan = PLAN) -> dict[str, PrefixChange]:
    def ordered(rates: Sequence[Rate]) -> list[Rate]:
        return sorted(rates, key=lambda r: (r.prefix, r.effective_from_us or 0))

    return {change.prefix: change for change in compare(plan, ordered(old), ordered(new))}


@pytest.mark.parametrize(
    "after, change",
    [
        (rate("49", 10), Change.UNCHANGED),
        (rate("49", 11), Change.RAISED),
        (rate("49", 9), Change.LOWERED),
        (rate("49", 9, connection_fee=1), Change.RAISED),  # some calls cost more
        (rate("49", 10, initial_increment_s=60), Change.RAISED),
        (rate("49", 10, free_s=5), Change.LOWERED),
        (rate("49", 10, terms=RateTerms((Step(60, 5),))), Change.LOWERED),
        (rate("49", 10, terms=RateTerms(bands=(("day", BandPrice(11)),))), Change.RAISED),
        (rate("49", 10, terms=RateTerms(bands=(("day", BandPrice(9)),))), Change.LOWERED),
        (rate("49", 10, terms=RateTerms(maximum_charge=100)), Change.LOWERED),
    ],
)
def test_what_is_dearer(after: Rate, change: Change) -> None:
    assert changes([rate("49", 10)], [after])["49"].change is change


def test_an_ended_prefix_falls_back_or_leaves_a_gap() -> None:
    found = changes([rate("49", 10), rate("4915", 5), rate("33", 1)], [rate("49", 10)])
    assert (found["4915"].change, found["4915"].findings) == (Change.ENDED, (Finding.DEARER_BY_PREFIX,))
    assert found["4915"].after == rate("49", 10)
    assert (found["33"].change, found["33"].findings) == (Change.ENDED, (Finding.GAP,))


def test_the_default_route_fills_every_gap() -> None:
    assert not changes([rate("33", 10)], [rate("", 1)])["33"].findings


def test_a_delayed_increase_within_a_lowered_period() -> None:
    plan = Plan(NOW, notice_until_us=NOTICE, delay=True)
    found = changes([rate("49", 10)], [rate("49", 5, None, 1_500), rate("49", 20, 1_500)], plan)["49"]
    assert [(r.price_per_min, r.effective_from_us, r.effective_to_us) for r in found.rates] == [
        (5, None, 1_500),
        (10, 1_500, NOTICE),
        (20, NOTICE, None),
    ]


def test_an_ended_prefix_whose_numbers_become_dearer_waits_as_well() -> None:
    plan = Plan(NOW, notice_until_us=NOTICE, delay=True)
    found = changes([rate("49", 10), rate("4915", 5)], [rate("49", 10)], plan)["4915"]
    assert found.findings == (Finding.DEARER_BY_PREFIX, Finding.DELAYED)
    assert [(r.price_per_min, r.effective_to_us) for r in found.rates] == [(5, NOTICE)]


@pytest.mark.parametrize(
    "new, shown",
    [
        ([rate("49", 20)], (10, 20, NOTICE)),
        ([rate("49", 5, None, 1_500), rate("49", 20, 1_500)], (10, 20, NOTICE)),
        ([rate("49", 10), rate("491", 20)], (10, 20, NOTICE)),  # 491 cost what 49 does
        ([rate("4", 20)], (10, 20, NOTICE)),  # 49 ends
    ],
)
def test_an_increase_that_waits_is_shown_with_its_price_and_date(
    new: list[Rate], shown: tuple[int, int, int]
) -> None:
    plan = Plan(NOW, notice_until_us=NOTICE, delay=True)
    (found,) = [c for c in changes([rate("49", 10)], new, plan).values() if Finding.DELAYED in c.findings]
    assert found.before is not None
    assert found.after is not None
    assert (found.before.price_per_min, found.after.price_per_min, found.after.effective_from_us) == shown


def test_a_price_that_begins_later_is_shown_instead_of_the_one_carried_until_then() -> None:
    found = changes([rate("49", 10)], [rate("49", 10, None, 1_500), rate("49", 20, 1_500)])["49"]
    assert (found.change, found.after) == (Change.RAISED, rate("49", 20, 1_500))
    renamed = rate("49", 10, 1_500, destination="y")
    found = changes([rate("49", 10)], [renamed])["49"]
    assert (found.findings, found.after) == ((Finding.CARRIED, Finding.RENAMED), renamed)


def test_a_deck_without_a_band_is_compared_by_its_own_price() -> None:
    before = rate("49", 10, terms=RateTerms(bands=(("day", BandPrice(20)),)))
    assert compared(before, rate("49", 10)) == (False, True)
    only = before._replace(terms=RateTerms(bands=(("day", BandPrice(20)),), banded_only=True))
    assert compared(only, only._replace(price_per_min=99)) == (False, False)  # nobody is charged by it


def test_what_is_sold_below_cost() -> None:
    costs = [rate("49", 10), rate("491", 30, 1_500)]
    sales = [rate("4", 20), rate("49123", 5)]
    found = {c.prefix: c.sale for c in compare(PLAN, [], costs, sales) if Finding.BELOW_COST in c.findings}
    assert found == {"491": rate("4", 20), "49123": rate("49123", 5)}  # 491 from its later price on


prefixes = st.text("12", max_size=3)
periods = st.sampled_from(
    [(None, None), (None, 1_500), (500, 1_200), (1_200, None), (1_500, 2_500), (1_000, None)]
)
decks = st.dictionaries(prefixes, st.tuples(st.integers(1, 4), periods), max_size=6).map(
    lambda found: [rate(p, price, *period) for p, (price, period) in sorted(found.items())]
)


def price_in(rates: Sequence[Rate], number: str, at_us: int) -> int | None:
    found = CompiledDeck(1, rates).find(number, at_us)
    return None if found is None else found.price_per_min


@pytest.mark.long
@settings(max_examples=500)
@given(decks, decks, st.booleans())
def test_no_number_becomes_dearer_before_the_notice_is_over(
    old: list[Rate], new: list[Rate], amend: bool
) -> None:
    plan = Plan(NOW, amend, NOTICE, delay=True)
    kept = [r for change in compare(plan, old, new) for r in change.rates]
    for number in ("1", "2", "11", "12", "112", "121", "211", "222", "1212"):
        for at_us in (1_000, 1_100, 1_200, 1_400, 1_500, 1_900):
            before, after = price_in(old, number, at_us), price_in(kept, number, at_us)
            assert before is None or after is None or after <= before, (number, at_us)


@given(decks, decks)
def test_without_notice_the_new_deck_counts_from_where_it_begins(old: list[Rate], new: list[Rate]) -> None:
    kept = [r for change in compare(PLAN, old, new) for r in change.rates]
    for number in ("1", "2", "11", "12", "112", "121", "211", "222", "1212"):
        for at_us in (1_500, 2_500, 9_000):
            if price_in(new, number, at_us) is not None:
                assert price_in(kept, number, at_us) == price_in(new, number, at_us)


@given(decks)
def test_the_same_deck_changes_nothing(deck: list[Rate]) -> None:
    for plan in (PLAN, replace(PLAN, amend=True), Plan(NOW, notice_until_us=NOTICE)):
        found = list(compare(plan, deck, deck))
        assert all(change.change is Change.UNCHANGED and not change.findings for change in found)
        kept = [r for change in found for r in change.rates]
        assert kept == [r for r in deck if r.effective_to_us is None or r.effective_to_us > NOW]


@given(decks, decks)
def test_an_amendment_leaves_other_prefixes_as_they_are(old: list[Rate], new: list[Rate]) -> None:
    named = {r.prefix for r in new if r.effective_to_us is None or r.effective_to_us > NOW}
    kept = [r for change in compare(replace(PLAN, amend=True), old, new) for r in change.rates]
    others = [r for r in old if r.prefix not in named and (r.effective_to_us or 9**9) > NOW]
    assert [r for r in kept if r.prefix not in named] == others
