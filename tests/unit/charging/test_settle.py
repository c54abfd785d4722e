"""settle, void, expire and calls that passed unauthorized: charged once, never more than there is."""

import pytest

from pbxbill.charging.events import (
    Answer,
    DenialReason,
    Denied,
    Evidence,
    Expire,
    Extend,
    FailurePolicy,
    Settle,
    Settled,
    SettleOffline,
    UnknownSession,
    Void,
    Voided,
)
from pbxbill.charging.settling import CUT_TOLERANCE_US, billed_duration
from pbxbill.charging.state import ChargedAccount
from pbxbill.ledger.reservation import ReservationState
from pbxbill.rating.tariff import TaxMode
from tests.small_operator import INBOUND, RETAIL, WHOLESALE, SmallOperator, eur, minutes, seconds

GERMANY = "4930"
FRANCE = "3361"


def settle(operator: SmallOperator, session_id: str, lasted_us: int) -> Settled:
    now_us = operator.now_us
    outcome = operator.do(Settle(session_id, now_us, now_us + lasted_us, 16))
    assert isinstance(outcome, Settled), outcome
    return outcome


# --- how long -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lasted_us, granted_us, billed_us",
    [
        (seconds(30), seconds(60), seconds(30)),
        (seconds(60), seconds(60), seconds(60)),
        (seconds(60) + 1, seconds(60), seconds(60)),  # the switch was late with the cut
        (seconds(60) + CUT_TOLERANCE_US, seconds(60), seconds(60)),
        (seconds(60) + CUT_TOLERANCE_US + 1, seconds(60), seconds(60) + CUT_TOLERANCE_US + 1),
        (0, seconds(60), 0),
        (-seconds(5), seconds(60), 0),  # the switch's clock stepped back
        (seconds(90_000), seconds(60), seconds(14_400)),  # no call is charged for more than the longest
    ],
)
def test_the_true_time_is_charged_but_not_a_late_cut(lasted_us: int, granted_us: int, billed_us: int) -> None:
    assert billed_duration(1_000, 1_000 + lasted_us, granted_us, seconds(14_400)) == billed_us


@pytest.mark.parametrize(
    "number, lasted_us, total",
    [
        (GERMANY, seconds(30), "0.06"),
        (GERMANY, 1, "0.002"),  # a started second
        (GERMANY, seconds(30) + 1, "0.062"),
        (GERMANY, 0, "0"),
        (FRANCE, 1, "0.35"),
        (FRANCE, seconds(60), "0.35"),
        (FRANCE, seconds(60) + 1, "0.35"),  # a cut that came late
        (FRANCE, seconds(62) + 1, "0.65"),
        ("1212", seconds(1), "0.30"),
        ("441", seconds(10), "0"),
        ("441", seconds(11), "0.002"),
        ("800", seconds(500), "0"),
    ],
)
def test_a_call_costs_what_its_rate_says(
    operator: SmallOperator, alice: ChargedAccount, number: str, lasted_us: int, total: str
) -> None:
    call = operator.call(alice, number)
    settled = settle(operator, call.session_id, lasted_us)
    assert (settled.total, settled.uncollected) == (eur(total), 0)
    assert settled.available == operator.wallet(alice).available == eur("1") - eur(total)
    assert operator.wallet(alice).reserved == 0


