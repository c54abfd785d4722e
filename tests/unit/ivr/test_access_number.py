"""The terms of access numbers, as people write them."""

import pytest

from pbxbill.errors import InputRefused
from pbxbill.ivr.access_number import AccessTerms, access_number, parse_terms, read_terms


def test_what_is_written_is_read_again() -> None:
    terms = parse_terms('languages = ["fr", "en"]\nknown_callers = true\nmax_lines = 3\n')
    assert terms == AccessTerms(("fr", "en"), known_callers=True, max_lines=3)
    assert read_terms(terms.written()) == terms


@pytest.mark.parametrize(
    "text, why",
    [
        ("languages = []", "languages: one or more of en, fr, es, each once"),
        ('languages = ["de"]', "languages: one or more of en, fr, es, each once"),
        ('languages = ["en", "en"]', "languages: one or more of en, fr, es, each once"),
        ('languages = "en"', 'languages: a list such as ["en", "fr"]'),
        ("pin_digits = 4", "pin_digits: from 8 to 20"),
        ("pin_digits = true", "pin_digits: a whole number"),
        ("refill = 1", "refill: true or false"),
        ("max_setup_s = 0", "max_setup_s: from 20 to 600"),
        ("max_lins = 3", "an access number has no 'max_lins'"),
        ("max_lines = ", "this is no TOML"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(InputRefused, match=why.replace("[", r"\[").replace("(", r"\(")):
        parse_terms(text)


def test_a_number_is_digits() -> None:
    assert access_number("+33155501") == "33155501"
    for text in ("", "abc", "3315550x", "1" * 33, "٣٣"):
        with pytest.raises(InputRefused):
            access_number(text)
