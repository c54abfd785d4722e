"""Top-ups, adjustments and credit limits, also in the middle of calls."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pbxbill.charging.events import (
    Adjust,
    Answer,
    Extend,
    Extended,
    FailurePolicy,
    Moved,
    Outcome,
    PostCharge,
    PostEntry,
    Refused,
    SetCreditLimit,
    Settle,
    SettleOffline,
    TopUp,
)
from pbxbill.charging.funds import RETIME_MARGIN_US
from pbxbill.charging.state import ChargedAccount
from pbxbill.errors import DuplicateKey
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.reservation import Verb
from pbxbill.money import MAX_AMOUNT
from tests.small_operator import RETAIL, WHOLESALE, SmallOperator, eur, minutes, seconds

GERMANY = "4930"
FRANCE = "3361"


def adjust(operator: SmallOperator, account: ChargedAccount, amount: str, key: str = "a") -> Outcome:
    return operator.do(Adjust(key, account.id, "EUR", eur(amount), operator.now_us))


def granted_s(operator: SmallOperator, session_id: str) -> int:
    return operator.state.reservations[session_id].granted_us // seconds(1)


# --- idempotency and refusals -------------------------------------------------------------------


def test_a_top_up_counts_once(operator: SmallOperator, alice: ChargedAccount) -> None:
    first = operator.top_up(alice, "5", "payment-1")
    assert operator.top_up(alice, "5", "payment-1") == first
    assert first.balance == operator.wallet(alice).posted == eur("6")


@pytest.mark.parametrize(
    "other",
    [
        lambda alice, bob: TopUp("key", alice, "EUR", eur("6"), 1),
        lambda alice, bob: TopUp("key", bob, "EUR", eur("5"), 1),
        lambda alice, bob: Adjust("key", alice, "EUR", eur("5"), 1),
    ],
    ids=["another amount", "another account", "another kind"],
)
def test_a_key_cannot_mean_two_things(
    operator: SmallOperator,
    retail: int,
    alice: ChargedAccount,
    other: Callable[[int, int], TopUp | Adjust],
) -> None:
    bob = operator.account("bob", tariff=retail)
    operator.top_up(alice, "5", "key")
    with pytest.raises(DuplicateKey):
        operator.do(other(alice.id, bob.id))
    assert (operator.wallet(alice).posted, operator.wallet(bob).posted) == (eur("6"), 0)


@pytest.mark.parametrize("income", [LedgerCode.REVENUE_READINGS, LedgerCode.REVENUE_USAGE])
def test_a_reading_is_found_again_whichever_account_it_was_posted_to(
    operator: SmallOperator, alice: ChargedAccount, income: LedgerCode
) -> None:
    """Readings had no account of their own at first."""
    parts = ((income, -eur("0.10")), (LedgerCode.TAX_PAYABLE, -eur("0.02")))
    first = operator.do(
        PostEntry("reading:1:5", alice.id, "EUR", -eur("0.12"), parts, "charge", 5, owed=True)
    )
    reading = PostCharge("reading:1:5", alice.id, "EUR", eur("0.12"), eur("0.02"), 5)
    again = operator.do(reading)
    assert isinstance(first, Moved)
    assert isinstance(again, Moved)
    assert (again.entry_id, operator.wallet(alice).posted) == (first.entry_id, eur("0.88"))
    with pytest.raises(DuplicateKey):
        operator.do(replace(reading, total=eur("0.13")))


@pytest.mark.parametrize(
    "command",
    [
        lambda account: TopUp("k", account, "EUR", 0, 1),
        lambda account: TopUp("k", account, "EUR", -5, 1),
        lambda account: TopUp("k", account, "USD", 5, 1),
        lambda account: TopUp("k", account, "EUR", MAX_AMOUNT, 1),  # with the euro that is there
        lambda account: TopUp("k", account, "EUR", 2**63, 1),
        lambda account: Adjust("k", account, "EUR", 2**63, 1),
        lambda account: TopUp("k" * 201, account, "EUR", 5, 1),
        lambda account: TopUp("", account, "EUR", 5, 1),
        lambda account: Adjust("k", account, "EUR", 0, 1),
        lambda account: Adjust("k", account, "USD", 5, 1),
        lambda account: Adjust("k", account, "EUR", -eur("1") - 1, 1),
        lambda account: SetCreditLimit(account, "EUR", -1, 1),
        lambda account: SetCreditLimit(account, "USD", 1, 1),
        lambda account: SetCreditLimit(account, "EUR", 2**63, 1),
    ],
)
def test_what_cannot_be_done_is_refused(
    operator: SmallOperator, alice: ChargedAccount, command: Callable[[int], TopUp]
) -> None:
    assert isinstance(operator.do(command(alice.id)), Refused)
    assert operator.wallet(alice).posted == eur("1")


def test_a_refusal_says_how_much_could_be_taken(operator: SmallOperator, alice: ChargedAccount) -> None:
    refused = adjust(operator, alice, "-1.50")
    assert isinstance(refused, Refused)
    assert refused.most == eur("1")
    assert isinstance(adjust(operator, alice, "-1"), Moved)
    assert operator.wallet(alice).available == 0


# --- live calls ---------------------------------------------------------------------------------


def test_a_top_up_lets_a_starving_call_grow(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.05")
    call = operator.call(bob, GERMANY)
    operator.state.told.clear()
    operator.top_up(bob, "1")
    assert operator.state.told == {operator.wallet(bob).id}
    grown = operator.do(Extend(call.session_id, seconds(120), operator.now_us))
    assert isinstance(grown, Extended)
    assert (grown.granted_us, grown.final) == (seconds(120), False)


def talking(operator: SmallOperator, account: ChargedAccount, number: str, granted: int) -> str:
    """A call that has been answered and was granted that many seconds."""
    call = operator.call(account, number)
    operator.do(Answer(call.session_id, operator.now_us, "leg"))
    operator.do(Extend(call.session_id, seconds(granted), operator.now_us))
    operator.clock.advance(seconds(1))
    return call.session_id


def test_money_moved_out_shortens_the_youngest_call_first(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.72")  # 360 s
    older, younger = (talking(operator, bob, GERMANY, 180) for _ in range(2))
    moved = adjust(operator, bob, "-0.20")
    assert isinstance(moved, Moved)
    assert moved.shortened == (younger,)
    assert (granted_s(operator, older), granted_s(operator, younger)) == (180, 80)
    assert moved.available == operator.wallet(bob).available == 0


def test_a_call_whose_timer_nobody_can_move_keeps_its_funds(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.72")
    call = talking(operator, bob, GERMANY, 180)  # holds 0.36
    operator.state.steered.clear()  # its daemon is gone; the switch will let it talk all it was granted
    refused = adjust(operator, bob, "-0.50")
    assert isinstance(refused, Refused)
    assert refused.most == eur("0.36")
    assert granted_s(operator, call) == 180


def test_a_shortened_call_keeps_what_it_used_and_a_margin(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.72")
    older, younger = (talking(operator, bob, GERMANY, 180) for _ in range(2))
    operator.clock.advance(seconds(28))  # the younger has talked for 29 s, the older for 30 s
    refused = adjust(operator, bob, "-0.72")
    assert isinstance(refused, Refused)
    assert refused.most == eur("0.72") - (29 + 5 + 30 + 5) * eur("0.002")
    assert granted_s(operator, older) == granted_s(operator, younger) == 180
    assert isinstance(operator.do(Adjust("b", bob.id, "EUR", -refused.most, operator.now_us)), Moved)
    assert (granted_s(operator, older), granted_s(operator, younger)) == (35, 34)
    assert seconds(5) == RETIME_MARGIN_US


def test_a_shortened_call_keeps_its_started_increment(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.95")  # fee and three minutes
    call = talking(operator, bob, FRANCE, 180)
    operator.clock.advance(seconds(57))
    refused = adjust(operator, bob, "-0.95")
    assert isinstance(refused, Refused)
    assert refused.most == eur("0.30")  # 58 s and the margin lie in the second minute
    adjust(operator, bob, "-0.01", "b")
    assert granted_s(operator, call) == 120
    assert operator.wallet(bob).available == eur("0.29")


def test_a_shortened_call_frees_funds_at_every_level_and_tells_them(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="5")
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="0.36", below=reseller)
    talking(operator, alice, GERMANY, 180)
    operator.state.told.clear()
    adjust(operator, alice, "-0.20")
    assert (operator.wallet(alice).reserved, operator.wallet(reseller).reserved) == (eur("0.16"), eur("0.08"))
    assert operator.state.told == {operator.wallet(alice).id, operator.wallet(reseller).id}


def test_taking_from_a_reseller_shortens_its_accounts_calls(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE), funds="0.18")
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="9", below=reseller)
    call = talking(operator, alice, GERMANY, 180)
    moved = adjust(operator, reseller, "-0.12")
    assert isinstance(moved, Moved)
    assert moved.shortened == (call,)
    assert granted_s(operator, call) == 60
    assert operator.wallet(alice).reserved == eur("0.12")


def test_a_shortened_call_is_charged_as_it_was_cut(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.36")
    call = talking(operator, bob, GERMANY, 180)
    adjust(operator, bob, "-0.24")
    answered_us = operator.state.reservations[call].answered_us
    assert answered_us is not None
    operator.do(Settle(call, answered_us, answered_us + seconds(61), 16))
    assert operator.cdr(call).billed_us == seconds(60)
    assert operator.wallet(bob).posted == 0


def test_what_is_shortened_is_in_the_history(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.36")
    talking(operator, bob, GERMANY, 180)
    adjust(operator, bob, "-0.10")
    assert [step[1] for step in operator.state.steps] == [Verb.RESERVE, Verb.EXTEND, Verb.SHRINK]


# --- limits -------------------------------------------------------------------------------------


def test_a_credit_limit_can_be_raised_and_lowered(operator: SmallOperator, alice: ChargedAccount) -> None:
    for limit, available in (("5", "6"), ("2", "3"), ("0", "1")):
        moved = operator.do(SetCreditLimit(alice.id, "EUR", eur(limit), operator.now_us))
        assert isinstance(moved, Moved)
        assert moved.available == operator.wallet(alice).available == eur(available)


def test_a_limit_in_use_goes_no_lower_than_its_use(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, limit="1")
    call = operator.call(bob, GERMANY)
    now_us = operator.now_us
    operator.do(Settle(call.session_id, now_us, now_us + minutes(1), 16))
    refused = operator.do(SetCreditLimit(bob.id, "EUR", 0, now_us))
    assert isinstance(refused, Refused)
    assert refused.most == eur("0.12")
    assert isinstance(operator.do(SetCreditLimit(bob.id, "EUR", refused.most, now_us)), Moved)


def test_a_lower_limit_shortens_live_calls(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, limit="0.36")
    call = talking(operator, bob, GERMANY, 180)
    moved = operator.do(SetCreditLimit(bob.id, "EUR", eur("0.20"), operator.now_us))
    assert isinstance(moved, Moved)
    assert moved.shortened == (call,)
    assert granted_s(operator, call) == 100


# --- after an overdraft -------------------------------------------------------------------------


@pytest.fixture
def overdrawn(operator: SmallOperator, retail: int) -> ChargedAccount:
    """An account that is half a euro below its floor."""
    account = operator.account("overdrawn", tariff=retail, policy=FailurePolicy.OPEN, allowance="0.50")
    command = SettleOffline(
        operator.request(account, GERMANY), operator.now_us, operator.now_us + minutes(60), 16
    )
    operator.do(command)
    assert operator.wallet(account).overdraft == eur("0.50")
    return account


def test_a_top_up_pays_back_the_overdraft_first(operator: SmallOperator, overdrawn: ChargedAccount) -> None:
    for amount, available in (("0.20", "-0.30"), ("0.30", "0"), ("0.12", "0.12")):
        moved = operator.top_up(overdrawn, amount)
        assert moved.available == operator.wallet(overdrawn).available == eur(available)
    assert operator.wallet(overdrawn).overdraft == 0


def test_a_refund_pays_back_the_overdraft_too(operator: SmallOperator, overdrawn: ChargedAccount) -> None:
    assert isinstance(adjust(operator, overdrawn, "0.20"), Moved)
    assert operator.wallet(overdrawn).available == -eur("0.30")


def test_a_limit_can_be_raised_while_an_overdraft_stands(
    operator: SmallOperator, overdrawn: ChargedAccount
) -> None:
    moved = operator.do(SetCreditLimit(overdrawn.id, "EUR", eur("0.20"), operator.now_us))
    assert isinstance(moved, Moved)
    assert operator.wallet(overdrawn).overdraft == eur("0.30")


def test_money_received_shortens_no_call(operator: SmallOperator, retail: int) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.24", policy=FailurePolicy.OPEN, allowance="0.50")
    ends, stays = (talking(operator, bob, GERMANY, 60) for _ in range(2))
    answered_us = operator.now_us
    operator.do(Settle(ends, answered_us, answered_us + minutes(30), 16))
    assert operator.wallet(bob).overdraft == eur("0.50")
    moved = operator.top_up(bob, "0.10")
    assert (moved.shortened, granted_s(operator, stays)) == ((), 60)


def test_nothing_can_be_taken_out_while_an_overdraft_stands(
    operator: SmallOperator, overdrawn: ChargedAccount
) -> None:
    refused = adjust(operator, overdrawn, "-0.01")
    assert isinstance(refused, Refused)
    assert refused.most == 0
