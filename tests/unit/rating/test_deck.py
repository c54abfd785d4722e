"""The compiled deck against a plain dictionary of prefixes, and its edges."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InputRefused
from pbxbill.rating.deck import CompiledDeck, RateRow
from pbxbill.rating.tariff import Rate


def longest_prefix(rates: list[Rate], number: str, at_us: int) -> Rate | None:
    """The rule itself: the longest prefix that has a row in force, the latest of its rows."""
    for length in range(len(number), -1, -1):
        in_force = [rate for rate in rates if rate.prefix == number[:length] and rate.effective_at(at_us)]
        if in_force:
            return max(in_force, key=_age)
    return None


def _age(rate: Rate) -> tuple[int, int]:
    return (-(2**63) if rate.effective_from_us is None else rate.effective_from_us, rate.id)


# Few digits, so that prefixes nest and repeat.
prefixes = st.one_of(st.text("019", max_size=5), st.text("0123456789", max_size=15))
numbers = st.one_of(st.text("019", min_size=1, max_size=8), st.text("0123456789", min_size=1, max_size=15))
moments = st.one_of(st.none(), st.integers(-3, 12))


@st.composite
def decks(draw: st.DrawFn) -> list[Rate]:
    terms = draw(st.lists(st.tuples(prefixes, moments, moments, st.integers(0, 2**62)), max_size=30))
    return [
        Rate(id, prefix, f"Zone {id % 3}", price, id, 2 * id, 1 + id, 2 + id, id, from_us, to_us)
        for id, (prefix, from_us, to_us, price) in enumerate(terms)
    ]


@given(decks(), st.lists(st.tuples(numbers, st.integers(-5, 15)), max_size=20))
def test_the_longest_prefix_in_force_counts(rates: list[Rate], lookups: list[tuple[str, int]]) -> None:
    deck = CompiledDeck(1, rates)
    assert len(deck) == len(rates)
    for number, at_us in lookups:
        assert deck.find(number, at_us) == longest_prefix(rates, number, at_us)
    for rate in rates:  # and numbers that certainly begin with a prefix
        number = (rate.prefix + "19")[:15]
        assert deck.find(number, 5) == longest_prefix(rates, number, 5)


@given(decks(), st.randoms(use_true_random=False), numbers)
def test_the_order_of_the_rows_does_not_matter(rates: list[Rate], random: object, number: str) -> None:
    shuffled = list(rates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert CompiledDeck(1, rates).find(number, 5) == CompiledDeck(1, shuffled).find(number, 5)


def rate(id: int, prefix: str, from_us: int | None = None, to_us: int | None = None) -> Rate:
    return Rate(id, prefix, f"Zone {prefix}", 100, effective_from_us=from_us, effective_to_us=to_us)


def found_id(deck: CompiledDeck, number: str, at_us: int = 0) -> int | None:
    found = deck.find(number, at_us)
    return None if found is None else found.id


def test_nested_prefixes() -> None:
    deck = CompiledDeck(1, [rate(1, "1"), rate(2, "1242"), rate(3, "49"), rate(4, "4915"), rate(5, "49151")])
    assert [
        found_id(deck, number) for number in ("12125550100", "12425550100", "49301", "49152", "491512")
    ] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert found_id(deck, "48123") is None
    assert found_id(deck, "50") is None


@pytest.mark.parametrize(
    "prefix, number, matches",
    [
        ("0", "0", True),
        ("0", "000000000000000", True),
        ("000000000000000", "000000000000000", True),
        ("000000000000000", "00000000000000", False),
        ("0", "1", False),
        ("9", "999999999999999", True),
        ("999999999999999", "999999999999999", True),
        ("999999999999999", "999999999999998", False),
        ("999999999999998", "999999999999999", False),
        ("4900", "49", False),
        ("4900", "490", False),
        ("4900", "4900", True),
        ("", "7", True),
    ],
)
def test_edges_of_the_number_space(prefix: str, number: str, matches: bool) -> None:
    assert (CompiledDeck(1, [rate(1, prefix)]).find(number, 0) is not None) is matches


def test_a_number_shorter_than_a_prefix_takes_the_shorter_prefix() -> None:
    deck = CompiledDeck(1, [rate(1, "49"), rate(2, "4900"), rate(3, "490")])
    assert [found_id(deck, number) for number in ("49", "490", "4900", "49000")] == [1, 3, 2, 2]


def test_the_default_route_takes_what_nothing_else_does() -> None:
    deck = CompiledDeck(1, [rate(1, ""), rate(2, "49")])
    assert [found_id(deck, number) for number in ("48", "49", "0")] == [1, 2, 1]


def test_a_row_not_in_force_gives_way_to_an_earlier_one_and_then_to_a_shorter_prefix() -> None:
    deck = CompiledDeck(1, [rate(1, "49"), rate(2, "4915", 100, 200), rate(3, "4915", 200, 300)])
    at = {99: 1, 100: 2, 199: 2, 200: 3, 299: 3, 300: 1}
    assert {moment: found_id(deck, "4915112345", moment) for moment in at} == at


def test_of_overlapping_rows_the_one_that_began_last_counts() -> None:
    rows = [rate(1, "49", None), rate(2, "49", -100), rate(3, "49", 100), rate(4, "49", 100)]
    for given_rows in (rows, rows[::-1]):
        deck = CompiledDeck(1, given_rows)
        assert [found_id(deck, "49", at_us) for at_us in (-101, -100, 99, 100)] == [1, 2, 2, 4]


def test_a_hit_gives_the_whole_row_back() -> None:
    full = Rate(7, "4915", "Germany, mobile", 2**62, 3, 4, 30, 6, 5, -10, 2**60)
    assert CompiledDeck(1, [full]).find("49151", 0) == full
    assert CompiledDeck(1, [full]).version_id == 1


def test_rows_can_be_streamed() -> None:
    def rows() -> "list[RateRow]":
        return [(1, "49", "Germany", 10, 0, 0, 60, 60, 0, None, None)]

    deck = CompiledDeck.from_rows(9, iter(rows()))
    assert deck.version_id == 9
    assert deck.find("4930", 0) == Rate(1, "49", "Germany", 10, 0, 0, 60, 60)


def test_an_empty_deck_finds_nothing() -> None:
    deck = CompiledDeck(1, [])
    assert deck.find("49", 0) is None
    assert len(deck) == 0


@pytest.mark.parametrize("number", ["", "+49", "49 30", "4930x", "٤٩", "4" * 16, "1_0", "-1", "²"])
def test_what_is_no_number_finds_nothing(number: str) -> None:
    assert CompiledDeck(1, [rate(1, "")]).find(number, 0) is None


@pytest.mark.parametrize("prefix", ["1" * 16, "4a", "+49", " 49", "٤٩", "4_9", "-4", "²"])
def test_a_prefix_that_is_not_digits_is_refused(prefix: str) -> None:
    with pytest.raises(InputRefused, match="is not made of up to 15 digits"):
        CompiledDeck(1, [rate(1, prefix)])


@pytest.mark.parametrize(
    "terms",
    [
        {"price_per_min": -1},
        {"connection_fee": -1},
        {"minimum_charge": -1},
        {"initial_increment_s": 0},
        {"following_increment_s": 0},
        {"free_s": -1},
    ],
)
def test_a_rate_that_cannot_be_charged_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(InputRefused, match="prefix 49 has an increment below 1 s or a negative number"):
        CompiledDeck(1, [Rate(1, "49", "Germany", 1)._replace(**terms)])


@pytest.mark.parametrize("terms", [{"price_per_min": 2**63}, {"price_per_min": 0, "free_s": 2**31}])
def test_a_number_that_does_not_fit_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(InputRefused, match="out of range"):
        CompiledDeck(1, [Rate(1, "49", "Germany", 0)._replace(**terms)])
