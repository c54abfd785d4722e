"""Bulk rating says what the live path says, to the micro-unit, for every call."""

from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.mediation.bulk import BulkTariff, FlatDeck, number_key
from pbxbill.money import Rounding, Unit
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms, Step, Tariff, TaxMode

DAY_US = 86_400 * SECOND_US
CENT = 10**10
UNITS = [Unit("EUR"), Unit("JPY", 0, 0), Unit("BTC", 8, 8), Unit("XYZ", 12, 2)]
EVENING = BandCalendar(1, "day and evening", "Europe/Berlin", (
    BandRule("evening", from_s=18 * 3600, to_s=6 * 3600, priority=1), BandRule("day"),
))  # fmt: skip


def prefix_of(random: Random) -> str:
    """Prefixes that lie within each other, the default route among them."""
    return "".join(random.choice("0149") for _ in range(random.choice([0, 1, 2, 3, 4, 5, 6, 15])))


def rate_of(random: Random, id: int) -> Rate:
    price = random.choice([0, 1, CENT, 7 * CENT // 3, 2 * 100 * CENT, random.randrange(10**13), 2**50])
    from_us = random.choice([None, None, None, DAY_US, 2 * DAY_US])
    to_us = random.choice([None, None, None, 3 * DAY_US])
    terms = None
    if random.random() < 0.1:
        terms = RateTerms(
            steps=(Step(30, CENT),),
            bands=(("evening", BandPrice(CENT // 2, initial_increment_s=60)),),
            maximum_charge=random.choice([None, 20 * CENT]),
        )
    return Rate(
        id,
        prefix_of(random),
        "somewhere",
        price,
        random.choice([0, 0, CENT, 2**50]),
        random.choice([0, 0, 5 * CENT]),
        random.choice([1, 6, 30, 60]),
        random.choice([1, 6, 60, 7]),
        random.choice([0, 0, 10]),
        from_us,
        to_us,
        terms,
    )


def deck_of(random: Random, version_id: int, count: int = 150) -> CompiledDeck:
    """Some rates have a price that only few seconds of fit 64 bits."""
    return CompiledDeck(version_id, [rate_of(random, version_id * 1000 + n) for n in range(count)])


def calls_of(random: Random, count: int) -> pl.DataFrame:
    """Calls at all times, to numbers of all lengths, to some that are none, of all lengths of time."""
    rows = []
    for _ in range(count):
        called = prefix_of(random) + "".join(random.choice("0149") for _ in range(random.randrange(12)))
        if random.random() < 0.02:
            called = random.choice(["", "+49", "-1", "49x", " 49", "4" * 16, "४९"])
        started_us = random.randrange(-DAY_US, 5 * DAY_US)
        billed_us = random.choice(
            [0, 1, 60 * SECOND_US, 60 * SECOND_US + 1, random.randrange(14_400 * SECOND_US)]
        )
        rows.append((called[:16], started_us, started_us + 3 * SECOND_US, billed_us))
    schema = {"called": pl.String, "started_us": pl.Int64, "answered_us": pl.Int64, "billed_us": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def one_by_one(
    calls: pl.DataFrame, tariff: Tariff, versions: list[tuple[int, CompiledDeck]]
) -> list[tuple[object, ...]]:
    """Each call as the live path charges it."""
    found: list[tuple[object, ...]] = []
    for called, started_us, answered_us, billed_us in calls.iter_rows():
        decks = [deck for from_us, deck in versions if from_us <= started_us]
        rate = decks[-1].find(called, started_us) if decks else None
        call = (called, started_us, answered_us, billed_us)
        if rate is None:
            found.append((*call, None, 0, 0, 0))
        else:
            owed = charge(rate, tariff, billed_us, answered_us)
            found.append((*call, rate.id, owed.billable_s, owed.total, owed.tax))
    return sorted(found, key=repr)


def in_bulk(
    calls: pl.DataFrame, tariff: Tariff, versions: list[tuple[int, CompiledDeck]]
) -> list[tuple[object, ...]]:
    flat = [(from_us, FlatDeck(deck)) for from_us, deck in versions]
    rated = BulkTariff(tariff, flat).charged(calls)
    columns = (*calls.columns, "rate_id", "billable_s", "total", "tax")
    return sorted(rated.select(columns).iter_rows(), key=repr)


@pytest.mark.long
def test_a_hundred_thousand_calls_cost_the_same_both_ways() -> None:
    random = Random(20_260_731)
    versions = [(0, deck_of(random, 1)), (2 * DAY_US, deck_of(random, 2)), (4 * DAY_US, deck_of(random, 3))]
    tariffs = [
        Tariff(1, "t", 1, unit, mode, 190_000, rounding, step, calendar=EVENING)
        for unit, mode, rounding, step in (
            (UNITS[0], TaxMode.NONE, Rounding.HALF_UP, 1),
            (UNITS[0], TaxMode.EXCLUSIVE, Rounding.UP, 100),
            (UNITS[1], TaxMode.INCLUSIVE, Rounding.DOWN, 1),
            (UNITS[2], TaxMode.EXCLUSIVE, Rounding.HALF_UP, 1),
            (UNITS[3], TaxMode.INCLUSIVE, Rounding.HALF_UP, 3),
        )
    ]
    for tariff in tariffs:
        calls = calls_of(random, 20_000)
        both = zip(in_bulk(calls, tariff, versions), one_by_one(calls, tariff, versions), strict=True)
        assert [(bulk, live) for bulk, live in both if bulk != live][:3] == []


@pytest.mark.long
@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    tariff=st.builds(
        Tariff,
        version_id=st.just(1),
        name=st.just("t"),
        deck_id=st.just(1),
        unit=st.sampled_from(UNITS),
        tax_mode=st.sampled_from(TaxMode),
        tax_ppm=st.sampled_from([0, 1, 70_000, 190_000, 1_000_000]),
        rounding=st.sampled_from(Rounding),
        rounding_step=st.sampled_from([1, 3, 10_000, 10**9]),
        calendar=st.just(EVENING),
        per=st.sampled_from([10, 60, 3600]),
    ),
)
def test_under_every_tariff(seed: int, tariff: Tariff) -> None:
    random = Random(seed)
    versions = [(0, deck_of(random, 1, 20)), (DAY_US, deck_of(random, 2, 20))]
    calls = calls_of(random, 150)
    assert in_bulk(calls, tariff, versions) == one_by_one(calls, tariff, versions)


def test_a_deck_whose_rows_change_every_minute_is_asked_one_by_one() -> None:
    rates = [Rate(n, "4", "somewhere", n * CENT, effective_from_us=n * 60 * SECOND_US) for n in range(1, 200)]
    versions = [(0, CompiledDeck(1, rates))]
    calls = pl.DataFrame(
        {"called": ["49"] * 199, "started_us": [n * 61 * SECOND_US for n in range(199)]}
    ).with_columns(answered_us="started_us", billed_us=60 * SECOND_US)
    calls = calls.with_columns(pl.col("billed_us").cast(pl.Int64))
    tariff = Tariff(1, "t", 1, UNITS[0])
    assert in_bulk(calls, tariff, versions) == one_by_one(calls, tariff, versions)


def test_a_mark_up_changes_the_rates_of_the_deck() -> None:
    tariff = Tariff(1, "t", 0, UNITS[0])
    deck = FlatDeck(CompiledDeck(1, [Rate(7, "49", "Germany", 60 * CENT)]))
    doubled = BulkTariff(
        tariff, [(0, deck)], lambda rate: rate._replace(price_per_min=2 * rate.price_per_min)
    )
    calls = pl.DataFrame(
        {"called": ["491", "50"], "started_us": [1, 1], "answered_us": [1, 1], "billed_us": [SECOND_US] * 2}
    )
    rated = doubled.charged(calls).sort("called")
    assert rated["rate_id"].to_list() == [7, None]
    assert rated["total"].to_list() == [20_000, 0]


def test_a_call_that_costs_more_than_an_amount_can_be_is_refused() -> None:
    deck = FlatDeck(CompiledDeck(1, [Rate(7, "49", "Germany", 2**62)]))
    dear = BulkTariff(Tariff(1, "t", 1, UNITS[3]), [(0, deck)])
    calls = pl.DataFrame({"called": ["491"], "started_us": [1], "answered_us": [1], "billed_us": [DAY_US]})
    with pytest.raises(InputRefused, match=r"rate 7 .* costs more than any amount can be"):
        dear.charged(calls)


def test_no_calls_at_all() -> None:
    tariff = BulkTariff(Tariff(1, "t", 1, UNITS[0]), [])
    assert tariff.charged(calls_of(Random(1), 0)).height == 0
    assert tariff.charged(calls_of(Random(1), 5))["rate_id"].to_list() == [None] * 5


@pytest.mark.parametrize("text", ["", "+49", "-49", "49 ", "4" * 16, "4x", "१"])
def test_what_is_no_number_has_no_key(text: str) -> None:
    frame = pl.DataFrame({"called": [text]})
    assert frame.select(number_key("called")).item() == -1
