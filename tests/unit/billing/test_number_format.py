"""Formats of numbers: what they print, and those that could print one number twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.invoices.numbering import DEFAULT_FORMATS, NumberFormat
from pbxbill.errors import InputRefused


@pytest.mark.parametrize(
    "layout, number",
    [
        (DEFAULT_FORMATS["invoice"], "INV-2026-00042"),
        (NumberFormat("{year}/", 1), "2026/42"),
        (NumberFormat("RE ", 3, yearly=False), "RE 042"),
        (NumberFormat("", 8, yearly=False), "00000042"),
        (NumberFormat("", 1, yearly=False), "42"),
    ],
)
def test_a_number_as_it_is_printed(layout: NumberFormat, number: str) -> None:
    assert layout.number(2026, 42) == number
    assert layout.counted(number) == (2026 if layout.yearly else 0, 42)


@pytest.mark.parametrize(
    "prefix, padding, yearly, reason",
    [
        ("INV-", 5, True, "need {year} in their prefix"),
        ("INV{year}", 5, True, "must not end in a digit or {year}, or two numbers could look alike"),
        ("A1", 5, False, "write A1-"),
        ("{month}-", 5, False, "with {year} once"),
        ("{year}-{year}-", 5, True, "with {year} once"),
        ("INV\n", 5, False, "use up to 24 letters"),
        ("N°", 5, False, "use up to 24 letters"),
        ("A" * 25, 5, False, "use up to 24 letters"),
        ("INV-", 0, False, "1 to 12 digits, not 0"),
        ("INV-", 13, False, "1 to 12 digits, not 13"),
    ],
)
def test_formats_that_cannot_be(prefix: str, padding: int, yearly: bool, reason: str) -> None:
    with pytest.raises(InputRefused) as refused:
        NumberFormat(prefix, padding, yearly)
    assert reason in str(refused.value)


@given(
    st.from_regex(r"[A-C0-2-]{0,3}(\{year\})?[A-C0-2-]{0,3}", fullmatch=True),
    st.integers(1, 4),
    st.booleans(),
    st.lists(st.tuples(st.integers(2025, 2027), st.integers(1, 200)), min_size=2, max_size=2),
)
def test_two_counts_never_look_alike(
    prefix: str, padding: int, yearly: bool, issued: list[tuple[int, int]]
) -> None:
    try:
        layout = NumberFormat(prefix, padding, yearly)
    except InputRefused:
        return
    (year, count), (other_year, other_count) = issued
    same = count == other_count and (year == other_year or not layout.yearly)
    alike = layout.number(year, count) == layout.number(other_year, other_count)
    assert alike <= same  # and one count of a sequence is given out once
