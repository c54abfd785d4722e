"""What may be dialled now, and what no longer."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pbxbill.charging.counters import Counter, CounterKind
from pbxbill.charging.events import DenialReason
from pbxbill.charging.limits import (
    CounterKey,
    Limit,
    LimitFacts,
    LimitHit,
    LimitKind,
    LimitsPassed,
    WantedCall,
    check_limits,
    count_short_call,
    counters_of,
    limit_of,
    spend_caps,
)
from pbxbill.clock import SECOND_US
from pbxbill.rating.destination import DiallingRule
from pbxbill.rating.destination_map import DestinationMap

NOON_US = 1_767_268_800 * SECOND_US
"""2026-01-01T12:00Z."""
HOME = DiallingRule("home", "DE")
RESELLER, ALICE, BOB = 3, 17, 18
PHONE, SOFTPHONE = 5, 6


def call(number: str = "4930123456", at_us: int = NOON_US, endpoint_id: int | None = PHONE) -> WantedCall:
    return WantedCall(number, DestinationMap().classify(number, HOME), (ALICE, RESELLER), endpoint_id, at_us)


def limit(kind: str, value: int = 0, *, account: int = ALICE, endpoint: int = 0, **more) -> Limit:
    return Limit(1, account, endpoint, kind, value)._replace(**more)


def counted(of: Limit, used: int, *, reserved: int = 0, allowed: int = 0, at_us: int = NOON_US) -> LimitFacts:
    (key,) = counters_of([of], at_us)
    return LimitFacts(counters={key: counter(key, used, reserved, allowed)})


def counter(key: CounterKey, used: int, reserved: int = 0, allowed: int = 0) -> Counter:
    kind, account_id, ref_id, from_us, to_us = key
    return Counter(9, kind, account_id, ref_id, from_us, to_us, allowed, used, reserved)


def reason(outcome: LimitHit | LimitsPassed) -> DenialReason | None:
    return outcome.reason if isinstance(outcome, LimitHit) else None


BARRED = DenialReason.DESTINATION_BARRED


@pytest.mark.parametrize(
    "number, blocked, allowed, denied",
    [
        ("4930123456", ["premium"], [], None),
        ("499001234567", ["premium"], [], BARRED),
        ("19005551234", ["premium"], [], BARRED),
        ("19005551234", ["international"], [], BARRED),
        ("33140205050", ["international"], [], BARRED),
        ("33140205050", ["+33"], [], BARRED),
        ("33140205050", ["34"], [], None),
        ("4930123456", [], [["national"]], None),
        ("33140205050", [], [["national"]], BARRED),
        ("33140205050", [], [["national"], ["33"]], None),
        ("19005551234", [], [["national", "international"]], BARRED),
        ("33140205050", ["33140"], [["international"]], BARRED),
    ],
)
def test_destinations_are_blocked_and_allowed(
    number: str, blocked: list, allowed: list, denied: DenialReason | None
) -> None:
    limits = [limit("allowed", destinations=tuple(names)) for names in allowed]
    if blocked:
        limits.append(limit("blocked", destinations=tuple(blocked)))
    assert reason(check_limits(limits, call(number), LimitFacts())) is denied


def test_an_account_and_its_reseller_must_both_allow() -> None:
    own = limit("allowed", destinations=("national", "33"))
    above = limit("allowed", account=RESELLER, destinations=("national",))
    assert reason(check_limits([own], call("33140205050"), LimitFacts())) is None
    assert reason(check_limits([own, above], call("33140205050"), LimitFacts())) is BARRED
    assert reason(check_limits([own, above], call("4930123456"), LimitFacts())) is None


def test_what_arrives_has_no_chosen_destination() -> None:
    limits = [limit("blocked", destinations=("national",)), limit("new_country")]
    assert reason(check_limits(limits, call(), LimitFacts())) is BARRED
    assert reason(check_limits(limits, call()._replace(inbound=True), LimitFacts())) is None


def test_limits_of_others_and_of_other_phones_do_not_count() -> None:
    others = [
        limit("simultaneous_calls", 0, account=BOB),
        limit("simultaneous_calls", 0, endpoint=SOFTPHONE),
    ]
    assert check_limits(others, call(), LimitFacts()) == LimitsPassed()
    assert check_limits(others, call(endpoint_id=None), LimitFacts()) == LimitsPassed()


def test_the_first_call_to_a_country_waits_for_its_release() -> None:
    hold = limit("new_country", destinations=("AT",))
    hit = check_limits([hold], call("33140205050"), LimitFacts())
    assert isinstance(hit, LimitHit)
    assert (hit.reason, hit.held_country) == (DenialReason.COUNTRY_HELD, (ALICE, "FR"))
    released = LimitFacts(released={ALICE: frozenset(("FR",))})
    assert reason(check_limits([hold], call("33140205050"), released)) is None
    of_another = LimitFacts(released={BOB: frozenset(("FR",))})
    assert reason(check_limits([hold], call("33140205050"), of_another)) is DenialReason.COUNTRY_HELD
    assert reason(check_limits([hold], call("4315123456"), LimitFacts())) is None  # free from the start
    assert reason(check_limits([hold], call("4930123456"), LimitFacts())) is None  # at home
    assert reason(check_limits([hold], call("110"), LimitFacts())) is None


@pytest.mark.parametrize(
    "value, up, denied",
    [
        (2, 0, None),
        (2, 1, None),
        (2, 2, DenialReason.SIMULTANEOUS_CALLS),
        (2, 7, DenialReason.SIMULTANEOUS_CALLS),
        (0, 0, DenialReason.SIMULTANEOUS_CALLS),
    ],
)
def test_only_so_many_calls_are_up_at_once(value: int, up: int, denied: DenialReason | None) -> None:
    of_account = limit("simultaneous_calls", value)
    assert reason(check_limits([of_account], call(), LimitFacts({ALICE: up}, {PHONE: 0}))) is denied
    of_reseller = limit("simultaneous_calls", value, account=RESELLER)
    facts = LimitFacts({ALICE: 0, RESELLER: up}, {PHONE: 0})
    assert reason(check_limits([of_reseller], call(), facts)) is denied
    of_phone = limit("simultaneous_calls", value, endpoint=PHONE)
    assert reason(check_limits([of_phone], call(), LimitFacts({ALICE: 9}, {PHONE: up}))) is denied


def test_spending_counts_what_live_calls_may_still_cost() -> None:
    daily = limit("spend", 10_000_000, unit="EUR", window="day", zone="Europe/Berlin")
    key = CounterKey(
        CounterKind.SPEND, ALICE, 1, NOON_US - 13 * 3600 * SECOND_US, NOON_US + 11 * 3600 * SECOND_US
    )
    assert counters_of([daily], NOON_US) == [key]
    passed = check_limits([daily], call(), counted(daily, 4_000_000, reserved=1_000_000))
    assert isinstance(passed, LimitsPassed)
    assert passed.spend == ((daily, key, 5_000_000),)
    assert passed.max_call_s is None
    spent = check_limits([daily], call(), counted(daily, 9_000_000, reserved=1_000_000))
    assert reason(spent) is DenialReason.SPENDING_LIMIT
    tomorrow = NOON_US + 11 * 3600 * SECOND_US
    again = check_limits([daily], call(at_us=tomorrow), counted(daily, 10_000_000))
    assert reason(again) is None
    # A call that lasts into the next day still counts to its own.
    assert spend_caps([daily], NOON_US, counted(daily, 4_000_000).counters)[0].left == 6_000_000
    lowered = counted(daily, 12_000_000).counters
    assert spend_caps([daily], NOON_US, lowered)[0].left == 0


def test_length_and_cost_of_a_call_are_bounded_by_the_narrowest() -> None:
    limits = [
        limit("call_length", 3600),
        limit("call_length", 600, account=RESELLER),
        limit("call_cost", 5_000_000, unit="EUR"),
        limit("call_cost", 2_000_000, unit="EUR", endpoint=PHONE),
        limit("call_cost", 1_000_000, unit="EUR", account=RESELLER),
        limit("call_cost", 0, unit="EUR", account=BOB),
    ]
    passed = check_limits(limits, call(), LimitFacts())
    assert isinstance(passed, LimitsPassed)
    assert passed.max_call_s == 600
    assert passed.max_cost == {(ALICE, "EUR"): 2_000_000, (RESELLER, "EUR"): 1_000_000}


def passed_of(rate: Limit, moments: list[int]) -> list[int]:
    """Which of the calls at these moments pass."""
    (key,) = counters_of([rate], NOON_US)
    counters: dict[CounterKey, Counter] = {}
    found = []
    for at_us in moments:
        outcome = check_limits([rate], call(at_us=at_us), LimitFacts(counters=counters))
        if isinstance(outcome, LimitsPassed):
            found.append(at_us)
            (change,) = outcome.changes
            assert change.key == key
            assert change.used < 2**63
            counters = {key: counter(key, change.used, 0, change.allowed)}
        else:
            assert outcome.reason is DenialReason.CALL_RATE
    return found


def test_a_burst_passes_and_then_one_call_per_interval() -> None:
    rate = limit("call_rate", 3)
    assert len(passed_of(rate, [NOON_US] * 10)) == 3
    third = SECOND_US // 3 + 1
    moments = [NOON_US] * 4 + [NOON_US + third - 1, NOON_US + third]
    assert passed_of(rate, moments) == [NOON_US] * 3 + [NOON_US + third]
    assert len(passed_of(rate, [NOON_US, NOON_US + 10 * SECOND_US] * 1 + [NOON_US + 10 * SECOND_US] * 5)) == 4


def test_a_rate_per_minute() -> None:
    rate = limit("call_rate", 2, window_s=60)
    moments = [NOON_US + second * SECOND_US for second in range(120)]
    assert [(at_us - NOON_US) // SECOND_US for at_us in passed_of(rate, moments)] == [0, 1, 30, 60, 90]


@given(
    value=st.integers(1, 4000),
    window_s=st.sampled_from((0, 1, 7, 60)),
    gaps=st.lists(st.integers(0, 3_000_000), max_size=60),
)
def test_no_window_ever_sees_more_than_burst_and_rate(value: int, window_s: int, gaps: list[int]) -> None:
    rate = limit("call_rate", value, window_s=window_s)
    at_us, moments = NOON_US, []
    for gap in gaps:
        at_us += gap
        moments.append(at_us)
    passed = passed_of(rate, moments)
    length_us = (window_s or 1) * SECOND_US
    for first, from_us in enumerate(passed):
        for last in range(first, len(passed)):
            # Exactly: a burst of value, and value per window beyond it.
            assert last - first + 1 <= value + (passed[last] - from_us) * value // length_us


@given(value=st.integers(1, 4000), count=st.integers(2, 200))
def test_calls_that_keep_to_the_rate_all_pass(value: int, count: int) -> None:
    # Even where the interval is no whole number of microseconds.
    moments = [NOON_US + -(-number * SECOND_US // value) for number in range(count)]
    assert passed_of(limit("call_rate", value), moments) == moments


def test_a_clock_that_was_set_back_blocks_a_rate_for_a_minute_at_most() -> None:
    rate = limit("call_rate", 1)
    ahead = counted(rate, (NOON_US + 86_400 * SECOND_US) * 1)
    assert reason(check_limits([rate], call(), ahead)) is None


CALLS = st.lists(st.tuples(st.booleans(), st.integers(0, 2_000_000)), min_size=1, max_size=80)
"""Which of two switches asks, and how long after the one before."""


@given(
    value=st.integers(1, 50), window_s=st.sampled_from((0, 60)), calls=CALLS, lag_s=st.integers(0, 100_000)
)
def test_switches_whose_clocks_differ_do_not_set_back_each_others_count(
    value: int, window_s: int, calls: list[tuple[bool, int]], lag_s: int
) -> None:
    rate = limit("call_rate", value, window_s=window_s)
    true_us, moments = NOON_US, []
    for is_behind, gap_us in calls:
        true_us += gap_us
        moments.append(true_us - lag_s * SECOND_US * is_behind)
    passed = len(passed_of(rate, moments))
    by_the_rate = (true_us - NOON_US) * value // ((window_s or 1) * SECOND_US)
    # Each clock has its own count, however they are mixed; one burst more may pass before two are seen.
    assert passed <= 3 * value + 2 * by_the_rate
    if lag_s == 0:
        assert passed <= value + by_the_rate


def test_two_clocks_apart_pass_five_calls_each() -> None:
    rate = limit("call_rate", 5, window_s=60)
    moments = [NOON_US - 122 * SECOND_US * (number % 2) for number in range(100)]
    assert len(passed_of(rate, moments)) == 10


BACK_S = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 200_000)), max_size=4)


@settings(max_examples=50, deadline=None)
@given(value=st.integers(1, 50), window_s=st.sampled_from((0, 60)), back_s=BACK_S)
@example(value=1, window_s=60, back_s=[121, 180])
@example(value=1, window_s=60, back_s=[179, 240])
def test_however_often_a_clock_is_set_back_no_account_is_silenced_for_long(
    value: int, window_s: int, back_s: list[int]
) -> None:
    rate = limit("call_rate", value, window_s=window_s)
    longest_s = 2 * (60 + (window_s or 1))
    at_us, moments = NOON_US, [NOON_US] * value
    for back in back_s:
        at_us -= back * SECOND_US
        before = len(passed_of(rate, moments))
        moments += [at_us + second * SECOND_US for second in range(longest_s + 1)]
        at_us += longest_s * SECOND_US
        # Of calls that go on being tried some pass, although the clock nears its old time again.
        assert len(passed_of(rate, moments)) > before


def test_what_another_limit_denies_uses_no_rate() -> None:
    limits = [limit("call_rate", 1), limit("blocked", destinations=("49",))]
    assert reason(check_limits(limits, call(), LimitFacts())) is BARRED


SHORT = limit("short_calls", 3, window_s=600, shorter_s=6, suspends=True)


class Bursts:
    """A counter of short calls over time."""

    def __init__(self, of: Limit) -> None:
        self.limit = of
        self.counters: dict[CounterKey, Counter] = {}
        self.hits: list[LimitHit] = []

    def ended(self, at_s: int, billed_s: int) -> None:
        result = count_short_call(
            [self.limit],
            billed_us=billed_s * SECOND_US,
            ended_us=NOON_US + at_s * SECOND_US,
            endpoint_id=PHONE,
            counters=self.counters,
        )
        for change in result.changes:
            self.counters[change.key] = counter(change.key, change.used, 0, change.allowed)
        self.hits += result.hits

    def denied(self, at_s: int) -> bool:
        outcome = check_limits(
            [self.limit], call(at_us=NOON_US + at_s * SECOND_US), LimitFacts(counters=self.counters)
        )
        assert reason(outcome) in (None, DenialReason.SHORT_CALLS)
        return isinstance(outcome, LimitHit)


def test_a_burst_of_short_calls_denies_for_as_long_as_its_window() -> None:
    bursts = Bursts(SHORT)
    for at_s in (0, 10):
        bursts.ended(at_s, 2)
    bursts.ended(20, 6)
    assert not bursts.denied(21)
    assert bursts.hits == []
    bursts.ended(30, 5)
    (hit,) = bursts.hits
    assert (hit.reason, hit.suspends_endpoint_id) == (DenialReason.SHORT_CALLS, PHONE)
    assert bursts.denied(31)
    assert bursts.denied(629)
    assert not bursts.denied(630)
    bursts.ended(700, 1)
    assert not bursts.denied(701)
    assert len(bursts.hits) == 1


def test_calls_that_were_up_when_a_burst_was_found_do_not_alarm_again() -> None:
    bursts = Bursts(SHORT)
    for at_s in range(10):
        bursts.ended(at_s, 1)
    assert len(bursts.hits) == 1
    assert bursts.denied(10)


def test_short_calls_far_apart_are_no_burst() -> None:
    bursts = Bursts(SHORT)
    for at_s in (0, 599, 600, 1199):
        bursts.ended(at_s, 1)
    assert bursts.hits == []
    assert not bursts.denied(1200)


def test_a_hit_names_its_limit_and_the_phone_to_suspend() -> None:
    strict = limit("blocked", destinations=("premium",), suspends=True)
    hit = check_limits([strict], call("499001234567"), LimitFacts())
    assert hit == LimitHit(BARRED, strict, "limit 1: premium is blocked", PHONE)
    mild = strict._replace(suspends=False)
    hit = check_limits([mild], call("499001234567"), LimitFacts())
    assert isinstance(hit, LimitHit)
    assert hit.suspends_endpoint_id is None


def test_a_row_becomes_a_limit() -> None:
    row = (1, ALICE, 0, "blocked", 0, "", "", 0, "UTC", "premium\n49900", 1, 6)
    found = limit_of(row)
    assert found == Limit(
        1, ALICE, 0, "blocked", 0, destinations=("premium", "49900"), suspends=True, shorter_s=6
    )
    assert Limit._fields == (
        "id",
        "account_id",
        "endpoint_id",
        "kind",
        "value",
        "unit",
        "window",
        "window_s",
        "zone",
        "destinations",
        "suspends",
        "shorter_s",
    )


def test_every_kind_is_decided() -> None:
    kinds = {kind.value for kind in LimitKind}
    assert kinds == {
        "simultaneous_calls",
        "call_rate",
        "spend",
        "call_cost",
        "call_length",
        "blocked",
        "allowed",
        "new_country",
        "short_calls",
    }
