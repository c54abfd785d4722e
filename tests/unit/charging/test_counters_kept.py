"""What a call holds of counters stays its own, and nobody gets back more than was taken."""

from dataclasses import replace

import pytest

from pbxbill.charging.counters import CounterKind
from pbxbill.charging.events import Answer, Extend, Extended, Settle, Settled, SettleOffline
from pbxbill.charging.limits import LimitKind
from pbxbill.errors import InputRefused
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, Step
from pbxbill.rating.tariff_terms import checked_cycle_steps
from tests.small_operator import RETAIL, SmallOperator, eur, minutes, price, seconds

GERMANY = "4930"
CAPPED = "49 Germany 0.60 fee 0.00 min 0.00 1/1 max 1.00"
DAY_US = 86_400_000_000


def volume(*each: tuple[int, str]) -> CycleSteps:
    steps = tuple(Step(from_s, price(text)) for from_s, text in each)
    return CycleSteps(CycleStepKind.VOLUME, "month", "UTC", steps)


def test_a_volume_gives_back_what_the_calls_would_have_cost_less_and_no_more(operator: SmallOperator) -> None:
    """A call of 1,000 s cost 1.00, its maximum, and would have at half the price too."""
    tariff = operator.tariff(CAPPED, cycle_steps=volume((0, "0.60"), (1001, "0.30")))
    alice = operator.account("alice", tariff=tariff, funds="10")
    granted = operator.call(alice, GERMANY)
    operator.do(Extend(granted.session_id, seconds(1000), operator.now_us))
    operator.do(Settle(granted.session_id, operator.now_us, operator.now_us + seconds(1000), 16))
    assert operator.wallet(alice).posted == eur("9")
    second = operator.call(alice, GERMANY)
    operator.do(Settle(second.session_id, operator.now_us, operator.now_us + minutes(1), 16))
    assert operator.wallet(alice).posted == eur("8.70")


def test_what_could_not_be_collected_is_not_given_back(operator: SmallOperator) -> None:
    tariff = operator.tariff(RETAIL, cycle_steps=volume((0, "0.60"), (61, "0.30")))
    alice = operator.account("alice", tariff=tariff, funds="0.20")
    request = operator.request(alice, GERMANY)
    operator.do(SettleOffline(request, operator.now_us, operator.now_us + minutes(1), 16))  # 0.40 uncollected
    operator.top_up(alice, "1")
    second = operator.call(alice, GERMANY)
    operator.do(Settle(second.session_id, operator.now_us, operator.now_us + minutes(1), 16))
    assert operator.wallet(alice).posted == eur("0.70")  # 0.20 was taken for what costs 0.30 now


def test_the_prices_of_a_volume_fall() -> None:
    with pytest.raises(InputRefused, match="the prices of a volume fall"):
        checked_cycle_steps(volume((0, "0.06"), (100, "0.12")))


def test_a_call_keeps_the_bundle_that_it_holds_whatever_becomes_of_it(operator: SmallOperator) -> None:
    tariff = operator.tariff(RETAIL)
    alice = operator.account("alice", tariff=tariff, funds="0.01")
    held = operator.give(alice, operator.bundle(3600), from_us=operator.now_us - DAY_US)
    granted = operator.call(alice, GERMANY)
    begun_us = operator.now_us
    operator.do(Answer(granted.session_id, begun_us, "leg"))
    operator.do(Extend(granted.session_id, minutes(5), begun_us))
    own = operator.state.bundles[alice.id]
    elsewhere = replace(held.bundle, destinations=("France",))
    own[own.index(held)] = held._replace(to_us=begun_us - 1, bundle=elsewhere)  # taken, from before the call

    extended = operator.do(Extend(granted.session_id, minutes(5), begun_us))
    assert isinstance(extended, Extended)
    assert extended.granted_us == minutes(5)
    settled = operator.do(Settle(granted.session_id, begun_us, begun_us + minutes(5), 16))
    assert isinstance(settled, Settled)
    assert (settled.total, settled.uncollected) == (0, 0)
    assert operator.broken_promises() == []


def test_a_limit_that_a_call_spends_nothing_of_leaves_no_trace(operator: SmallOperator) -> None:
    tariff = operator.tariff(RETAIL)
    alice = operator.account("alice", tariff=tariff, funds="1")
    operator.give(alice, operator.bundle(3600))
    granted = operator.call(alice, GERMANY)
    operator.do(Answer(granted.session_id, operator.now_us, "leg"))
    operator.limit(alice, LimitKind.SPEND, eur("5"), unit="EUR", window="day", zone="UTC")
    operator.do(Extend(granted.session_id, minutes(2), operator.now_us))
    counters = {counter.id: counter.kind for counter in operator.rows.counters.values()}
    named = {counters.get(counter_id) for _, _, counter_id in operator.rows.counts}
    assert named == {CounterKind.BUNDLE}


def test_pieces_that_rolled_over_are_not_there_for_a_call_that_comes_late(operator: SmallOperator) -> None:
    """100 s a day, kept for one day more: today finds 200, and a record of yesterday none."""
    tariff = operator.tariff(RETAIL)
    alice = operator.account("alice", tariff=tariff, funds="9")
    bundle = operator.bundle(100, cycle="day", rollover_cycles=1)
    yesterday_us = operator.now_us - DAY_US
    operator.give(alice, bundle, from_us=yesterday_us)
    today = operator.do(SettleOffline(operator.request(alice, GERMANY), *_talk(operator.now_us, 200), 16))
    late = replace(operator.request(alice, GERMANY), at_us=yesterday_us)
    charged = operator.do(SettleOffline(late, *_talk(yesterday_us, 100), 16))
    assert isinstance(today, Settled)
    assert isinstance(charged, Settled)
    assert (today.total, charged.total) == (0, eur("0.20"))


def _talk(begun_us: int, lasts_s: int) -> tuple[int, int]:
    return begun_us, begun_us + seconds(lasts_s)