def test_a_call_is_charged_once(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    first = settle(operator, call.session_id, seconds(30))
    for lasted_s in (30, 45, 0):
        assert settle(operator, call.session_id, seconds(lasted_s)) == first
    assert len(operator.state.new_entries) == 2  # the top-up and the call


def test_a_repeated_settle_shows_what_is_available_now(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    call = operator.call(alice, GERMANY)
    settle(operator, call.session_id, seconds(30))
    operator.top_up(alice, "5")
    assert settle(operator, call.session_id, seconds(30)).available == eur("5.94")


@pytest.mark.parametrize("answered", [True, False])
def test_a_settle_needs_no_answer_before_it(
    operator: SmallOperator, alice: ChargedAccount, answered: bool
) -> None:
    call = operator.call(alice, GERMANY)
    if answered:
        operator.do(Answer(call.session_id, operator.now_us + 500, "leg"))
    settled = settle(operator, call.session_id, seconds(10))
    assert (settled.billed_us, settled.total) == (seconds(10), eur("0.02"))


def test_a_settle_without_answer_time_is_a_void(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    outcome = operator.do(Settle(call.session_id, None, operator.now_us, 19))
    assert outcome == Voided(call.session_id)
    record = operator.cdr(call.session_id)
    assert (record.answered_us, record.hangup_cause, record.charges) == (None, 19, ())


def test_a_void_is_repeated_and_cannot_become_a_charge(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    call = operator.call(alice, GERMANY)
    now_us = operator.now_us
    assert operator.do(Void(call.session_id, now_us, 17)) == Voided(call.session_id)
    assert operator.do(Void(call.session_id, now_us + 5, 16)) == Voided(call.session_id)
    assert operator.do(Settle(call.session_id, now_us, now_us + seconds(60), 16)) == Voided(call.session_id)
    assert operator.wallet(alice).posted == eur("1")


def test_a_void_after_a_charge_takes_nothing_back(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    first = settle(operator, call.session_id, seconds(30))
    assert operator.do(Void(call.session_id, operator.now_us, 17)) == first


def test_the_switch_s_record_can_withdraw_an_answer(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    operator.do(Answer(call.session_id, operator.now_us, "leg"))
    operator.do(Void(call.session_id, operator.now_us, 17, Evidence.CDR_LOG))
    reservation = operator.state.reservations[call.session_id]
    assert (reservation.state, reservation.answered_us) == (ReservationState.VOIDED, None)
    assert operator.wallet(alice).available == eur("1")


# --- chains and tax -----------------------------------------------------------------------------


def test_every_level_is_charged_by_its_own_rate(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="5")
    tariff = operator.tariff(RETAIL, TaxMode.EXCLUSIVE, 190_000)
    alice = operator.account("alice", tariff=tariff, funds="5", below=reseller)
    call = operator.call(alice, "1212")
    settle(operator, call.session_id, seconds(31))
    charges = operator.cdr(call.session_id).charges
    assert [(x.account_id, x.billable_s, x.total, x.tax) for x in charges] == [
        (alice.id, 36, eur("0.4284"), eur("0.0684")),
        (reseller.id, 60, eur("0.30"), 0),
    ]
    assert operator.wallet(alice).posted == eur("4.5716")
    assert operator.wallet(reseller).posted == eur("4.70")


@pytest.mark.parametrize(
    "mode, total, tax",
    [
        (TaxMode.NONE, "0.12", "0"),
        (TaxMode.EXCLUSIVE, "0.1428", "0.0228"),
        (TaxMode.INCLUSIVE, "0.12", "0.01916"),
    ],
)
def test_tax_is_posted_on_its_own(operator: SmallOperator, mode: TaxMode, total: str, tax: str) -> None:
    bob = operator.account("bob", tariff=operator.tariff(RETAIL, mode, 190_000), funds="1")
    call = operator.call(bob, GERMANY)
    settle(operator, call.session_id, seconds(60))
    (x,) = operator.cdr(call.session_id).charges
    assert (x.total, x.tax) == (eur(total), eur(tax))
    entry = operator.state.entries[f"settle:{call.session_id}:0"]
    expected = [eur(total), eur(tax) - eur(total)] + ([-eur(tax)] if eur(tax) else [])
    assert [posting.amount for posting in entry.postings] == expected


def test_a_call_to_a_did_that_only_the_reseller_pays_for(operator: SmallOperator, retail: int) -> None:
    reseller = operator.account("reseller", tariff=retail, inbound=operator.tariff(INBOUND), funds="5")
    owner = operator.account("owner", tariff=retail, below=reseller)
    operator.did("493055", owner)
    request = operator.inbound_request("493055")
    operator.do(request)
    settled = settle(operator, request.session_id, minutes(2))
    assert (settled.account_id, settled.total, settled.available) == (owner.id, 0, 0)
    assert operator.wallet(reseller).posted == eur("4.96")


# --- more than there is -------------------------------------------------------------------------


def test_what_is_owed_beyond_the_funds_is_recorded_and_not_taken(
    operator: SmallOperator, retail: int
) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.20")
    call = operator.call(bob, GERMANY)
    settled = settle(operator, call.session_id, seconds(600))  # nobody cut it
    assert (settled.total, settled.uncollected, settled.available) == (eur("0.20"), eur("1.00"), 0)


def test_another_call_s_reservation_is_not_taken(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.24")
    first, second = operator.call(bob, GERMANY), operator.call(bob, GERMANY)
    assert settle(operator, first.session_id, seconds(600)).total == eur("0.12")
    assert settle(operator, second.session_id, seconds(60)).total == eur("0.12")


def test_tax_is_split_where_not_everything_can_be_taken(operator: SmallOperator) -> None:
    bob = operator.account("bob", tariff=operator.tariff(RETAIL, TaxMode.EXCLUSIVE, 190_000), funds="0.20")
    call = operator.call(bob, GERMANY)
    settle(operator, call.session_id, seconds(600))
    (x,) = operator.cdr(call.session_id).charges
    assert (x.total, x.tax, x.uncollected) == (eur("0.20"), 31_933, eur("1.228"))  # 0.20 * 19 / 119


def test_one_poor_level_leaves_the_others_charged_in_full(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="0.10")
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="9", below=reseller)
    call = operator.call(alice, GERMANY)
    settle(operator, call.session_id, minutes(10))
    assert [(x.total, x.uncollected) for x in operator.cdr(call.session_id).charges] == [
        (eur("1.20"), 0),
        (eur("0.10"), eur("0.50")),
    ]


def test_failure_policy_open_charges_past_the_limit_up_to_the_allowance(
    operator: SmallOperator, retail: int
) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.12", policy=FailurePolicy.OPEN, allowance="0.50")
    call = operator.call(bob, GERMANY)
    settled = settle(operator, call.session_id, minutes(10))
    assert (settled.total, settled.uncollected) == (eur("0.62"), eur("0.58"))
    assert operator.wallet(bob).overdraft == eur("0.50")
    # What was overdrawn is no room for the next call.
    assert isinstance(operator.do(operator.request(bob, GERMANY)), Denied)
    operator.top_up(bob, "0.62")
    assert operator.wallet(bob).overdraft == 0
    assert operator.call(bob, GERMANY).granted_us == seconds(60)


# --- expire -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen_after_s, billed_s", [(None, 60), (25, 25), (60, 60), (3600, 60), (-10, 0)])
def test_a_lost_call_is_charged_as_far_as_it_was_seen(
    operator: SmallOperator, alice: ChargedAccount, seen_after_s: int | None, billed_s: int
) -> None:
    call = operator.call(alice, GERMANY)
    answered_us = operator.now_us
    operator.do(Answer(call.session_id, answered_us, "leg"))
    seen_us = None if seen_after_s is None else answered_us + seconds(seen_after_s)
    operator.do(Expire(call.session_id, answered_us + minutes(60), seen_us))
    record = operator.cdr(call.session_id)
    assert (record.billed_us, record.evidence) == (seconds(billed_s), Evidence.ESTIMATE)


def test_a_lost_call_that_nobody_answered_costs_nothing(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    call = operator.call(alice, GERMANY)
    assert operator.do(Expire(call.session_id, operator.now_us)) == Voided(call.session_id)
    assert operator.wallet(alice).available == eur("1")


def test_an_ended_call_does_not_expire(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    first = settle(operator, call.session_id, seconds(30))
    assert operator.do(Expire(call.session_id, operator.now_us)) == first
    assert operator.do(Expire("f" * 32, 1)) == UnknownSession("f" * 32)


# --- calls that nobody could authorize ----------------------------------------------------------


def offline(
    operator: SmallOperator, account: ChargedAccount | str, number: str, lasted_us: int
) -> SettleOffline:
    request = operator.request(account, number)
    return SettleOffline(request, operator.now_us, operator.now_us + lasted_us, 16)


def test_a_call_that_passed_unauthorized_is_charged_afterwards(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="1", policy=FailurePolicy.OPEN)
    command = offline(operator, bob, FRANCE, seconds(61))
    first = operator.do(command)
    assert isinstance(first, Settled)
    assert (first.total, first.available) == (eur("0.65"), eur("0.35"))
    assert operator.do(command) == first
    record = operator.cdr(command.request.session_id)
    assert (record.granted_us, record.evidence) == (0, Evidence.CDR_LOG)


def test_it_may_use_the_offline_allowance_and_no_more(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, policy=FailurePolicy.OPEN, allowance="0.50")
    for _ in range(3):
        operator.do(offline(operator, bob, GERMANY, minutes(3)))
    assert operator.wallet(bob).posted == -eur("0.50")


def test_a_closed_account_is_charged_no_further_than_its_funds(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    outcome = operator.do(offline(operator, alice, GERMANY, minutes(60)))
    assert isinstance(outcome, Settled)
    assert (outcome.total, outcome.available) == (eur("1"), 0)


def test_a_call_of_nobody_is_recorded(operator: SmallOperator) -> None:
    command = offline(operator, "nobody", GERMANY, minutes(1))
    outcome = operator.do(command)
    assert isinstance(outcome, Denied)
    assert outcome.reason is DenialReason.USER_UNKNOWN
    assert "passed unauthorized" in operator.cdr(command.request.session_id).detail


def test_an_authorized_call_is_settled_as_such(operator: SmallOperator, alice: ChargedAccount) -> None:
    call = operator.call(alice, GERMANY)
    operator.do(Extend(call.session_id, seconds(120), operator.now_us))
    request = operator.request(alice, GERMANY, call.session_id)
    now_us = operator.now_us
    outcome = operator.do(SettleOffline(request, now_us, now_us + seconds(90), 16))
    assert isinstance(outcome, Settled)
    assert outcome.total == eur("0.18")
    assert operator.state.reservations[call.session_id].state is ReservationState.SETTLED
