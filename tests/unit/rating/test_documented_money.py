"""The worked examples of docs/wallets-and-exchange.md, docs/bundles.md and docs/carriers.md, reckoned."""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from pbxbill.clock import SECOND_US
from pbxbill.money import Unit, compile_price, format_amount, parse_amount, parse_decimal
from pbxbill.rating.allotment import Allotment
from pbxbill.rating.bundle import Bundle, Measure, allowed_in_window
from pbxbill.rating.exchange import EXCHANGE_SCALE, ExchangeRate, Source, allocate, to_wallet, total_worth
from pbxbill.rating.margin import call_cost, margin
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import Rate, Tariff, TaxMode

DOCS = Path(__file__).parent.parent.parent.parent / "docs"
EUR = Unit("EUR", 6, 0)
RATE = Unit("", EXCHANGE_SCALE)


def table(page: str, first_column: str) -> list[list[str]]:
    """The cells of the rows of one table."""
    return list(_rows((DOCS / page).read_text().splitlines(), first_column))


def _rows(lines: list[str], first_column: str) -> Iterator[list[str]]:
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def price(text: str) -> int:
    return compile_price(parse_decimal(text))


@pytest.mark.parametrize("owed,exchange,keeps,taken", table("wallets-and-exchange.md", "owed"))
def test_amounts_between_units(owed: str, exchange: str, keeps: str, taken: str) -> None:
    amount, code = taken.split()
    wallet = Unit(code, int(keeps.split(maxsplit=1)[0]), 0)
    one, from_unit, _, value, to_unit = exchange.split()
    assert (one, owed.split()[1]) == ("1", "EUR")
    rate = ExchangeRate(1, from_unit, to_unit, parse_amount(value, RATE), 0)
    found = to_wallet(parse_amount(owed.split(maxsplit=1)[0], EUR), rate, EUR, wallet)
    assert format_amount(found, wallet) == amount


@pytest.mark.parametrize(
    "owed,points,dollars,euros,uncollected", table("wallets-and-exchange.md", "owed in EUR")
)
def test_an_order_of_wallets(owed: str, points: str, dollars: str, euros: str, uncollected: str) -> None:
    units = (Unit("POINTS", 3), Unit("USD"), EUR)
    rates = ("100", "1.25", None)
    sources = [
        Source(
            unit,
            parse_amount(funds, unit),
            None if rate is None else ExchangeRate(1, "EUR", unit.code, parse_amount(rate, RATE), 0),
        )
        for unit, funds, rate in zip(units, ("50", "2", "5"), rates, strict=True)
    ]
    assert total_worth(EUR, sources) == parse_amount("7.10", EUR)
    found = allocate(parse_amount(owed, EUR), EUR, sources)
    expected = [parse_amount(text, unit) for text, unit in zip((points, dollars, euros), units, strict=True)]
    assert [taken.amount for taken in found.taken] == expected
    assert found.uncollected == parse_amount(uncollected, EUR)


@pytest.mark.parametrize("seconds,included,paid,total", table("bundles.md", "call, seconds"))
def test_a_call_that_is_part_bundle(seconds: str, included: str, paid: str, total: str) -> None:
    rate = Rate(1, "49", "Germany", price("0.12"), price("0.05"))
    owed = charge(rate, Tariff(1, "", 1, EUR), int(seconds) * SECOND_US, 0, [Allotment(1, 60)])
    assert (owed.taken, owed.included_s) == ((int(included),), int(included))
    assert owed.billable_s == int(included) + int(paid)
    assert format_amount(owed.total, EUR) == total


@pytest.mark.parametrize("rollover_cycles,column", [(0, 2), (1, 3), (2, 4)])
def test_roll_over(rollover_cycles: int, column: int) -> None:
    bundle = Bundle(1, "", Measure.SECONDS, 100, rollover_cycles=rollover_cycles)
    unused: list[int | None] = []
    for row in table("bundles.md", "month"):
        allowed = allowed_in_window(bundle, unused)
        assert allowed == int(row[column]), f"month {row[0]}"
        unused.append(allowed - int(row[1]))


@pytest.mark.parametrize("row", table("carriers.md", "call, seconds"), ids=lambda row: f"{row[0]} s")
def test_the_margin_of_a_call(row: list[str]) -> None:
    seconds, total, tax, revenue, billed, cost, left, percent = row
    taxed = Tariff(1, "", 1, EUR, TaxMode.EXCLUSIVE, 190_000)
    sold = Rate(1, "49", "Germany", price("0.12"), initial_increment_s=60, following_increment_s=60)
    bought = Rate(2, "49", "Germany", price("0.03"), initial_increment_s=30, following_increment_s=6)
    duration_us = int(seconds) * SECOND_US
    owed = charge(sold, taxed, duration_us)
    asked = call_cost(bought, Tariff(2, "", 2, EUR), duration_us, 0)
    earned = margin(owed.net, EUR, asked.cost, EUR)
    amounts = (owed.total, owed.tax, owed.net, asked.cost, earned.amount)
    assert [format_amount(amount, EUR) for amount in amounts] == [total, tax, revenue, cost, left]
    assert asked.billable_s == int(billed)
    assert earned.ppm is not None
    assert str((Decimal(earned.ppm) / 10_000).quantize(Decimal("0.1"), ROUND_HALF_UP)) == percent
