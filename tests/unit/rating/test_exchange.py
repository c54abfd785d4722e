"""Amounts between units: what is taken covers what is owed, and nobody's funds are overdrawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InvariantBroken
from pbxbill.money import MAX_AMOUNT, Unit
from pbxbill.rating.exchange import (
    EXCHANGE_SCALE,
    MAX_UNIT_SCALE,
    ExchangeRate,
    ExchangeTable,
    Source,
    Taken,
    allocate,
    to_wallet,
    total_worth,
    wallet_order,
    worth,
)

ONE = 10**EXCHANGE_SCALE
EUR, USD, GBP = Unit("EUR"), Unit("USD"), Unit("GBP")
JPY = Unit("JPY", 0, 0)
BTC = Unit("BTC", 8, 8)
ETH = Unit("ETH", 12, 6)
POINTS = Unit("POINTS", 0, 0)
SECONDS = Unit("SEC", 0, 0)
UNITS = (EUR, USD, JPY, BTC, ETH, POINTS, SECONDS)


def rate(from_unit: Unit, to_unit: Unit, value: str, since_us: int = 0, id: int = 1) -> ExchangeRate:
    whole, _, part = value.partition(".")
    return ExchangeRate(
        id, from_unit.code, to_unit.code, int(whole + part.ljust(EXCHANGE_SCALE, "0")), since_us
    )


units = st.sampled_from(UNITS)
amounts = st.one_of(st.integers(0, 10**4), st.integers(0, 10**12), st.integers(0, MAX_AMOUNT))
stored_rates = st.one_of(st.integers(1, 10**4), st.integers(ONE // 1000, 1000 * ONE), st.integers(1, 2**62))


@st.composite
def pairs(draw: st.DrawFn, tariff_unit: Unit | None = None) -> tuple[Unit, Unit, ExchangeRate | None]:
    """A tariff's unit, a wallet's, and a rate between them in either direction."""
    tariff = tariff_unit or draw(units)
    wallet = draw(units)
    if wallet == tariff:
        return tariff, wallet, None
    one, other = (tariff, wallet) if draw(st.booleans()) else (wallet, tariff)
    return tariff, wallet, ExchangeRate(1, one.code, other.code, draw(stored_rates), 0)


@st.composite
def bills(draw: st.DrawFn) -> tuple[Unit, list[Source]]:
    tariff = draw(units)
    wallets = draw(st.lists(pairs(tariff), max_size=4))
    return tariff, [Source(wallet, draw(amounts) - 100, rate) for _, wallet, rate in wallets]


@given(pairs(), amounts)
def test_what_is_taken_covers_what_is_owed(pair: tuple[Unit, Unit, ExchangeRate | None], owed: int) -> None:
    tariff, wallet, rate = pair
    taken = to_wallet(owed, rate, tariff, wallet)
    assert worth(taken, rate, tariff, wallet) >= owed
    assert taken == 0 or worth(taken - 1, rate, tariff, wallet) < owed, "one step less would have done"


@given(pairs(), amounts)
def test_what_funds_are_worth_can_be_taken_from_them(
    pair: tuple[Unit, Unit, ExchangeRate | None], funds: int
) -> None:
    tariff, wallet, rate = pair
    value = worth(funds, rate, tariff, wallet)
    assert to_wallet(value, rate, tariff, wallet) <= funds
    assert value == MAX_AMOUNT or to_wallet(value + 1, rate, tariff, wallet) > funds


@given(bills(), amounts)
def test_every_step_owed_is_paid_once_or_uncollected(bill: tuple[Unit, list[Source]], owed: int) -> None:
    tariff, sources = bill
    paid = allocate(owed, tariff, sources)
    assert sum(taken.worth for taken in paid.taken) + paid.uncollected == owed
    assert paid.uncollected >= 0
    assert len(paid.taken) == len(sources)
    for taken, source in zip(paid.taken, sources, strict=True):
        assert 0 <= taken.amount <= max(0, source.funds)
        assert worth(taken.amount, source.rate, tariff, source.unit) >= taken.worth
        # What a wallet gives beyond an exact fraction is less than its smallest step.
        assert taken.amount == to_wallet(taken.worth, source.rate, tariff, source.unit)


@given(bills())
def test_what_wallets_are_worth_together_is_what_they_pay(bill: tuple[Unit, list[Source]]) -> None:
    tariff, sources = bill
    together = total_worth(tariff, sources)
    assert allocate(together, tariff, sources).uncollected == 0
    if together < MAX_AMOUNT:
        assert allocate(together + 1, tariff, sources).uncollected == 1


@given(bills(), amounts, amounts)
def test_more_owed_takes_no_less_from_any_wallet(
    bill: tuple[Unit, list[Source]], owed: int, more: int
) -> None:
    tariff, sources = bill
    before, after = allocate(owed, tariff, sources), allocate(owed + more, tariff, sources)
    assert all(x.amount <= y.amount for x, y in zip(before.taken, after.taken, strict=True))


@given(bills(), amounts)
def test_an_earlier_wallet_is_emptied_before_a_later_one_is_touched(
    bill: tuple[Unit, list[Source]], owed: int
) -> None:
    tariff, sources = bill
    taken = allocate(owed, tariff, sources).taken
    for index, source in enumerate(sources[:-1]):
        if any(later.amount for later in taken[index + 1 :]):
            left = max(0, source.funds) - taken[index].amount
            assert worth(taken[index].amount + left, source.rate, tariff, source.unit) == taken[index].worth


TABLE = [
    # owed in the tariff's unit, rate, wallet's unit, taken
    ("0.12 EUR in USD at 1.0845", EUR, 120_000, rate(EUR, USD, "1.0845"), USD, 130_140),
    ("0.12 EUR in USD, known as 0.92 EUR a USD", EUR, 120_000, rate(USD, EUR, "0.92"), USD, 130_435),
    ("0.12 EUR in whole yen at 163.21", EUR, 120_000, rate(EUR, JPY, "163.21"), JPY, 20),
    ("12 yen in EUR at 163.21 yen a EUR", JPY, 12, rate(EUR, JPY, "163.21"), EUR, 73_525),
    ("0.12 EUR in BTC at 90000 EUR a BTC", EUR, 120_000, rate(BTC, EUR, "90000"), BTC, 134),
    ("0.12 EUR in ETH of 12 digits at 2500", EUR, 120_000, rate(ETH, EUR, "2500"), ETH, 48_000_000),
    ("0.123 EUR in points, 100 a EUR", EUR, 123_000, rate(EUR, POINTS, "100"), POINTS, 13),
    ("0.12 EUR in seconds, 500 a EUR", EUR, 120_000, rate(EUR, SECONDS, "500"), SECONDS, 60),
    ("one step of EUR in yen is a whole yen", EUR, 1, rate(EUR, JPY, "163.21"), JPY, 1),
    ("1 BTC in rupiah, 1700 million a BTC", BTC, 10**8, rate(BTC, JPY, "1700000000"), JPY, 1_700_000_000),
]


@pytest.mark.parametrize("what,tariff,owed,exchange,wallet,taken", TABLE, ids=[row[0] for row in TABLE])
def test_amounts_between_units(
    what: str, tariff: Unit, owed: int, exchange: ExchangeRate, wallet: Unit, taken: int
) -> None:
    assert to_wallet(owed, exchange, tariff, wallet) == taken


def test_a_charge_is_taken_from_wallets_in_their_order() -> None:
    """docs/wallets-and-exchange.md: points first, then dollars, then euros."""
    points, dollars = rate(EUR, POINTS, "100"), rate(EUR, USD, "1.25")
    sources = [Source(POINTS, 50, points), Source(USD, 2_000_000, dollars), Source(EUR, 5_000_000)]
    assert total_worth(EUR, sources) == 500_000 + 1_600_000 + 5_000_000
    assert allocate(400_000, EUR, sources).taken == (Taken(40, 400_000), Taken(0, 0), Taken(0, 0))
    assert allocate(3_000_000, EUR, sources).taken == (
        Taken(50, 500_000),
        Taken(2_000_000, 1_600_000),
        Taken(900_000, 900_000),
    )
    assert allocate(9_000_000, EUR, sources).uncollected == 1_900_000


def test_the_fraction_that_pays_no_whole_step_stays_in_the_wallet() -> None:
    """0.01 EUR is worth 1.63 yen: in a tariff of whole yen it pays one, and what is beyond it stays."""
    yen = rate(EUR, JPY, "163.21")
    paid = allocate(5, JPY, [Source(EUR, 10_000, yen), Source(JPY, 100)])
    assert paid.taken == (Taken(6_128, 1), Taken(4, 4))


def test_a_coarse_wallet_gives_a_whole_step_for_a_part_of_it() -> None:
    """Why wallets keep more digits than people are shown: each charge of 0.001 EUR takes a whole point."""
    points = rate(EUR, POINTS, "100")
    assert allocate(1_000, EUR, [Source(POINTS, 50, points)]).taken == (Taken(1, 1_000),)
    fine = Unit("FINE", 3, 0)
    assert allocate(1_000, EUR, [Source(fine, 50_000, rate(EUR, fine, "100"))]).taken == (Taken(100, 1_000),)


def test_a_wallet_below_zero_pays_nothing() -> None:
    assert allocate(5, EUR, [Source(EUR, -7)]).taken == (Taken(0, 0),)
    assert total_worth(EUR, [Source(EUR, -7), Source(USD, 8, rate(EUR, USD, "2"))]) == 4


def test_the_newest_rate_in_force_counts() -> None:
    table = ExchangeTable(
        [
            rate(EUR, USD, "1.10", 100, id=1),
            rate(EUR, USD, "1.08", 200, id=2),
            rate(USD, EUR, "0.90", 50, id=3),
            rate(EUR, GBP, "0.85", 0, id=4),
        ]
    )

    def found(from_unit: str, to_unit: str, at_us: int) -> int | None:
        exchange = table.find(from_unit, to_unit, at_us)
        return None if exchange is None else exchange.id

    assert [found("EUR", "USD", at_us) for at_us in (49, 50, 99, 100, 199, 200, 10**15)] == [
        None,  # nothing was said yet
        3,  # the other direction alone
        3,
        1,  # its own, though the other one is there too
        1,
        2,
        2,
    ]
    assert found("USD", "EUR", 300) == 3
    assert found("GBP", "EUR", 0) == 4
    assert found("USD", "GBP", 300) is None, "a cross rate was invented"
    assert found("EUR", "EUR", 300) is None
    assert table.rate(4).to_unit == "GBP"


def test_a_wallet_without_a_rate_cannot_pay() -> None:
    table = ExchangeTable([rate(EUR, USD, "1.10", 100)])
    assert table.find("EUR", "USD", 99) is None
    assert table.find("EUR", "USD", 100) == table.rate(1)


def test_a_rate_of_other_units_is_a_fault() -> None:
    with pytest.raises(InvariantBroken, match="is not between"):
        to_wallet(1, rate(EUR, GBP, "1"), EUR, USD)
    with pytest.raises(InvariantBroken, match="above zero"):
        ExchangeTable([ExchangeRate(1, "EUR", "USD", 0, 0)])


def test_the_order_of_wallets() -> None:
    assert wallet_order(None, "EUR") == ("EUR",)
    assert wallet_order("POINTS,USD,EUR", "EUR") == ("POINTS", "USD", "EUR")


def test_every_scale_has_room_in_64_bits() -> None:
    assert MAX_AMOUNT // 10**MAX_UNIT_SCALE > 4_600_000
