"""Codes of vouchers: long, random, and typing mistakes in them are seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import damm

from pbxbill.billing.codes.voucher_codes import FEWEST_DIGITS, MOST_DIGITS, drawn, grouped, read


def coded(digits: str) -> str:
    return digits + damm.calc_check_digit(digits)


_RANDOM = rf"[1-9][0-9]{{{FEWEST_DIGITS - 2},{MOST_DIGITS - 2}}}"
CODES = st.from_regex(_RANDOM, fullmatch=True, alphabet="0123456789").map(coded)
"""Not drawn() ones: what is tried again must be the same again."""


@given(CODES)
def test_a_code_is_read_as_it_was_printed(code: str) -> None:
    assert read(code) == read(grouped(code)) == read(f"  {code[:5]}-{code[5:]}\t") == code
    assert code[0] != "0"


@given(CODES, st.data())
def test_one_wrong_digit_is_always_seen(code: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(code) - 1))
    digit = data.draw(st.sampled_from("0123456789").filter(lambda x: x != code[at]))
    assert read(code[:at] + digit + code[at + 1 :]) is None


@given(CODES, st.data())
def test_two_digits_that_changed_places_are_always_seen(code: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(code) - 2))
    if code[at] != code[at + 1]:
        assert read(code[:at] + code[at + 1] + code[at] + code[at + 2 :]) is None


@pytest.mark.parametrize("text", ["", "hello", "1234", "1" * 15, "1" * 25, "²" * 16, "٣" * 16, "1" * 100_000])
def test_what_is_no_code_is_none(text: str) -> None:
    assert read(text) is None


def test_codes_do_not_repeat() -> None:
    assert len({drawn() for _ in range(5_000)}) == 5_000
