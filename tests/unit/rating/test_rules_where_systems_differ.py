"""The rules on which billing systems differ, ours: one test for each, named after it."""

from datetime import datetime
from zoneinfo import ZoneInfo

from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding, Unit
from pbxbill.rating.allotment import UNLIMITED, Allotment
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.rater import affordable, charge, increment_end, stretches
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms, Step, Tariff, TaxMode

EUR = Unit("EUR")
CENT = 10**10
WORKDAYS = frozenset(range(5))
GERMANY = BandCalendar(
    1,
    "Germany",
    "Europe/Berlin",
    (
        BandRule("day", WORKDAYS, 8 * 3600, 18 * 3600),
        BandRule("evening", WORKDAYS, 18 * 3600, 8 * 3600),
        BandRule("weekend", frozenset({5, 6})),
        BandRule("holiday", holidays=True),
        BandRule("sale", dates=("2026-12-25",), priority=1),
    ),
    frozenset({"2026-01-01", "2026-12-25", "2026-12-26"}),
)


def berlin(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * SECOND_US  # type: ignore[misc, arg-type]


def rate_of(price: int, terms: RateTerms | None = None, **rest: int) -> Rate:
    return Rate(1, "49", "Germany", price, **rest, terms=terms)


def tariff_of(**terms: object) -> Tariff:
    return Tariff(1, "Retail", 1, EUR, **{"calendar": GERMANY, **terms})  # type: ignore[arg-type]


DAY_6_EVENING_3 = RateTerms(bands=(("day", BandPrice(6 * CENT)), ("evening", BandPrice(3 * CENT))))
FRIDAY_EVENING = (2026, 3, 27, 17, 59, 30)


def test_the_price_of_a_call_is_computed_exactly_and_rounded_once() -> None:
    """Sixty seconds at a third of a micro-unit each: 20, and not 0 or 60 as with each second rounded."""
    third = rate_of(20 * 10**6, RateTerms(steps=(Step(30, 20 * 10**6),)))
    for rounding in Rounding:
        assert charge(third, tariff_of(rounding=rounding), 60 * SECOND_US).total == 20


def test_it_is_rounded_on_the_total_of_a_level_with_tax() -> None:
    tariff = tariff_of(
        tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000, rounding=Rounding.UP, rounding_step=10_000
    )
    # 0.045 + 19 % = 0.05355: up to 0.06; the net rounded first would be 0.05 and the total 0.0595.
    call = charge(rate_of(6 * CENT, DAY_6_EVENING_3), tariff, 60 * SECOND_US, berlin(*FRIDAY_EVENING))
    assert call.total == 60_000


def test_the_connection_fee_is_that_of_the_band_in_which_the_call_starts() -> None:
    bands = (("day", BandPrice(0, 10 * CENT)), ("evening", BandPrice(0, 1 * CENT)))
    rate = rate_of(0, RateTerms(bands=bands))
    assert charge(rate, tariff_of(), 60 * SECOND_US, berlin(*FRIDAY_EVENING)).total == 100_000
    assert charge(rate, tariff_of(), 60 * SECOND_US, berlin(2026, 3, 27, 18)).total == 10_000


def test_the_connection_fee_is_owed_once() -> None:
    bands = (("day", BandPrice(6 * CENT, 5 * CENT)), ("evening", BandPrice(3 * CENT, 5 * CENT)))
    rate = rate_of(0, RateTerms(bands=bands))
    call = charge(
        rate, tariff_of(), 60 * SECOND_US, berlin(*FRIDAY_EVENING), (Allotment(1, 10, fee_owed=True),)
    )
    assert call.total == 50_000 + 20_000 + 15_000


def test_the_connection_fee_is_owed_for_any_answered_call_of_more_than_zero_seconds() -> None:
    rate = rate_of(6 * CENT, RateTerms(), connection_fee=5 * CENT, free_s=10)
    assert charge(rate, tariff_of(), 0).total == 0
    assert charge(rate, tariff_of(), 1).total == 50_000


def test_the_connection_fee_counts_in_affordable() -> None:
    rate = rate_of(6 * CENT, RateTerms(), connection_fee=5 * CENT)
    assert affordable(rate, tariff_of(), 49_999, 3600) == 0
    assert affordable(rate, tariff_of(), 110_000, 3600) == 60 * SECOND_US
    # With ten seconds of a bundle, the eleventh costs the fee as well.
    bundle = (Allotment(1, 10),)
    assert affordable(rate, tariff_of(), 50_999, 3600, 0, bundle) == 10 * SECOND_US
    assert affordable(rate, tariff_of(), 51_000, 3600, 0, bundle) == 11 * SECOND_US


def test_the_connection_fee_is_not_owed_where_a_bundle_pays_the_whole_call() -> None:
    rate = rate_of(6 * CENT, connection_fee=5 * CENT)
    bundle = Allotment(1, 60)
    assert charge(rate, tariff_of(), 60 * SECOND_US, 0, (bundle,)).total == 0
    assert charge(rate, tariff_of(), 61 * SECOND_US, 0, (bundle,)).total == 51_000
    free = rate._replace(free_s=10)
    assert charge(free, tariff_of(), 5 * SECOND_US, 0, (bundle,)).total == 0


def test_unless_the_bundle_says_so() -> None:
    rate = rate_of(6 * CENT, connection_fee=5 * CENT)
    assert charge(rate, tariff_of(), 60 * SECOND_US, 0, (Allotment(1, 60, fee_owed=True),)).total == 50_000


def test_bands_are_half_open() -> None:
    """A call that ends at 18:00:00 is all day, one that starts then all evening."""
    rate = rate_of(0, DAY_6_EVENING_3)
    until = charge(rate, tariff_of(), 60 * SECOND_US, berlin(2026, 3, 27, 17, 59))
    since = charge(rate, tariff_of(), 60 * SECOND_US, berlin(2026, 3, 27, 18))
    assert (until.total, since.total) == (60_000, 30_000)
    assert charge(rate, tariff_of(), 60 * SECOND_US, berlin(*FRIDAY_EVENING)).total == 45_000


def test_the_more_specific_band_wins() -> None:
    """A holiday over a weekday: New Year's Day of 2026 is a Thursday."""
    assert GERMANY.band_at(berlin(2026, 1, 1, 12)) == "holiday"
    assert GERMANY.band_at(berlin(2026, 1, 2, 12)) == "day"
    assert GERMANY.band_at(berlin(2026, 12, 26, 12)) == "holiday"  # a Saturday


def test_the_band_of_higher_priority_wins() -> None:
    assert GERMANY.band_at(berlin(2026, 12, 25, 12)) == "sale"


def test_an_increment_is_priced_by_the_band_in_force_at_its_start_and_the_next_begins_where_it_ended() -> (
    None
):
    minutes = RateTerms(
        bands=(
            ("day", BandPrice(6 * CENT, 0, 0, 60, 60)),
            ("evening", BandPrice(3 * CENT, 0, 0, 60, 30)),
        )
    )
    # The day's minute from 17:59:30 runs to 18:00:30; what follows counts in half minutes.
    found = stretches(rate_of(0, minutes), tariff_of(), 75 * SECOND_US, berlin(*FRIDAY_EVENING))
    assert [(s.band, s.increments, s.billable_s) for s in found] == [("day", 1, 60), ("evening", 1, 30)]
    assert found[1].from_us == berlin(2026, 3, 27, 18, 0, 30)
    call = charge(rate_of(0, minutes), tariff_of(), 75 * SECOND_US, berlin(*FRIDAY_EVENING))
    assert call.total == 60_000 + 15_000


def test_an_increment_is_priced_by_the_step_in_force_at_its_start() -> None:
    rate = rate_of(
        6 * CENT, RateTerms(steps=(Step(90, 0),)), initial_increment_s=60, following_increment_s=60
    )
    assert charge(rate, tariff_of(), 600 * SECOND_US).total == 120_000


def test_steps_count_from_the_answer_across_bands() -> None:
    free_after_45 = (Step(45, 0),)
    bands = (
        ("day", BandPrice(6 * CENT, steps=free_after_45)),
        ("evening", BandPrice(3 * CENT, steps=free_after_45)),
    )
    rate = rate_of(0, RateTerms(bands=bands))
    # 30 s of day, 15 s of evening, and nothing after the 45th second of the call.
    assert charge(rate, tariff_of(), 600 * SECOND_US, berlin(*FRIDAY_EVENING)).total == 30_000 + 7_500


def test_steps_count_bundle_seconds_and_free_seconds() -> None:
    rate = rate_of(6 * CENT, RateTerms(steps=(Step(60, 0),)), free_s=10)
    # 10 s free, 40 s of the bundle, 10 s paid, and then the step.
    assert charge(rate, tariff_of(), 600 * SECOND_US, 0, (Allotment(1, 40),)).total == 10_000


def test_bundles_are_consumed_in_their_own_increments() -> None:
    """A bundle by 60/60 gives 120 of its 150 seconds; 30 stay unused."""
    call = charge(rate_of(6 * CENT), tariff_of(), 130 * SECOND_US, 0, (Allotment(1, 150, 60, 60),))
    assert (call.taken, call.included_s, call.billable_s, call.total) == ((120,), 120, 130, 10_000)


def test_bundles_are_consumed_in_their_order() -> None:
    bundles = (Allotment(1, 30), Allotment(2, 100))
    call = charge(rate_of(6 * CENT), tariff_of(), 50 * SECOND_US, 0, bundles)
    assert (call.taken, call.total) == ((30, 20), 0)


def test_the_initial_increment_is_that_of_the_start_of_the_call_only() -> None:
    rate = rate_of(6 * CENT, initial_increment_s=60, following_increment_s=6)
    # After 30 s of the bundle the rate goes on in steps of six seconds.
    call = charge(rate, tariff_of(), 31 * SECOND_US, 0, (Allotment(1, 30, 30, 30),))
    assert (call.billable_s, call.included_s, call.total) == (36, 30, 6_000)


def test_free_seconds_take_nothing_from_a_bundle() -> None:
    call = charge(rate_of(6 * CENT, free_s=10), tariff_of(), 25 * SECOND_US, 0, (Allotment(1, 60),))
    assert (call.taken, call.total) == ((15,), 0)


def test_a_bundle_of_calls_pays_for_the_whole_call() -> None:
    calls = Allotment(1, 3, whole_call=True)
    call = charge(rate_of(6 * CENT, connection_fee=CENT), tariff_of(), 7200 * SECOND_US, 0, (calls,))
    assert (call.taken, call.total) == ((1,), 0)
    assert affordable(rate_of(6 * CENT), tariff_of(), 0, 14_400, 0, (calls,)) == 14_400 * SECOND_US
    assert affordable(rate_of(6 * CENT), tariff_of(), 0, 14_400, 0, (calls._replace(available=0),)) == 0


def test_the_minimum_charge_applies_only_where_call_time_is_paid() -> None:
    rate = rate_of(6 * CENT, minimum_charge=20 * CENT)
    bundle = (Allotment(1, 60),)
    assert charge(rate, tariff_of(), 60 * SECOND_US, 0, bundle).total == 0
    assert charge(rate, tariff_of(), 61 * SECOND_US, 0, bundle).total == 200_000
    assert affordable(rate, tariff_of(), 199_999, 3600, 0, bundle) == 60 * SECOND_US


def test_a_maximum_charge_caps_the_price_before_tax() -> None:
    rate = rate_of(6 * CENT, RateTerms(maximum_charge=10 * CENT))
    tariff = tariff_of(tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000)
    assert charge(rate, tariff, 3600 * SECOND_US).total == 119_000
    assert affordable(rate, tariff, 119_000, 3600) == 3600 * SECOND_US
    assert affordable(rate, tariff, 118_999, 3600) == 99 * SECOND_US


def test_or_where_so_configured_ends_the_call() -> None:
    rate = rate_of(6 * CENT, RateTerms(maximum_charge=10 * CENT, ends_at_maximum=True))
    assert affordable(rate, tariff_of(), 10**9, 3600) == 100 * SECOND_US
    by_minutes = rate._replace(initial_increment_s=60, following_increment_s=60)
    assert affordable(by_minutes, tariff_of(), 10**9, 3600) == 120 * SECOND_US
    assert charge(by_minutes, tariff_of(), 120 * SECOND_US).total == 100_000


def test_graduated_cycle_steps_price_each_piece_by_its_own_step() -> None:
    """100 s of the cycle's dear step are left; the rest of the call is in the next one."""
    steps = (Allotment(1, 100, price_per_min=6 * CENT), Allotment(1, UNLIMITED, price_per_min=3 * CENT))
    call = charge(rate_of(60 * CENT), tariff_of(), 160 * SECOND_US, 0, steps)
    assert (call.taken, call.total) == ((100, 60), 100_000 + 30_000)
    assert (call.billable_s, call.included_s) == (160, 0)


def test_an_increment_is_priced_by_the_cycle_step_in_force_at_its_start_and_counts_whole() -> None:
    steps = (Allotment(1, 90, price_per_min=6 * CENT), Allotment(1, 60, price_per_min=3 * CENT))
    rate = rate_of(60 * CENT, initial_increment_s=60, following_increment_s=60)
    call = charge(rate, tariff_of(), 180 * SECOND_US, 0, steps)
    # Two minutes begin in the first step. They reach 30 s into the second, where one more begins.
    assert (call.taken, call.total) == ((120, 60), 120_000 + 30_000)


def test_the_connection_fee_is_owed_on_cycle_steps() -> None:
    steps = (Allotment(1, 90, price_per_min=0),)
    assert charge(rate_of(6 * CENT, connection_fee=CENT), tariff_of(), 1, 0, steps).total == 10_000


def test_a_slice_ends_with_the_increment_of_whoever_pays_it() -> None:
    rate = rate_of(6 * CENT, initial_increment_s=60, following_increment_s=60)
    bundle = (Allotment(1, 70, 30, 20),)  # to the 70th second, then minutes
    assert increment_end(rate, 60 * SECOND_US, tariff_of(), 0, bundle) == 70 * SECOND_US
    assert increment_end(rate, 71 * SECOND_US, tariff_of(), 0, bundle) == 130 * SECOND_US


def test_affordable_knows_the_edge_of_a_band() -> None:
    rate = rate_of(0, DAY_6_EVENING_3)
    # 30 s of day cost 0.03; the other 0.03 buy a minute of evening.
    assert affordable(rate, tariff_of(), 60_000, 3600, berlin(*FRIDAY_EVENING)) == 90 * SECOND_US


def test_prices_may_be_for_any_number_of_pieces() -> None:
    per_thousand = tariff_of(per=1000)
    assert charge(rate_of(6 * CENT), per_thousand, 500 * SECOND_US).total == 30_000
    assert charge(rate_of(6 * CENT, RateTerms()), per_thousand, 500 * SECOND_US).total == 30_000


def test_a_gap_that_was_left_between_bands_is_not_given_away() -> None:
    terms = RateTerms(
        bands=(("day", BandPrice(6 * CENT)), ("evening", BandPrice(9 * CENT))), banded_only=True
    )
    assert charge(rate_of(0, terms), tariff_of(), 60 * SECOND_US, berlin(2026, 3, 28, 12)).total == 90_000
