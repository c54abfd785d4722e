"""Dialled numbers, friendly and hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.rating.destination import to_e164


@pytest.mark.parametrize(
    "dialled, digits",
    [
        ("4930123456", "4930123456"),
        ("+4930123456", "4930123456"),
        ("004930123456", "4930123456"),
        ("1", "1"),
        ("112", "112"),
        ("123456789012345", "123456789012345"),
        ("+123456789012345", "123456789012345"),
        ("00123456789012345", "123456789012345"),
    ],
)
def test_a_number_is_brought_to_its_digits(dialled: str, digits: str) -> None:
    assert to_e164(dialled) == digits


@pytest.mark.parametrize(
    "dialled",
    [
        "",
        "+",
        "00",
        "++49",
        "+ 49",
        "49 30",
        "49-30",
        "49\n30",
        "4930\n",
        "4930\x00",
        "anonymous",
        "4930x",
        "*100#",
        "49;ext=1",
        "49%30",
        "٤٩٣٠",
        "４９３０",
        "49³0",
        "1234567890123456",
        "+1234567890123456",
        "001234567890123456",
        "9" * 100_000,
    ],
)
def test_what_is_no_number_cannot_be_rated(dialled: str) -> None:
    assert to_e164(dialled) is None


@given(st.text())
def test_whatever_comes_in_only_digits_come_out(dialled: str) -> None:
    digits = to_e164(dialled)
    assert digits is None or (1 <= len(digits) <= 15 and set(digits) <= set("0123456789"))
