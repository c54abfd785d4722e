"""answer and extend: the deadline moves only as far as funds go, at every level."""

import pytest

from pbxbill.charging.events import (
    Answer,
    Answered,
    Closed,
    Extend,
    Extended,
    Granted,
    Settle,
    UnknownSession,
    Void,
)
from pbxbill.charging.state import ChargedAccount
from pbxbill.ledger.reservation import Verb
from tests.small_operator import RETAIL, WHOLESALE, SmallOperator, eur, seconds

GERMANY = "4930"
FRANCE = "3361"


def extend(operator: SmallOperator, session_id: str, want_s: int) -> Extended:
    outcome = operator.do(Extend(session_id, seconds(want_s), operator.now_us))
    assert isinstance(outcome, Extended), outcome
    return outcome


# --- answer -------------------------------------------------------------------------------------


def test_an_answer_sets_the_deadline(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    answered_us = operator.now_us + seconds(7)
    outcome = operator.do(Answer(call.session_id, answered_us, "leg"))
    assert outcome == Answered(call.session_id, seconds(60), False, answered_us + seconds(60))
    assert operator.state.reservations[call.session_id].deadline_us == answered_us + seconds(60)


def test_the_first_answer_counts(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    first = operator.do(Answer(call.session_id, operator.now_us, "leg"))
    assert operator.do(Answer(call.session_id, operator.now_us + seconds(30), "other")) == first
    assert operator.state.reservations[call.session_id].paid_leg == "leg"


def test_an_answer_may_come_after_an_extension(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    extend(operator, call.session_id, 120)
    outcome = operator.do(Answer(call.session_id, operator.now_us, "leg"))
    assert isinstance(outcome, Answered)
    assert outcome.granted_us == seconds(120)


@pytest.mark.parametrize("ending", [Settle, Void])
def test_an_answer_after_the_end_changes_nothing(
    operator: SmallOperator, alice: ChargedAccount, ending: type
) -> None:
    call = operator.call(alice, GERMANY)
    now_us = operator.now_us
    operator.do(
        Settle(call.session_id, now_us, now_us + seconds(5), 16)
        if ending is Settle
        else Void(call.session_id, now_us, 17)
    )
    record = operator.cdr(call.session_id)
    assert operator.do(Answer(call.session_id, now_us + seconds(9), "leg")) == Closed(call.session_id)
    assert operator.do(Extend(call.session_id, seconds(600), now_us)) == Closed(call.session_id)
    assert operator.cdr(call.session_id) == record
    assert operator.wallet(alice).reserved == 0


@pytest.mark.parametrize(
    "command",
    [
        Answer("f" * 32, 1, "leg"),
        Extend("f" * 32, 1, 1),
        Settle("f" * 32, 1, 2, 16),
        Void("f" * 32, 1, 16),
    ],
)
def test_a_session_that_never_was_is_unknown(
    operator: SmallOperator, command: Answer | Extend | Settle | Void
) -> None:
    assert operator.do(command) == UnknownSession("f" * 32)


def test_late_commands_about_a_denied_call_change_nothing(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    request = operator.request(alice, "7700")
    operator.do(request)
    record = operator.cdr(request.session_id)
    for command in (
        Answer(request.session_id, operator.now_us, "leg"),
        Extend(request.session_id, seconds(60), operator.now_us),
        Settle(request.session_id, operator.now_us, operator.now_us + seconds(60), 16),
    ):
        operator.do(command)
    assert operator.cdr(request.session_id) == record
    assert operator.wallet(alice).posted == eur("1")


# --- extend -------------------------------------------------------------------------------------


def test_a_call_grows_slice_by_slice_and_its_last_slice_is_exact(
    operator: SmallOperator, retail: int
) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.35")  # 175 s
    call = operator.call(bob, GERMANY)
    grown = [extend(operator, call.session_id, want_s) for want_s in (120, 180, 240)]
    assert [(x.granted_us, x.final) for x in grown] == [
        (seconds(120), False),
        (seconds(175), True),
        (seconds(175), True),
    ]
    assert all(x.affordable_us == seconds(175) for x in grown)
    assert operator.wallet(bob).available == 0


def test_a_slice_ends_with_an_increment(operator: SmallOperator, alice: ChargedAccount) -> None:
    operator.top_up(alice, "9")
    call = operator.call(alice, FRANCE)
    assert extend(operator, call.session_id, 61).granted_us == seconds(120)
    assert operator.wallet(alice).reserved == eur("0.65")


@pytest.mark.parametrize(
    "funds, granted_s, final", [("0.35", 60, True), ("0.64", 60, True), ("0.95", 120, False)]
)
def test_minutes_are_granted_whole(
    operator: SmallOperator, retail: int, funds: str, granted_s: int, final: bool
) -> None:
    bob = operator.account("bob", tariff=retail, funds=funds)
    call = operator.call(bob, FRANCE)
    grown = extend(operator, call.session_id, 120)
    assert (grown.granted_us, grown.final) == (seconds(granted_s), final)


def test_the_longest_call_is_final_and_no_shortage(operator: SmallOperator) -> None:
    bob = operator.account("bob", tariff=operator.tariff(RETAIL, max_call_s=100), funds="9")
    call = operator.call(bob, GERMANY)
    grown = extend(operator, call.session_id, 500)
    assert (grown.granted_us, grown.final) == (seconds(100), True)
    assert not operator.wallet(bob).starved


def test_asking_for_less_takes_nothing_back(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    extend(operator, call.session_id, 180)
    assert extend(operator, call.session_id, 1).granted_us == seconds(180)
    assert operator.wallet(alice).reserved == eur("0.36")


def test_asking_twice_extends_once(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    first = extend(operator, call.session_id, 120)
    assert extend(operator, call.session_id, 120) == first
    steps = [(verb, granted_us) for _, verb, _, granted_us, _ in operator.state.steps]
    assert steps == [(Verb.RESERVE, seconds(60)), (Verb.EXTEND, seconds(120))]


def test_simultaneous_calls_share_what_there_is(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.30")  # 150 s
    first, second = operator.call(bob, GERMANY), operator.call(bob, GERMANY)
    assert extend(operator, first.session_id, 120) == Extended(
        first.session_id, seconds(90), True, seconds(90)
    )
    starved = extend(operator, second.session_id, 120)
    assert (starved.granted_us, starved.final) == (seconds(60), True)
    assert operator.wallet(bob).available == 0


def test_every_level_pays_for_an_extension(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="0.10")  # 100 s
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="9", below=reseller)
    call = operator.call(alice, GERMANY)
    grown = extend(operator, call.session_id, 120)
    assert (grown.granted_us, grown.final) == (seconds(100), True)
    assert (operator.wallet(alice).reserved, operator.wallet(reseller).reserved) == (eur("0.20"), eur("0.10"))


def test_a_credit_limit_carries_a_call_below_zero(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.12", limit="0.12")
    call = operator.call(bob, GERMANY)
    assert extend(operator, call.session_id, 180).granted_us == seconds(120)
    operator.do(Settle(call.session_id, operator.now_us, operator.now_us + seconds(120), 16))
    assert operator.wallet(bob).posted == -eur("0.12")
    assert operator.wallet(bob).available == 0


# --- who is told --------------------------------------------------------------------------------


def test_a_starved_call_hears_of_released_funds(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.20")  # 100 s
    wallet = operator.wallet(bob)
    first, second = operator.call(bob, GERMANY), operator.call(bob, GERMANY)
    assert (second.granted_us, second.final) == (seconds(40), True)
    assert wallet.starved
    operator.state.told.clear()
    operator.do(Settle(first.session_id, operator.now_us, operator.now_us + seconds(10), 16))
    assert operator.state.told == {wallet.id}
    assert extend(operator, second.session_id, 120).granted_us == seconds(90)


def test_a_call_whose_extension_was_cut_short_hears_of_released_funds(
    operator: SmallOperator, retail: int
) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.30")  # 150 s
    wallet = operator.wallet(bob)
    first, second = operator.call(bob, GERMANY), operator.call(bob, GERMANY)
    assert not operator.wallet(bob).starved, "a minute each, and half a one is left"
    short = extend(operator, second.session_id, 120)
    assert (short.granted_us, short.final) == (seconds(90), True)
    assert wallet.starved
    operator.state.told.clear()
    operator.do(Void(first.session_id, operator.now_us, 16))
    assert operator.state.told == {wallet.id}
    assert extend(operator, second.session_id, 120).granted_us == seconds(120)


def test_an_extension_cut_short_by_a_reseller_hears_of_the_resellers_funds(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="0.15")  # 150 s
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="9", below=reseller)
    first, second = operator.call(alice, GERMANY), operator.call(alice, GERMANY)
    assert extend(operator, second.session_id, 120).granted_us == seconds(90)
    operator.state.told.clear()
    operator.do(Void(first.session_id, operator.now_us, 16))
    assert operator.wallet(reseller).id in operator.state.told
    assert extend(operator, second.session_id, 120).granted_us == seconds(120)


def test_nobody_is_told_where_nobody_starves(operator: SmallOperator, alice: ChargedAccount) -> None:
    operator.state.told.clear()
    first, _ = operator.call(alice, GERMANY), operator.call(alice, GERMANY)
    operator.do(Settle(first.session_id, operator.now_us, operator.now_us + seconds(10), 16))
    assert operator.state.told == set()


def test_a_call_that_got_what_it_asked_for_does_not_starve(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    call = operator.call(alice, GERMANY)
    assert not extend(operator, call.session_id, 120).final
    assert not operator.wallet(alice).starved


def test_a_void_releases_everything_and_tells_the_starved(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.12")
    wallet = operator.wallet(bob)
    operator.state.told.clear()
    first = operator.call(bob, GERMANY)
    assert not isinstance(operator.do(operator.request(bob, GERMANY)), Granted)
    operator.do(Void(first.session_id, operator.now_us, 17))
    assert (wallet.available, wallet.reserved) == (eur("0.12"), 0)
    assert operator.state.told == {wallet.id}
