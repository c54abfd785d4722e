"""Numbers, money and minutes as a listener hears them."""

import pytest

from pbxbill.charging.announcement import (
    WORDS,
    Form,
    Number,
    Token,
    Word,
    before_the_call,
    known_language,
    spoken_minutes,
    spoken_money,
    spoken_number,
)
from pbxbill.charging.events import Announcement, FailurePolicy, Granted
from pbxbill.money import Unit

EUR = Unit("EUR")
GBP = Unit("GBP")
BTC = Unit("BTC", scale=8, digits=8)


def heard(tokens: list[Token]) -> str:
    """Tokens as a line of text: "20 and 1f minutes"."""
    marks = {Form.PLAIN: "", Form.FEMININE: "f", Form.SHORT: "s"}
    return " ".join(
        f"{token.value}{marks[token.form]}" if isinstance(token, Number) else token.name for token in tokens
    )


@pytest.mark.parametrize(
    "n,english,french,spanish",
    [
        (0, "0", "0", "0"),
        (1, "1", "1", "1"),
        (16, "16", "16", "16"),
        (20, "20", "20", "20"),
        (21, "20 1", "20 and 1", "21"),
        (22, "20 2", "20 2", "22"),
        (30, "30", "30", "30"),
        (31, "30 1", "30 and 1", "30 and 1"),
        (70, "70", "60 10", "70"),
        (71, "70 1", "60 and 11", "70 and 1"),
        (77, "70 7", "60 17", "70 and 7"),
        (80, "80", "80", "80"),
        (81, "80 1", "80 1", "80 and 1"),
        (91, "90 1", "80 11", "90 and 1"),
        (99, "90 9", "80 19", "90 and 9"),
        (100, "1 hundred", "hundred", "100"),
        (101, "1 hundred 1", "hundred 1", "ciento 1"),
        (200, "2 hundred", "2 hundred", "200"),
        (555, "5 hundred 50 5", "5 hundred 50 5", "500 50 and 5"),
        (1000, "1 thousand", "thousand", "thousand"),
        (1100, "1 thousand 1 hundred", "thousand hundred", "thousand 100"),
        (2001, "2 thousand 1", "2 thousand 1", "2 thousand 1"),
        (21_000, "20 1 thousand", "20 and 1 thousand", "21s thousand"),
        (1_000_000, "1 million", "1 million", "1s million"),
        (2_000_003, "2 millions 3", "2 millions 3", "2 millions 3"),
        (-5, "minus 5", "minus 5", "minus 5"),
    ],
)
def test_numbers(n: int, english: str, french: str, spanish: str) -> None:
    assert heard(spoken_number(n, "en")) == english
    assert heard(spoken_number(n, "fr")) == french
    assert heard(spoken_number(n, "es")) == spanish


@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_every_number_has_words(language: str) -> None:
    """Each token is one that a sound set can hold, and different numbers sound different."""
    seen = set()
    for n in range(1, 3000):
        tokens = spoken_number(n, language)
        assert all(token.value <= 900 for token in tokens if isinstance(token, Number))
        assert all(token.name in WORDS for token in tokens if isinstance(token, Word))
        seen.add(heard(tokens))
    assert len(seen) == 2999


def test_a_number_beyond_the_words_is_capped() -> None:
    assert spoken_number(10**18, "en") == spoken_number(999_999_999, "en")


@pytest.mark.parametrize(
    "amount,unit,english,french,spanish",
    [
        (0, EUR, "0 euros", "0 euro", "0 euros"),
        (1_000_000, EUR, "1 euro", "1 euro", "1s euro"),
        (1_010_000, EUR, "1 euro and 1 cent", "1 euro and 1 cent", "1s euro and 1s cent"),
        (12_500_000, EUR, "12 euros and 50 cents", "12 euros and 50 cents", "12 euros and 50 cents"),
        (12_509_999, EUR, "12 euros and 50 cents", "12 euros and 50 cents", "12 euros and 50 cents"),
        (990_000, EUR, "90 9 cents", "80 19 cents", "90 and 9 cents"),
        (9_999, EUR, "0 euros", "0 euro", "0 euros"),
        (21_000_000, EUR, "20 1 euros", "20 and 1 euros", "21s euros"),
        (71_000_000, EUR, "70 1 euros", "60 and 11 euros", "70 and 1s euros"),
        (1_000_000, GBP, "1 pound", "1f pound", "1f pound"),
        (200_000_000, GBP, "2 hundred pounds", "2 hundred pounds", "200f pounds"),
        (
            -1_500_000,
            EUR,
            "minus 1 euro and 50 cents",
            "minus 1 euro and 50 cents",
            "minus 1s euro and 50 cents",
        ),
        (120_340_000, BTC, "1 point 2 0 3 4 btc", "1 point 2 0 3 4 btc", "1 point 2 0 3 4 btc"),
    ],
)
def test_money(amount: int, unit: Unit, english: str, french: str, spanish: str) -> None:
    assert heard(spoken_money(amount, unit, "en")) == english
    assert heard(spoken_money(amount, unit, "fr")) == french
    assert heard(spoken_money(amount, unit, "es")) == spanish


@pytest.mark.parametrize(
    "seconds,english,french,spanish",
    [
        (-3, "0 seconds", "0 second", "0 seconds"),
        (1, "1 second", "1f second", "1s second"),
        (59, "50 9 seconds", "50 9 seconds", "50 and 9 seconds"),
        (60, "1 minute", "1f minute", "1s minute"),
        (119, "1 minute", "1f minute", "1s minute"),
        (120, "2 minutes", "2 minutes", "2 minutes"),
        (21 * 60, "20 1 minutes", "20 and 1f minutes", "21s minutes"),
        (81 * 60, "80 1 minutes", "80 1f minutes", "80 and 1s minutes"),
        (100 * 60, "1 hundred minutes", "hundred minutes", "100 minutes"),
    ],
)
def test_minutes(seconds: int, english: str, french: str, spanish: str) -> None:
    assert heard(spoken_minutes(seconds, "en")) == english
    assert heard(spoken_minutes(seconds, "fr")) == french
    assert heard(spoken_minutes(seconds, "es")) == spanish


def test_an_unknown_language_is_spoken_in_english() -> None:
    assert known_language("fr-CA") == "fr"
    assert known_language("ES_mx") == "es"
    assert known_language("de") == "en"
    assert known_language("") == "en"


def _granted(announcement: Announcement) -> Granted:
    return Granted(
        session_id="0" * 32,
        account_id=1,
        account_code="2001",
        destination="France",
        called="33123456789",
        unit=EUR,
        available=5_000_000,
        affordable_us=150 * 1_000_000,
        granted_us=60_000_000,
        final=False,
        slice_us=60_000_000,
        renew_before_us=15_000_000,
        max_call_us=7_200_000_000,
        announcement=announcement,
        failure_policy=FailurePolicy.CLOSED,
        wallet_ids=(1,),
    )


def test_only_what_the_account_asks_for_is_said() -> None:
    assert before_the_call(_granted(Announcement())) == []
    assert heard(before_the_call(_granted(Announcement(balance=True)))) == "balance_is 5 euros"
    assert heard(before_the_call(_granted(Announcement("fr", minutes=True)))) == "you_have 2 minutes"
    both = heard(before_the_call(_granted(Announcement("en", balance=True, minutes=True))))
    assert both == "balance_is 5 euros you_have 2 minutes"
