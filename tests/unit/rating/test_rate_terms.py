"""A rate's terms as text, beside the rows of a deck."""

import json

import pytest
from hypothesis import given

from pbxbill.errors import InputRefused
from pbxbill.rating.deck import CompiledDeck, RateRow
from pbxbill.rating.rate_terms import checked_terms, terms_from_json, terms_to_json
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms, Step
from tests.unit.rating.test_walk import rates

FULL = RateTerms(
    (Step(60, 5), Step(600, 1)),
    (("day", BandPrice(9)), ("night", BandPrice(1, 2, 3, 30, 6, 4, (Step(9, 0),)))),
    True,
    500,
    True,
)


def test_terms_are_short_texts() -> None:
    assert terms_to_json(FULL) == (
        '{"steps":[[60,5],[600,1]],"bands":{"day":[9,0,0,1,1,0,[]],"night":[1,2,3,30,6,4,[[9,0]]]},'
        '"banded_only":true,"maximum":500,"ends_at_maximum":true}'
    )
    assert terms_from_json(terms_to_json(FULL)) == FULL


def test_no_terms_are_no_text() -> None:
    assert terms_to_json(None) is None
    assert terms_to_json(RateTerms()) is None
    assert terms_from_json(None) is None


@given(rates())
def test_any_terms_come_back(rate: Rate) -> None:
    terms = rate.terms
    assert terms is not None
    back = terms_from_json(terms_to_json(terms._replace(ends_at_maximum=False))) or RateTerms()
    assert back == terms._replace(ends_at_maximum=False, bands=tuple(sorted(terms.bands)))


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "are broken"),
        ("[]", "and nothing else"),
        ('{"colour":1}', "and nothing else"),
        ('{"steps":[[60]]}', "are broken"),
        ('{"steps":[[60,"5"]]}', "something else than whole numbers"),
        ('{"steps":[[60,0.5]]}', "something else than whole numbers"),
        ('{"steps":[[60,-5]]}', "negative or out of range"),
        ('{"steps":[[0,5]]}', "do not begin one after the other, each after 0 s"),
        ('{"steps":[[60,5],[60,4]]}', "do not begin one after the other"),
        ('{"bands":[1]}', "are broken"),
        ('{"bands":{"day":[1]}}', "are broken"),
        ('{"bands":{"day":[1,0,0,0,1,0,[]]}}', "the band 'day' of a rate has an increment below 1 s"),
        ('{"bands":{"day":[-1,0,0,1,1,0,[]]}}', "negative or out of range"),
        ('{"bands":{"day":["1",0,0,1,1,0,[]]}}', "something else than whole numbers"),
        ('{"bands":{"":[1,0,0,1,1,0,[]]}}', "has no name"),
        ('{"banded_only":true}', "has no band"),
        ('{"ends_at_maximum":true}', "cannot end at a maximum charge that the rate does not have"),
        ('{"maximum":-1}', "the maximum charge of a rate is negative"),
        ('{"maximum":"1"}', "the maximum charge of a rate is negative"),
        (
            '{"maximum":5,"ends_at_maximum":true,"bands":{"a":[1,5,0,1,1,0,[]]}}',
            "one above the connection fee",
        ),
    ],
)
def test_terms_that_cannot_be_charged_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputRefused, match=sentence):
        terms_from_json(text)


def test_the_numbers_of_steps_and_bands_have_limits() -> None:
    with pytest.raises(InputRefused, match="at most 100 steps"):
        checked_terms(RateTerms(tuple(Step(at, 1) for at in range(1, 102))))


def test_a_deck_keeps_terms_beside_its_rows() -> None:
    text = terms_to_json(FULL)
    rows: list[RateRow] = [
        (1, "49", "Germany", 10, 0, 0, 60, 60, 0, None, None),
        (2, "4915", "Germany, mobile", 10, 0, 0, 60, 60, 0, None, None, text),
        (3, "4916", "Germany, mobile", 10, 0, 0, 60, 60, 0, None, None, text),
        (4, "4917", "Germany, mobile", 10, 0, 0, 60, 60, 0, None, None, None),
    ]
    deck = CompiledDeck.from_rows(1, rows)
    found = {number: deck.find(number, 0) for number in ("4930", "49151", "49161", "49171")}
    assert {number: rate.terms for number, rate in found.items() if rate} == {
        "4930": None,
        "49151": FULL,
        "49161": FULL,
        "49171": None,
    }


def test_rates_with_terms_compile_as_rows_do() -> None:
    rates = [Rate(1, "49", "Germany", 10, terms=FULL), Rate(2, "44", "United Kingdom", 10)]
    deck = CompiledDeck(1, rates)
    assert [deck.find("491", 0), deck.find("441", 0)] == rates


@pytest.mark.parametrize(
    "fee, text, sentence",
    [
        (0, "{", "prefix 49: the terms '{' of a rate are broken"),
        (500, json.dumps({"maximum": 500, "ends_at_maximum": True}), "prefix 49: a call that ends"),
    ],
)
def test_a_deck_with_broken_terms_is_refused(fee: int, text: str, sentence: str) -> None:
    with pytest.raises(InputRefused, match=sentence):
        CompiledDeck.from_rows(1, [(1, "49", "Germany", 10, fee, 0, 60, 60, 0, None, None, text)])
