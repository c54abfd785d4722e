"""Small cases that simulation found or suspected: counters, steps and bundles while calls come and go."""

import pytest

from pbxbill.charging.counters import CounterKind
from pbxbill.charging.events import Answer, Authorize, Extend, Extended, Settle, Settled, SettleOffline, Void
from pbxbill.charging.limits import LimitKind
from pbxbill.charging.state import ChargedAccount
from pbxbill.ledger.journal import JournalEntry
from pbxbill.rating.bundle import Measure
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, Step, TaxMode
from tests.small_operator import RETAIL, WHOLESALE, SmallOperator, eur, minutes, price, seconds

GERMANY = "4930"
FRANCE = "3361"


def steps(kind: CycleStepKind, *each: tuple[int, str]) -> CycleSteps:
    return CycleSteps(kind, "month", "UTC", tuple(Step(from_s, price(text)) for from_s, text in each))


def used(operator: SmallOperator, kind: CounterKind) -> list[int]:
    rows = sorted(operator.rows.counters.items(), key=lambda row: row[0])
    return [counter.used for key, counter in rows if key.kind == kind]


def talk(operator: SmallOperator, account: ChargedAccount, lasts_s: int) -> None:
    """A whole call to Germany."""
    granted = operator.call(account, GERMANY)
    begun_us = operator.now_us
    operator.do(Extend(granted.session_id, seconds(lasts_s), begun_us))
    end(operator, granted.session_id, lasts_s)


def end(operator: SmallOperator, session_id: str, lasts_s: int) -> Settled:
    requested_us = operator.state.reservations[session_id].requested_us
    settled = operator.do(Settle(session_id, requested_us, requested_us + seconds(lasts_s), 16))
    assert isinstance(settled, Settled)
    return settled


def entries_of(operator: SmallOperator, kind: str) -> list[JournalEntry]:
    return [entry for entry in operator.state.new_entries if entry.kind == kind]


# --- cycle steps ----------------------------------------------------------------------------------


def test_a_volume_step_that_another_call_reaches_moves_what_a_live_call_holds(
    operator: SmallOperator,
) -> None:
    tariff = operator.tariff(RETAIL, cycle_steps=steps(CycleStepKind.VOLUME, (0, "0.60"), (100, "0.30")))
    alice = operator.account("alice", tariff=tariff, funds="5")
    live = operator.call(alice, GERMANY)
    talk(operator, alice, 120)
    extended = operator.do(Extend(live.session_id, minutes(2), operator.now_us))
    assert isinstance(extended, Extended)
    assert end(operator, live.session_id, 120).total == eur("0.60")
    assert operator.wallet(alice).posted == eur("5") - eur("1.20")
    assert used(operator, CounterKind.STEPS) == [0, 240]


@pytest.mark.parametrize("mode", list(TaxMode))
def test_a_volume_step_prices_anew_what_was_used_before_with_its_tax(
    operator: SmallOperator, mode: TaxMode
) -> None:
    tariff = operator.tariff(
        RETAIL, mode, 200_000, cycle_steps=steps(CycleStepKind.VOLUME, (0, "0.60"), (100, "0.30"))
    )
    alice = operator.account("alice", tariff=tariff, funds="9")
    talk(operator, alice, 60)
    talk(operator, alice, 60)
    gross = eur("0.72") if mode is TaxMode.EXCLUSIVE else eur("0.60")
    assert operator.wallet(alice).posted == eur("9") - gross
    (difference,) = entries_of(operator, "volume")
    tax = {TaxMode.NONE: "0", TaxMode.EXCLUSIVE: "0.06", TaxMode.INCLUSIVE: "0.05"}[mode]
    taxes = [posting.amount for posting in difference.postings[2:]]
    assert sum(taxes) == eur(tax)


def test_a_dearer_volume_step_takes_what_is_there_and_the_call_still_ends(operator: SmallOperator) -> None:
    tariff = operator.tariff(RETAIL, cycle_steps=steps(CycleStepKind.VOLUME, (0, "0.30"), (100, "0.60")))
    alice = operator.account("alice", tariff=tariff, funds="0.90", allowance="1")
    talk(operator, alice, 60)
    granted = operator.call(alice, GERMANY)
    settled = end(operator, granted.session_id, 60)
    assert settled.total + settled.uncollected == eur("0.60")
    assert operator.wallet(alice).posted <= 0


def test_two_calls_never_take_the_same_piece_of_a_step(operator: SmallOperator) -> None:
    tariff = operator.tariff(RETAIL, cycle_steps=steps(CycleStepKind.GRADUATED, (0, "0.60"), (60, "0.06")))
    alice = operator.account("alice", tariff=tariff, funds="5")
    first, second = operator.call(alice, GERMANY), operator.call(alice, GERMANY)
    assert end(operator, first.session_id, 30).total == eur("0.30")
    operator.do(Extend(second.session_id, minutes(2), operator.now_us))
    # Priced beyond the step already: what the other call gave back is for the next one.
    assert end(operator, second.session_id, 120).total == eur("0.12")
    assert used(operator, CounterKind.STEPS) == [30, 120]
    third = operator.call(alice, GERMANY)
    assert end(operator, third.session_id, 60).total == eur("0.33")


