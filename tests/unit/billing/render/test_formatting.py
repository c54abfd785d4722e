"""Amounts, dates and quantities as each language writes them."""

from datetime import date

import pytest

from pbxbill.billing.render.formatting import Formatting, duration
from pbxbill.money import Unit

EUR = Unit("EUR")


@pytest.mark.parametrize(
    "language,unit,amount,shown",
    [
        ("en", EUR, 1_234_560_000, "€1,234.56"),
        ("en", EUR, -1_234_560_000, "−€1,234.56"),
        ("de", EUR, 1_234_560_000, "1.234,56 €"),
        ("fr", EUR, 1_234_560_000, "1\u202f234,56 €"),
        ("es", EUR, 1_234_560_000, "1.234,56 €"),
        ("es", EUR, 12_345_600_000, "12.345,60 €"),
        ("en", Unit("USD"), 500_000, "US$0.50"),
        ("en-US", Unit("USD"), 500_000, "$0.50"),
        ("de-CH", Unit("CHF"), 1_234_500_000, "CHF 1’234.50"),
        ("en", Unit("JPY", 0, 0), 1_234_567, "JP¥1,234,567"),
        ("en", Unit("KWD", 6, 3), 1_234_500, "KWD 1.2345"),
        ("en", Unit("BTC", 8, 8), 1_234, "BTC 0.00001234"),
        ("de", EUR, 9_990_000_000_000_000_000, "9.990.000.000.000,00 €"),
    ],
)
def test_money(language: str, unit: Unit, amount: int, shown: str) -> None:
    assert Formatting(language, unit).money(amount).replace("\u00a0", " ") == shown


def test_more_digits_only_where_there_are_some() -> None:
    formatting = Formatting("en", EUR)
    assert [formatting.amount(x) for x in (1_500_000, 1_234_500, 1)] == ["1.50", "1.2345", "0.000001"]
    assert formatting.digits([1_500_000, 1_234_500]) == 4
    assert formatting.digits([]) == 2
    assert formatting.amount(1_500_000, 4) == "1.5000"


@pytest.mark.parametrize(
    "language,day,period",
    [
        ("en", "1 Feb 2026", "1–28 Feb 2026"),
        ("en-US", "Feb 1, 2026", "Feb 1 – 28, 2026"),
        ("de", "01.02.2026", "1.–28. Feb. 2026"),
        ("fr", "1 févr. 2026", "1–28 févr. 2026"),
        ("es", "1 feb 2026", "1–28 feb 2026"),
    ],
)
def test_days_and_periods(language: str, day: str, period: str) -> None:
    formatting = Formatting(language, EUR)
    assert formatting.day(date(2026, 2, 1)) == day
    assert formatting.period(date(2026, 2, 1), date(2026, 2, 28)).replace("\u00a0", " ") == period


@pytest.mark.parametrize(
    "quantity,measure,shown",
    [
        (1_000_000, "items", "1"),
        (2_500_000, "items", "2.5"),
        (92_437_000_000, "seconds", "25:40:37"),
        (1_234_000_000_000, "calls", "1,234,000"),
        (1_500_000_000_000, "bytes", "1.5 MB"),
        (999_000_000, "bytes", "999"),
        (-3_000_000, "items", "−3"),
    ],
)
def test_quantities(quantity: int, measure: str, shown: str) -> None:
    assert Formatting("en", EUR).quantity(quantity, measure).replace("\u00a0", " ") == shown


def test_rates_and_durations() -> None:
    assert Formatting("en", EUR).percent(190_000) == "19%"
    assert Formatting("de", EUR).percent(77_000) == "7,7\u00a0%"
    assert duration(3_661) == "1:01:01"
    assert duration(-61) == "−0:01:01"
