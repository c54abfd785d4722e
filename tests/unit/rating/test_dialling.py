"""Numbers as people dial them in their country, and the numbers that must always get through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import SUPPORTED_REGIONS, PhoneMetadata

from pbxbill.errors import InputRefused
from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.destination import (
    DiallingRule,
    is_emergency,
    rule_from_facts,
    rule_from_json,
    rule_to_json,
    to_e164,
)
from pbxbill.rating.destination_map import DestinationMap
from pbxbill.rating.number_plan import EMERGENCY_MAX_DIGITS, emergency_numbers, is_emergency_number
from pbxbill.rating.tariff import Rate

BERLIN = DiallingRule("berlin", "DE", area_code="30", short_codes=(("22833", "22833"), ("*11", "4930555111")))
GERMANY = DiallingRule("germany", "DE")
NEW_YORK = DiallingRule("new york", "US", area_code="212")
ROME = DiallingRule("rome", "IT")
OFFICE = DiallingRule(
    "office", "DE", technical_prefix="9911", national_prefix="0", emergency_numbers=("19222",)
)
HOTEL = DiallingRule("hotel", "DE", international_prefixes=("90", "900"), national_prefix="9")


@pytest.mark.parametrize(
    "rule, dialled, digits",
    [
        (GERMANY, "030123456", "4930123456"),
        (GERMANY, "+4930123456", "4930123456"),
        (GERMANY, "004930123456", "4930123456"),
        (GERMANY, "0033140205050", "33140205050"),
        (GERMANY, "4930123456", "4930123456"),
        (GERMANY, "030 12 34-56", "4930123456"),
        (GERMANY, "(030) 123.456/7", "49301234567"),
        (GERMANY, "110", "110"),
        (BERLIN, "30123456", "493030123456"),
        (BERLIN, "123456", "4930123456"),
        (BERLIN, "0891234567", "49891234567"),
        (BERLIN, "22833", "22833"),
        (BERLIN, "*11", "4930555111"),
        (NEW_YORK, "5551234", "12125551234"),
        (NEW_YORK, "2125551234", "12125551234"),
        (NEW_YORK, "4155552671", "14155552671"),
        (NEW_YORK, "14155552671", "14155552671"),
        (NEW_YORK, "01144207946000", "44207946000"),
        (ROME, "0612345678", "390612345678"),
        (ROME, "3471234567", "393471234567"),
        (OFFICE, "9911030123456", "4930123456"),
        (OFFICE, "9911+4930123456", "4930123456"),
        (OFFICE, "9911110", "110"),
        (OFFICE, "030123456", "4930123456"),
        (HOTEL, "930123456", "4930123456"),
        (HOTEL, "900331402", "331402"),
        (HOTEL, "90331402", "331402"),
    ],
)
def test_what_is_dialled_becomes_e164(rule: DiallingRule, dialled: str, digits: str) -> None:
    assert to_e164(dialled, rule) == digits


@pytest.mark.parametrize(
    "rule, written, digits",
    [
        (GERMANY, "+49 (0)900 1123456", "499001123456"),
        (GERMANY, "+49(0)900/1123456", "499001123456"),
        (GERMANY, "0049 (0) 900-1123456", "499001123456"),
        (GERMANY, "(+49) (0)900 1123456", "499001123456"),
        (OFFICE, "9911 0049 (0)900 1123456", "499001123456"),
        (NEW_YORK, "+44 (0)20 7946 0000", "442079460000"),
        (NEW_YORK, "011 44 (0)20 7946 0000", "442079460000"),
        (GERMANY, "+7 (8)495 1234567", "74951234567"),
        (GERMANY, "+39 (0)6 12345678", "390612345678"),
        (GERMANY, "+1 (212) 5551234", "12125551234"),
        (GERMANY, "+49 (30) 123456", "4930123456"),
        (GERMANY, "(0)30 123456", "4930123456"),
        (GERMANY, "+49 30 (0)123456", "49300123456"),
        (GERMANY, "+49 0900 1123456", "4909001123456"),
    ],
)
def test_a_zero_written_in_brackets_behind_a_country_code_is_not_dialled(
    rule: DiallingRule, written: str, digits: str
) -> None:
    assert to_e164(written, rule) == digits


def test_a_number_written_with_a_zero_in_brackets_has_the_class_and_rate_of_the_dialled_one() -> None:
    written, dialled = (to_e164(number, GERMANY) for number in ("+49 (0)900 1123456", "09001123456"))
    assert written is not None
    assert dialled is not None
    deck = CompiledDeck(1, [Rate(1, "49", "Germany", 1), Rate(2, "49900", "Germany premium", 2)])
    for number in (written, dialled):
        assert DestinationMap().classify(number, GERMANY).kind == "premium"
        rate = deck.find(number, 0)
        assert rate is not None
        assert rate.destination == "Germany premium"


@pytest.mark.parametrize(
    "dialled",
    ["", "+", "00", "*100#", "lettuce", "0049 (30) x", "٠٣٠١٢٣", "0" * 100, "+1234567890123456", "++49"],
)
def test_what_is_no_number_stays_none(dialled: str) -> None:
    assert to_e164(dialled, GERMANY) is None


@given(st.text(alphabet="0123456789+*# -", max_size=40))
def test_whatever_is_dialled_only_digits_come_out(dialled: str) -> None:
    for rule in (GERMANY, BERLIN, NEW_YORK, OFFICE, HOTEL):
        digits = to_e164(dialled, rule)
        assert digits is None or (1 <= len(digits) <= 15 and set(digits) <= set("0123456789"))


@given(st.integers(min_value=2_000_000, max_value=9_999_999))
def test_e164_stays_what_it_is_in_every_country(number: int) -> None:
    for rule in (GERMANY, BERLIN, NEW_YORK, ROME, OFFICE, HOTEL):
        assert to_e164(f"+4930{number}", rule) == f"4930{number}"


@pytest.mark.parametrize(
    "rule, dialled",
    [
        (GERMANY, "110"),
        (GERMANY, "112"),
        (GERMANY, "1 1 2"),
        (GERMANY, "+112"),
        (GERMANY, "1-1-0"),
        (NEW_YORK, "911"),
        (NEW_YORK, "112"),
        (DiallingRule("london", "GB"), "999"),
        (DiallingRule("sydney", "AU"), "000"),
        (DiallingRule("paris", "FR"), "15"),
        (OFFICE, "19222"),
        (OFFICE, "9911112"),
        (OFFICE, "112"),
        (None, "112"),
        (None, "911"),
    ],
)
def test_emergency_numbers_are_known(rule: DiallingRule | None, dialled: str) -> None:
    assert is_emergency(dialled, rule)


@pytest.mark.parametrize(
    "rule, dialled",
    [
        (NEW_YORK, "9112"),
        (NEW_YORK, "9110000000"),
        (NEW_YORK, "19115551234"),
        (NEW_YORK, "+911123456789"),
        (GERMANY, "911"),
        (GERMANY, "1100"),
        (GERMANY, "1120900123456"),
        (GERMANY, "11090012345"),
        (GERMANY, "0900110112"),
        (GERMANY, "0110"),
        (GERMANY, ""),
        (GERMANY, "１１２"),
        (GERMANY, "112;ext=1"),
        (GERMANY, "112@evil"),
        (GERMANY, "1 " * 1000),
        (OFFICE, "99111120"),
        (OFFICE, "9911"),
        (None, "110"),
        (None, "1120"),
    ],
)
def test_what_only_looks_like_one_is_none(rule: DiallingRule | None, dialled: str) -> None:
    assert not is_emergency(dialled, rule)


def test_no_country_has_a_longer_emergency_number_than_is_looked_for() -> None:
    plans = [PhoneMetadata.short_metadata_for_region(region) for region in SUPPORTED_REGIONS]
    lengths = {n for plan in plans if plan and plan.emergency for n in plan.emergency.possible_length}
    assert max(lengths) <= EMERGENCY_MAX_DIGITS


@given(st.text(alphabet="0123456789", min_size=1, max_size=12))
def test_digits_behind_an_emergency_number_make_it_another(more: str) -> None:
    assert not is_emergency("112" + more, GERMANY)
    assert not is_emergency("911" + more, NEW_YORK)


def test_an_emergency_number_may_be_a_short_code_of_itself_only() -> None:
    rule = rule_from_facts("x", {"region": "DE", "short_codes": {"110": "", "112": "+112"}})
    assert (to_e164("110", rule), to_e164("112", rule)) == ("110", "112")


def test_an_outside_line_of_nine_leaves_911_what_it_is() -> None:
    rule = rule_from_facts(
        "x", {"region": "US", "technical_prefix": "9", "short_codes": {"11": "12125550100"}}
    )
    for dialled in ("911", "9911", "9 9-11"):
        assert is_emergency(dialled, rule)
        assert to_e164(dialled, rule) == "911"
    assert to_e164("12125551234", rule) == to_e164("912125551234", rule) == "12125551234"


def test_a_rule_that_was_kept_can_lead_no_call_for_help_elsewhere() -> None:
    facts = '{"region": "DE", "technical_prefix": "11", "short_codes": {"110": "88216123456"}}'
    rule = rule_from_json("old", facts)
    for dialled in ("110", "112", "1 1 0", "11110"):
        assert is_emergency(dialled, rule)
        assert to_e164(dialled, rule) in ("110", "112")


@pytest.mark.parametrize("region", ["DE", "US", "GB", "AU", "FR", "IT", "RU", "IN", "BR", "JP"])
def test_all_emergency_numbers_of_a_country_are_known_beforehand(region: str) -> None:
    known = {
        digits
        for length in range(2, 5)
        for number in range(10**length)
        if is_emergency_number(digits := f"{number:0{length}}", region)
    }
    assert known
    assert known == {number for number in emergency_numbers(region) if len(number) < 5}


@pytest.mark.parametrize("rule", [BERLIN, GERMANY, NEW_YORK, ROME, OFFICE, HOTEL], ids=lambda rule: rule.name)
def test_a_rule_comes_back_from_its_text(rule: DiallingRule) -> None:
    assert rule_from_json(rule.name, rule_to_json(rule)) == rule


@pytest.mark.parametrize(
    "facts, message",
    [
        ({}, "needs its region"),
        ({"region": "Germany"}, "'GERMANY' is no country"),
        ({"region": 49}, "the region of a dialling rule is a text"),
        ({"region": "DE", "prefix": "0"}, "not 'prefix'"),
        (
            {"region": "DE", "international_prefixes": "00"},
            "international prefixes of a dialling rule is a list",
        ),
        ({"region": "DE", "international_prefixes": ["+"]}, "international prefix '+' is not 1 to 15 digits"),
        ({"region": "DE", "short_codes": {"100": 4930}}, "short codes of a dialling rule is a table"),
        ({"region": "DE", "short_codes": {"*100": ""}}, "short code's number '*100' is not 1 to 15 digits"),
        ({"region": "DE", "short_codes": {"a": "49"}}, "'a' cannot be dialled"),
        (
            {"region": "DE", "short_codes": {"110": "88216123456"}},
            "110 is an emergency number, and its short code would lead to 88216123456",
        ),
        (
            {"region": "DE", "emergency_numbers": ["19222"], "short_codes": {"19222": "4930"}},
            "19222 is an emergency number",
        ),
        ({"region": "DE", "area_code": "03-0"}, "area code '03-0' is not 1 to 15 digits"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(facts: dict, message: str) -> None:
    with pytest.raises(InputRefused, match=message.replace("*", r"\*").replace("+", r"\+")):
        rule_from_facts("x", facts)
