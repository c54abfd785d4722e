"""What an account may do in each status, and with less than its minimum balance."""

from dataclasses import replace

import pytest

from pbxbill.charging.announcement import NOT_ENOUGH_CREDIT, PROMPT_OF_DENIAL, SERVICE_DENIED
from pbxbill.charging.events import Authorize, DenialReason, Denied, Granted, Settle
from pbxbill.charging.state import ChargedAccount
from tests.small_operator import INBOUND, OPERATOR, RETAIL, SmallOperator, eur, minutes

GERMANY, SUPPORT, EMERGENCY, DID = "+49301234", "+4930111", "112", "493099"


@pytest.fixture
def reseller(operator: SmallOperator, wholesale: int) -> ChargedAccount:
    return operator.account("reseller", tariff=wholesale, inbound=operator.tariff(INBOUND), funds="9")


@pytest.fixture
def dora(operator: SmallOperator, retail: int, reseller: ChargedAccount) -> ChargedAccount:
    """A customer of the reseller, with a DID; her reseller and the operator have support numbers."""
    inbound = operator.tariff(INBOUND)
    dora = operator.account("dora", tariff=retail, inbound=inbound, funds="9", below=reseller)
    operator.did(DID, dora)
    numbers = {reseller.id: frozenset({"4930111"}), OPERATOR: frozenset({"33800"})}
    operator.catalogue.offers = replace(operator.catalogue.offers, support_numbers=numbers)
    return dora


def passes(operator: SmallOperator, request: Authorize) -> bool:
    outcome = operator.do(request)
    assert isinstance(outcome, Granted | Denied)
    if isinstance(outcome, Denied):
        assert outcome.reason is DenialReason.END_USER_SERVICE_DENIED
        assert PROMPT_OF_DENIAL[outcome.reason] == SERVICE_DENIED
    return isinstance(outcome, Granted)


@pytest.mark.parametrize("whose", ["dora", "reseller"])
@pytest.mark.parametrize(
    "status, out, support, inward",
    [
        ("active", True, True, True),
        ("no_outgoing", False, True, True),
        ("suspended", False, True, False),
        ("inactive", False, True, False),
        ("terminated", False, False, False),
    ],
)
def test_a_status_bars_the_account_and_all_below_it(
    operator: SmallOperator,
    reseller: ChargedAccount,
    dora: ChargedAccount,
    whose: str,
    status: str,
    out: bool,
    support: bool,
    inward: bool,
) -> None:
    operator.suspend(dora if whose == "dora" else reseller, status)
    assert passes(operator, operator.request(dora, GERMANY)) is out
    assert passes(operator, operator.request(dora, SUPPORT)) is support
    assert passes(operator, operator.request(dora, "+33800")) is support  # the operator's, above her reseller
    assert passes(operator, operator.inbound_request(DID)) is inward
    assert passes(operator, operator.request(dora, EMERGENCY))


def test_a_call_to_support_is_charged_as_any_other(operator: SmallOperator, dora: ChargedAccount) -> None:
    operator.suspend(dora)
    granted = operator.call(dora, SUPPORT)
    now_us = operator.now_us
    operator.do(Settle(granted.session_id, now_us, now_us + minutes(1), 16))
    assert operator.wallet(dora).posted == eur("9") - eur("0.12")


def test_a_support_number_of_somebody_else_is_barred(operator: SmallOperator, dora: ChargedAccount) -> None:
    bob = operator.account("bob", tariff=operator.tariff(RETAIL), funds="9", status="suspended")
    assert not passes(operator, operator.request(bob, SUPPORT))
    assert passes(operator, operator.request(bob, "+33800"))


@pytest.mark.parametrize("status, words", [("no_outgoing", "may not call out"), ("inactive", "is inactive")])
def test_the_record_says_which_account_is_barred_and_how(
    operator: SmallOperator, reseller: ChargedAccount, dora: ChargedAccount, status: str, words: str
) -> None:
    operator.suspend(reseller, status)
    outcome = operator.do(operator.request(dora, GERMANY))
    assert isinstance(outcome, Denied)
    assert outcome.detail == f"account reseller {words}"


@pytest.mark.parametrize("whose", ["dora", "reseller"])
def test_below_the_minimum_balance_of_a_level_no_call_to_the_outside_begins(
    operator: SmallOperator, reseller: ChargedAccount, dora: ChargedAccount, whose: str
) -> None:
    account = dora if whose == "dora" else reseller
    operator.state.accounts[account.id] = replace(account, minimum_balance=eur("9.01"))
    assert isinstance(operator.do(operator.request(dora, GERMANY)), Denied)
    assert isinstance(operator.do(operator.inbound_request(DID)), Granted)
    assert isinstance(operator.do(operator.request(dora, SUPPORT)), Granted)
    assert isinstance(operator.do(operator.request(dora, EMERGENCY)), Granted)


@pytest.mark.parametrize("floor, passed", [("1", True), ("1.01", False), ("0", True)])
def test_a_call_that_began_may_use_what_is_below_the_minimum_balance(
    operator: SmallOperator, retail: int, floor: str, passed: bool
) -> None:
    bob = operator.account("bob", tariff=retail, funds="0.6", limit="0.4")
    operator.state.accounts[bob.id] = replace(bob, minimum_balance=eur(floor))
    outcome = operator.do(operator.request(bob, GERMANY))
    if passed:
        assert isinstance(outcome, Granted)
        assert outcome.affordable_us == 500_000_000  # of all that is there
        return
    assert isinstance(outcome, Denied)
    assert outcome.reason is DenialReason.CREDIT_LIMIT_REACHED
    assert PROMPT_OF_DENIAL[outcome.reason] == NOT_ENOUGH_CREDIT
    assert outcome.detail == "account bob has less than its minimum balance"
