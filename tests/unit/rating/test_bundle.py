"""Which bundles serve a charge, in which order, and what rolls over from cycle to cycle."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pbxbill.rating.allotment import Allotment
from pbxbill.rating.bundle import (
    AccountBundle,
    Bundle,
    Measure,
    Window,
    allotment,
    allowed_in_window,
    counted_once,
    open_window,
    usable,
    window_of,
)

CUSTOMER, RESELLER = 7, 3


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


JANUARY, FEBRUARY, MARCH, APRIL, MAY = (at(f"2026-{month:02d}-01") for month in range(1, 6))


def bundle(**terms) -> Bundle:
    return replace(Bundle(1, "minutes", Measure.SECONDS, 100), **terms)


def held(id: int = 1, account_id: int = CUSTOMER, to_us: int | None = None, **terms) -> AccountBundle:
    return AccountBundle(id, account_id, bundle(**terms), JANUARY, to_us)


def order(*bundles: AccountBundle, at_us: int = FEBRUARY, matches=lambda _: True) -> list[int]:
    return [x.id for x in usable(bundles, CUSTOMER, at_us, matches)]


def test_own_bundles_and_shared_ones_of_the_accounts_above_serve_a_charge() -> None:
    own, above = held(1), held(2, account_id=RESELLER)
    shared = held(3, account_id=RESELLER, shared=True)
    assert order(own, above, shared) == [1, 3]
    assert [x.id for x in usable([above, shared], RESELLER, FEBRUARY, lambda _: True)] == [2, 3]


def test_bundles_serve_chosen_destinations() -> None:
    everywhere, germany = held(1), held(2, destinations=("Germany", "mobile"))
    assert order(everywhere, germany, matches=lambda names: "mobile" in names) == [1, 2]
    assert order(everywhere, germany, matches=lambda names: "France" in names) == [1]


def test_a_bundle_of_megabytes_pays_no_call() -> None:
    kinds = [held(i, measure=measure) for i, measure in enumerate(Measure)]
    assert order(*kinds) == [0, 1]
    found = usable(kinds, CUSTOMER, FEBRUARY, lambda _: True, frozenset({Measure.BYTES}))
    assert [x.bundle.measure for x in found] == ["bytes"]


def test_a_bundle_serves_from_its_first_moment_until_just_before_its_last() -> None:
    until_march = held(1, to_us=MARCH)
    assert [bool(order(until_march, at_us=at_us)) for at_us in (JANUARY - 1, JANUARY, MARCH - 1, MARCH)] == [
        False,
        True,
        True,
        False,
    ]


def test_the_highest_priority_is_consumed_first_then_what_lapses_soonest_then_the_oldest() -> None:
    by_month, by_day = held(1), held(2, cycle="day")
    ending = held(3, to_us=FEBRUARY + 1)
    urgent = held(4, priority=5)
    oldest = held(0)
    assert order(by_month, by_day, ending, urgent, oldest) == [4, 3, 2, 0, 1]


def test_month_windows_begin_on_the_day_since_which_the_account_has_the_bundle() -> None:
    since = AccountBundle(1, CUSTOMER, bundle(), at("2026-01-10"))
    assert window_of(since, at("2026-02-09T23:59:59")) == (at("2026-01-10"), at("2026-02-10"))
    assert window_of(since, at("2026-02-10")) == (at("2026-02-10"), at("2026-03-10"))


def test_unused_pieces_lapse_or_roll_over() -> None:
    """docs/bundles.md: 100 a month, of which 30, 120 and 0 were used."""
    assert allowed_in_window(bundle(), [70, 0]) == 100
    once, twice = bundle(rollover_cycles=1), bundle(rollover_cycles=2)
    assert allowed_in_window(once, [70]) == 170
    assert allowed_in_window(once, [70, 50]) == 150, "120 used: the 70 older ones first, then 50 of the new"
    assert allowed_in_window(once, [70, 50, None]) == 200, "150 were left, of which 50 were a cycle too old"
    assert allowed_in_window(twice, [70, 50, None]) == 250
    assert allowed_in_window(twice, [70, 50, None, None]) == 300


@given(
    st.integers(0, 4),
    st.lists(st.one_of(st.none(), st.integers(0, 1000)), max_size=12),
)
def test_roll_over_is_that_of_pieces_with_dates(rollover_cycles: int, uses: list[int | None]) -> None:
    """A box of pieces for each cycle, the oldest emptied first, thrown away when it is too old."""
    terms = bundle(rollover_cycles=rollover_cycles)
    boxes: list[list[int]] = []
    unused: list[int | None] = []
    for cycle, wanted in enumerate(uses):
        boxes.append([cycle, terms.pieces])
        assert allowed_in_window(terms, unused) == sum(left for _, left in boxes)
        to_use = wanted or 0
        for box in boxes:
            used = min(to_use, box[1])
            box[1] -= used
            to_use -= used
        unused.append(None if wanted is None else sum(left for _, left in boxes))
        boxes = [box for box in boxes if box[0] > cycle - rollover_cycles]


def test_a_window_is_opened_with_what_rolled_over() -> None:
    rolling = held(rollover_cycles=1)
    assert open_window(rolling, JANUARY + 5, None) == Window(JANUARY, FEBRUARY, 100)
    assert open_window(rolling, FEBRUARY, (JANUARY, 70)) == Window(FEBRUARY, MARCH, 170)
    assert open_window(rolling, MARCH, (JANUARY, 70)) == Window(MARCH, APRIL, 200), (
        "nobody called in February"
    )
    assert open_window(rolling, APRIL, (MARCH, 0)) == Window(APRIL, MAY, 100)
    assert open_window(rolling, APRIL, None) == Window(APRIL, MAY, 200), "nobody ever called"


def test_a_bundle_without_roll_over_starts_every_window_anew() -> None:
    assert open_window(held(), APRIL, (MARCH, 70)) == Window(APRIL, MAY, 100)


def test_cycles_before_the_account_had_the_bundle_left_nothing() -> None:
    since = AccountBundle(1, CUSTOMER, bundle(rollover_cycles=3, cycle="week"), FEBRUARY)
    assert open_window(since, FEBRUARY, None).allowed == 100
    week_us = 7 * 86_400 * 1_000_000
    assert open_window(since, FEBRUARY + week_us, None).allowed == 200


@given(st.integers(0, 3), st.lists(st.one_of(st.none(), st.integers(0, 60)), min_size=1, max_size=8))
def test_a_window_opened_from_the_last_counter_is_as_one_opened_from_all(
    rollover_cycles: int, uses: list[int | None]
) -> None:
    daily = held(rollover_cycles=rollover_cycles, cycle="day")
    day_us = 86_400 * 1_000_000
    unused: list[int | None] = []
    last: tuple[int, int] | None = None
    for day, used in enumerate(uses):
        window = open_window(daily, JANUARY + day * day_us + 5, last)
        assert window.allowed == allowed_in_window(daily.bundle, unused)
        if used is not None:
            last = (window.from_us, window.allowed - used)
        unused.append(None if used is None else window.allowed - used)


def test_a_bundle_as_the_rater_takes_from_it() -> None:
    calls = held(measure=Measure.CALLS, fee_owed=True)
    assert allotment(calls, 9, 3) == Allotment(9, 3, fee_owed=True, whole_call=True)
    minutes = held(initial_increment_s=60, following_increment_s=30)
    assert allotment(minutes, 9, -4) == Allotment(9, 0, 60, 30)


def test_a_minute_of_a_call_is_one_minute_of_a_bundle_that_serves_several_levels() -> None:
    assert counted_once([(1, 60), (1, 60)]) == [60, 0]
    assert counted_once([(1, 30), (1, 60), (1, 45)]) == [30, 30, 0]
    assert counted_once([(1, 30), (2, 60), (1, 60), (2, 60)]) == [30, 60, 30, 0]
    assert counted_once([]) == []
