"""What a carrier asks for a call, and what is left of its charge."""

from pbxbill.clock import SECOND_US
from pbxbill.money import Unit
from pbxbill.rating.exchange import EXCHANGE_SCALE, ExchangeRate
from pbxbill.rating.margin import CallCost, Margin, call_cost, margin
from pbxbill.rating.tariff import Rate, Tariff, TaxMode

EUR, USD = Unit("EUR"), Unit("USD")
PRICE = 10**12


def test_a_carrier_asks_by_its_own_increments_and_without_tax() -> None:
    """docs/carriers.md: 61 seconds at 0.03 a minute, billed 30/6, of a carrier that adds 20 % tax."""
    rate = Rate(1, "49", "Germany", 3 * PRICE // 100, initial_increment_s=30, following_increment_s=6)
    taxed = Tariff(1, "carrier", 1, EUR, TaxMode.EXCLUSIVE, 200_000)
    assert call_cost(rate, taxed, 61 * SECOND_US, 0) == CallCost(33_000, 66)
    assert call_cost(rate, taxed, 0, 0) == CallCost(0, 0)


def test_the_margin_of_a_call() -> None:
    earned = margin(120_000, EUR, 33_000, EUR)
    assert earned == Margin(120_000, 33_000)
    assert (earned.amount, earned.ppm) == (87_000, 725_000)


def test_a_loss_and_a_free_call() -> None:
    assert margin(30_000, EUR, 33_000, EUR).ppm == -100_000
    free = margin(0, EUR, 33_000, EUR)
    assert (free.amount, free.ppm) == (-33_000, None)


def test_a_cost_in_another_unit_is_rounded_up() -> None:
    dollar = ExchangeRate(1, "USD", "EUR", 92 * 10**EXCHANGE_SCALE // 100, 0)
    assert margin(120_000, EUR, 33_001, USD, dollar) == Margin(120_000, 30_361)