@pytest.mark.parametrize("kind", list(CycleStepKind))
def test_a_call_keeps_its_steps_when_its_account_gets_another_tariff(
    operator: SmallOperator, kind: CycleStepKind
) -> None:
    tariff = operator.tariff(RETAIL, cycle_steps=steps(kind, (0, "0.06"), (600, "0.03")))
    alice = operator.account("alice", tariff=tariff, funds="5")
    live = operator.call(alice, GERMANY)
    operator.change_tariff(alice, operator.tariff(RETAIL))
    operator.do(Extend(live.session_id, minutes(2), operator.now_us))
    assert end(operator, live.session_id, 120).total == eur("0.12")


# --- bundles --------------------------------------------------------------------------------------


def test_a_shared_bundle_that_pays_at_two_levels_is_counted_once(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="5")
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="5", below=reseller)
    operator.give(reseller, operator.bundle(100, shared=True))
    for ended in (end, lambda operator, id, _: operator.do(Void(id, operator.now_us, 17))):
        granted = operator.call(alice, GERMANY)
        (counter,) = operator.rows.counters.values()
        assert counter.reserved == min(60, counter.free + counter.reserved)
        ended(operator, granted.session_id, 45)
        (counter,) = operator.rows.counters.values()
        assert (counter.used, counter.reserved) == (45, 0)
    assert (operator.wallet(alice).posted, operator.wallet(reseller).posted) == (eur("5"), eur("5"))


def test_a_call_that_waits_for_pieces_hears_when_another_gives_them_back(operator: SmallOperator) -> None:
    alice = operator.account("alice", tariff=operator.tariff(RETAIL))
    operator.give(alice, operator.bundle(70))
    first, second = operator.call(alice, GERMANY), operator.call(alice, GERMANY)
    assert second.final
    assert second.granted_us == seconds(10)
    operator.state.told.clear()
    end(operator, first.session_id, 20)
    assert operator.state.told == {operator.wallet(alice).id}


def test_a_bundle_that_is_taken_away_serves_the_live_call_and_no_other(operator: SmallOperator) -> None:
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="1")
    held = operator.give(alice, operator.bundle(600, Measure.SECONDS))
    live = operator.call(alice, GERMANY)
    operator.clock.advance(seconds(10))
    operator.take(held)
    paid = operator.call(alice, GERMANY)
    operator.do(Extend(live.session_id, minutes(2), operator.now_us))
    assert end(operator, live.session_id, 120).total == 0
    assert end(operator, paid.session_id, 60).total == eur("0.12")


def test_a_call_belongs_to_the_day_in_which_it_was_asked_for(operator: SmallOperator) -> None:
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="1")
    operator.give(alice, operator.bundle(100, cycle="day"))
    operator.clock.advance(seconds(86_390))
    before = operator.call(alice, GERMANY)
    operator.clock.advance(seconds(20))
    after = operator.call(alice, GERMANY)
    operator.do(Extend(before.session_id, minutes(2), operator.now_us))
    operator.do(Extend(after.session_id, minutes(2), operator.now_us))
    assert end(operator, before.session_id, 120).total == eur("0.04")
    assert end(operator, after.session_id, 100).total == 0
    assert used(operator, CounterKind.BUNDLE) == [100, 100]


def test_a_call_that_passed_unasked_is_counted_too(operator: SmallOperator) -> None:
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="1")
    operator.give(alice, operator.bundle(100))
    operator.limit(alice, LimitKind.SPEND, eur("1"), unit="EUR", window="day")
    request: Authorize = operator.request(alice, GERMANY)
    command = SettleOffline(request, operator.now_us, operator.now_us + seconds(160), 16)
    assert operator.do(command) == operator.do(command)
    assert used(operator, CounterKind.BUNDLE) == [100]
    assert used(operator, CounterKind.SPEND) == [eur("0.12")]


# --- limits ---------------------------------------------------------------------------------------


def test_a_limit_that_is_removed_while_a_call_is_up_lets_go_of_what_it_held(operator: SmallOperator) -> None:
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="5")
    limit = operator.limit(alice, LimitKind.SPEND, eur("0.20"), unit="EUR", window="day")
    live = operator.call(alice, GERMANY)
    operator.unlimit(limit)
    for until in (2, 3):
        extended = operator.do(Extend(live.session_id, minutes(until), operator.now_us))
        assert isinstance(extended, Extended)
        assert extended.granted_us == minutes(until)
    assert end(operator, live.session_id, 180).total == eur("0.36")


def test_a_spending_limit_that_another_call_uses_up_ends_an_extension_there(operator: SmallOperator) -> None:
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="5")
    operator.limit(alice, LimitKind.SPEND, eur("0.30"), unit="EUR", window="day")
    first, second = operator.call(alice, GERMANY), operator.call(alice, GERMANY)
    extended = operator.do(Extend(first.session_id, minutes(2), operator.now_us))
    assert isinstance(extended, Extended)
    assert (extended.granted_us, extended.final) == (seconds(90), True)
    operator.do(Answer(first.session_id, operator.now_us, "leg"))
    operator.state.told.clear()
    end(operator, second.session_id, 10)
    assert operator.state.told == {operator.wallet(alice).id}
    extended = operator.do(Extend(first.session_id, minutes(3), operator.now_us))
    assert isinstance(extended, Extended)
    assert extended.granted_us == seconds(140)
