"""Bands, steps, bundles, cycle steps and a maximum against a walk of one increment after the other."""

from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding, Unit
from pbxbill.rating.allotment import Allotment
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.rater import affordable, charge, charge_total, increment_end, stretches
from pbxbill.rating.tariff import PPM, BandPrice, Rate, RateTerms, Step, Tariff, TaxMode
from tests.unit.rating.reference_rater import PRICE, prices_at, reference, rounded

HOUR_S = 3600
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * SECOND_US  # type: ignore[misc, arg-type]


prices = st.one_of(
    st.just(0),
    st.integers(1, 2000),
    st.integers(0, 500).map(lambda x: x * PRICE // 1000),
)
increments = st.one_of(st.sampled_from([1, 6, 30, 60]), st.integers(1, 90))
free_seconds = st.one_of(st.just(0), st.just(0), st.integers(0, 90))


@st.composite
def steps(draw: st.DrawFn) -> tuple[Step, ...]:
    starts = draw(st.lists(st.integers(1, 300), unique=True, max_size=3))
    return tuple(Step(start, draw(prices)) for start in sorted(starts))


band_prices = st.builds(BandPrice, prices, prices, prices, increments, increments, free_seconds, steps())


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    bands = draw(st.lists(st.sampled_from(["day", "night", "feast"]), unique=True, max_size=3))
    maximum = draw(st.one_of(st.none(), prices))
    terms = RateTerms(
        draw(steps()),
        tuple((band, draw(band_prices)) for band in bands),
        False,
        maximum,
        maximum is not None and draw(st.booleans()),
    )
    own = draw(band_prices)
    return Rate(1, "49", "Germany", *own[:6], terms=terms)


hours = st.integers(0, 24 * 4).map(lambda quarter: quarter * 900)
rules = st.builds(
    BandRule,
    st.sampled_from(["day", "night", "feast"]),
    st.frozensets(st.integers(0, 6)),
    hours.filter(lambda s: s < 24 * HOUR_S),
    hours,
    st.lists(
        st.sampled_from(["2026-03-29", "--03-29", "2026-10-24/2026-10-25", "--12-30/--01-02"]), max_size=2
    ).map(tuple),
    st.booleans(),
    st.integers(0, 1),
)
calendars = st.builds(
    BandCalendar,
    st.just(1),
    st.just("Random"),
    st.sampled_from(ZONES),
    st.lists(rules, min_size=1, max_size=5).map(tuple),
    st.sampled_from([frozenset(), frozenset({"2026-03-30", "2026-10-26", "2026-01-01"})]),
)
# Around the nights when clocks are put forward and back, New Year, and any time.
moments = st.one_of(
    st.integers(-15 * HOUR_S, 15 * HOUR_S).map(lambda s: us(2026, 3, 29, 1) + s * SECOND_US),
    st.integers(-15 * HOUR_S, 15 * HOUR_S).map(lambda s: us(2026, 10, 25, 1) + s * SECOND_US),
    st.integers(-15 * HOUR_S, 15 * HOUR_S).map(lambda s: us(2026, 4, 4, 15) + s * SECOND_US),
    st.sampled_from([us(2026, 3, 29, 0, 59, 50), us(2026, 10, 25, 0, 59, 50), us(2025, 12, 31, 22, 59)]),
    st.integers(us(2025, 1, 1), us(2027, 1, 1)),
)
tariffs = st.builds(
    lambda **terms: Tariff(1, "Retail", 1, **terms),
    unit=st.sampled_from([Unit("EUR"), Unit("BTC", 8, 8), Unit("JPY", 0, 0)]),
    tax_mode=st.sampled_from(TaxMode),
    tax_ppm=st.one_of(st.just(0), st.just(190_000), st.integers(0, PPM)),
    rounding=st.sampled_from(Rounding),
    rounding_step=st.sampled_from([1, 3, 10_000]),
    calendar=st.one_of(st.none(), calendars),
    per=st.sampled_from([60, 60, 1, 1000]),
)
pieces = st.one_of(st.integers(0, 20), st.integers(0, 300))
allotments = st.lists(
    st.one_of(
        st.builds(
            lambda counter, available, initial_s, following_s, fee_owed: Allotment(
                counter, available, initial_s, following_s, fee_owed=fee_owed
            ),
            st.integers(1, 2),
            pieces,
            increments,
            increments,
            st.booleans(),
        ),
        st.builds(
            lambda counter, available, price: Allotment(counter, available, price_per_min=price),
            st.integers(1, 2),
            pieces,
            prices,
        ),
        st.builds(
            lambda available, fee_owed: Allotment(3, available, 7, 5, fee_owed=fee_owed, whole_call=True),
            st.integers(0, 2),
            st.booleans(),
        ),
    ),
    max_size=4,
).map(tuple)
# Long enough for steps and a band's edge, short enough for one increment after the other.
durations = st.one_of(
    st.integers(-1, 400 * SECOND_US),
    st.integers(0, 400).map(lambda s: s * SECOND_US),
    st.builds(lambda s, d: s * SECOND_US + d, st.integers(1, 400), st.sampled_from([-1, 1])),
)
calls = st.tuples(rates(), tariffs, durations, moments, allotments)


@settings(max_examples=150, deadline=None)
@given(calls)
def test_a_charge_is_that_of_one_increment_after_the_other(call) -> None:
    rate, tariff, duration_us, start_us, allotments = call
    expected = reference(rate, tariff, duration_us, start_us, allotments)
    found = charge(rate, tariff, duration_us, start_us, allotments)
    assert found.total == expected.total
    assert (found.billable_s, found.included_s) == (expected.billable_s, expected.included_s)
    assert list(found.taken) == expected.taken
    assert charge_total(rate, tariff, duration_us, start_us, allotments) == expected.total
    if duration_us > 0:
        end_us = increment_end(rate, duration_us, tariff, start_us, allotments)
        assert end_us == (expected.end_s * SECOND_US if expected.begun else duration_us)


@settings(max_examples=150, deadline=None)
@given(calls)
def test_stretches_lie_end_to_end_and_cost_what_the_call_costs(call) -> None:
    rate, tariff, duration_us, start_us, allotments = call
    expected = reference(rate, tariff, duration_us, start_us, allotments)
    found = stretches(rate, tariff, duration_us, start_us, allotments)
    assert sum(stretch.increments for stretch in found) == len(expected.begun)
    assert sum(stretch.billable_s for stretch in found) == expected.billable_s
    for before, after in pairwise(found):
        assert before.to_us == after.from_us
    if found:
        assert found[0].from_us == start_us
        assert found[-1].to_us >= start_us + duration_us
    for index, taken in enumerate(expected.taken):
        if not allotments[index].whole_call:
            assert sum(s.billable_s for s in found if s.allotment == index) == taken


@settings(max_examples=150, deadline=None)
@given(calls, st.integers(-100, 3 * 10**6), st.integers(-1, 400))
def test_affordable_is_the_inverse_of_charge_whatever_the_terms(call, funds: int, limit_s: int) -> None:
    rate, tariff, _, start_us, allotments = call
    lasts_us = affordable(rate, tariff, funds, limit_s, start_us, allotments)
    assert 0 <= lasts_us <= max(0, limit_s) * SECOND_US
    assert lasts_us == 0 or reference(rate, tariff, lasts_us, start_us, allotments).total <= funds
    if lasts_us < limit_s * SECOND_US:
        more = reference(rate, tariff, lasts_us + 1, start_us, allotments)
        terms = rate.terms or RateTerms()
        before = reference(rate, tariff, lasts_us, start_us, allotments).worth_before_next
        if not lasts_us:
            before = Fraction(prices_at(rate, tariff, start_us).connection_fee, PRICE)
        ended = terms.ends_at_maximum and before * PRICE >= (terms.maximum_charge or 0)
        assert more.total > funds or ended
        if lasts_us:
            assert increment_end(rate, lasts_us, tariff, start_us, allotments) == lasts_us


@settings(max_examples=80, deadline=None)
@given(calls, st.integers(0, 600 * SECOND_US))
def test_a_longer_call_never_costs_less_whatever_the_terms(call, more_us: int) -> None:
    rate, tariff, duration_us, start_us, allotments = call
    shorter = charge(rate, tariff, duration_us, start_us, allotments)
    longer = charge(rate, tariff, duration_us + more_us, start_us, allotments)
    assert shorter.total <= longer.total
    assert all(a <= b for a, b in zip(shorter.taken, longer.taken, strict=True))


@settings(max_examples=80, deadline=None)
@given(calls)
def test_a_bundle_never_makes_a_call_dearer_than_its_own_increments(call) -> None:
    """With the rate's increments, a bundle that owes no fee can only save money."""
    rate, tariff, duration_us, start_us, _ = call
    plain = rate._replace(terms=None)
    bundle = Allotment(1, 300, rate.initial_increment_s, rate.following_increment_s)
    with_bundle = charge(plain, tariff, duration_us, start_us, (bundle,))
    assert with_bundle.total <= charge(plain, tariff, duration_us, start_us).total


@settings(max_examples=80, deadline=None)
@given(calls)
def test_terms_that_change_nothing_cost_what_a_plain_rate_costs(call) -> None:
    rate, tariff, duration_us, start_us, _ = call
    plain = rate._replace(terms=None)
    empty = rate._replace(terms=RateTerms())
    assert charge(plain, tariff, duration_us).total == charge(empty, tariff, duration_us, start_us).total
    assert increment_end(plain, duration_us) == increment_end(empty, duration_us, tariff, start_us)
    for funds in (0, 1, 50_000, 10**6):
        assert affordable(plain, tariff, funds, 900) == affordable(empty, tariff, funds, 900, start_us)
    expected = reference(plain, tariff, duration_us, 0, ())
    assert charge(plain, tariff, duration_us).total == rounded(expected.net, tariff)
