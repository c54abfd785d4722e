"""authorize: who may call, for how long, and what is reserved for it."""

from dataclasses import replace

import pytest

from pbxbill.charging.events import Announcement, DenialReason, Denied, Granted, Settle, Void
from pbxbill.charging.hangup import CAUSE_OF_DENIAL
from pbxbill.charging.state import ChargedAccount, KnownEndpoint
from pbxbill.ledger.reservation import ReservationState
from pbxbill.rating.tariff import TaxMode
from tests.small_operator import INBOUND, RETAIL, WHOLESALE, SmallOperator, eur, minutes, seconds

GERMANY = "0049301234"
FRANCE = "+33612345"


def test_a_call_reserves_its_first_slice(operator: SmallOperator, alice: ChargedAccount) -> None:
    granted = operator.call(alice, GERMANY)
    assert (granted.destination, granted.called) == ("Germany", "49301234")
    assert (granted.granted_us, granted.final) == (seconds(60), False)
    assert (granted.available, granted.affordable_us) == (eur("1"), seconds(500))
    assert operator.wallet(alice).reserved == eur("0.12")
    assert operator.wallet(alice).posted == eur("1")


@pytest.mark.parametrize(
    "funds, number, granted_s",
    [
        ("0.12", GERMANY, 60),
        ("0.05", GERMANY, 25),
        ("0.002", GERMANY, 1),
        ("0.001", GERMANY, None),
        ("0.34", FRANCE, None),
        ("0.35", FRANCE, 60),  # the fee and one minute
        ("0.64", FRANCE, 60),
        ("0.24", "1212", None),
        ("0.25", "1212", None),  # the minimum charge is there, the first increment of 30 s is not
        ("0.30", "1212", 30),
        ("0.41", "1212", 36),
        ("0.00", "441", 10),  # free seconds
        ("0.01", "441", 15),
        ("1.00", "441", 60),
    ],
)
def test_funds_pay_for_whole_increments(
    operator: SmallOperator, retail: int, funds: str, number: str, granted_s: int | None
) -> None:
    bob = operator.account("bob", tariff=retail, funds=funds)
    outcome = operator.do(operator.request(bob, number))
    if granted_s is None:
        assert isinstance(outcome, Denied)
        assert outcome.reason is DenialReason.CREDIT_LIMIT_REACHED
    else:
        assert isinstance(outcome, Granted)
        assert outcome.granted_us == seconds(granted_s)
        assert operator.wallet(bob).available >= 0


@pytest.mark.parametrize(
    "code, number, reason",
    [
        ("nobody", GERMANY, DenialReason.USER_UNKNOWN),
        ("", GERMANY, DenialReason.USER_UNKNOWN),
        ("alice", "call me", DenialReason.RATING_FAILED),
        ("alice", "", DenialReason.RATING_FAILED),
        ("alice", "٤٩٣٠", DenialReason.RATING_FAILED),  # digits of another script
        ("alice", "4930%0a1", DenialReason.RATING_FAILED),
        ("alice", "9" * 16, DenialReason.RATING_FAILED),
        ("alice", "999", DenialReason.RATING_FAILED),
        ("alice", "7700", DenialReason.CREDIT_LIMIT_REACHED),
        ("carol", GERMANY, DenialReason.END_USER_SERVICE_DENIED),  # suspended
        ("dave", GERMANY, DenialReason.END_USER_SERVICE_DENIED),  # without a tariff
        ("erin", GERMANY, DenialReason.CREDIT_LIMIT_REACHED),  # without funds
        ("erin", FRANCE, DenialReason.CREDIT_LIMIT_REACHED),
    ],
)
def test_a_denial_has_a_reason_and_a_record_and_costs_nothing(
    operator: SmallOperator, retail: int, alice: ChargedAccount, code: str, number: str, reason: DenialReason
) -> None:
    operator.account("carol", tariff=retail, funds="5", status="suspended")
    operator.account("dave", tariff=None, funds="5")
    operator.account("erin", tariff=retail)
    request = operator.request(code, number)
    outcome = operator.do(request)
    assert isinstance(outcome, Denied)
    assert outcome.reason is reason
    record = operator.cdr(request.session_id)
    assert (record.denial, record.hangup_cause) == (reason, CAUSE_OF_DENIAL[reason])
    assert (record.charges, record.billed_us) == ((), 0)
    assert operator.wallet(alice).reserved == 0


@pytest.mark.parametrize(
    "own, general, spoken",
    [
        (None, True, True),
        (None, False, False),
        (True, False, True),
        (False, True, False),
    ],
)
def test_a_denial_is_spoken_as_the_account_says_or_else_its_tariff(
    operator: SmallOperator, retail: int, own: bool | None, general: bool, spoken: bool
) -> None:
    tariffs = operator.catalogue.tariffs
    tariffs[retail] = replace(tariffs[retail], announce_denial=general)
    erin = operator.account("erin", tariff=retail)
    operator.state.accounts[erin.id] = replace(erin, announce_denial=own, language="fr")
    request = operator.request(erin, GERMANY)
    for _ in range(2):  # asking again is answered from the record
        denied = operator.do(request)
        assert isinstance(denied, Denied)
        assert denied.announcement == Announcement("fr", denial=spoken)


def test_who_has_no_tariff_or_no_account_hears_that_it_is_denied(operator: SmallOperator) -> None:
    operator.account("dave", tariff=None, funds="5")
    for code in ("dave", "nobody"):
        denied = operator.do(operator.request(code, GERMANY))
        assert isinstance(denied, Denied)
        assert denied.announcement == Announcement("en", denial=True)


def test_a_number_that_costs_nothing_needs_no_funds(operator: SmallOperator, retail: int) -> None:
    erin = operator.account("erin", tariff=retail)
    granted = operator.call(erin, "800123")
    assert granted.affordable_us == granted.max_call_us == seconds(14_400)
    assert not granted.final


def test_asking_again_gives_the_first_grant(operator: SmallOperator, alice: ChargedAccount) -> None:
    request = operator.request(alice, GERMANY)
    first = operator.do(request)
    assert operator.do(request) == first
    assert operator.wallet(alice).reserved == eur("0.12")


def test_asking_again_gives_the_first_denial(operator: SmallOperator, alice: ChargedAccount) -> None:
    request = operator.request(alice, "7700")
    first = operator.do(request)
    operator.top_up(alice, "100")
    assert operator.do(request) == first


def test_a_call_that_ended_is_not_granted_again(operator: SmallOperator, alice: ChargedAccount) -> None:
    request = operator.request(alice, GERMANY)
    operator.do(request)
    operator.do(Void(request.session_id, operator.now_us, 17))
    outcome = operator.do(request)
    assert isinstance(outcome, Denied)
    assert outcome.reason is DenialReason.SERVICE_UNAVAILABLE


# --- who is charged -----------------------------------------------------------------------------


def test_the_surest_identification_counts(operator: SmallOperator, retail: int) -> None:
    by_code = operator.account("by-code", tariff=retail, funds="1")
    by_address = operator.account("by-address", tariff=retail, funds="1")
    by_number = operator.account("by-number", tariff=retail, funds="1")
    operator.state.endpoints["ip", "10.0.0.1"] = [KnownEndpoint("", by_address.id)]
    operator.state.endpoints["caller_id", "4989"] = [KnownEndpoint("", by_number.id)]
    request = replace(operator.request("by-code", GERMANY), source_ip="10.0.0.1", caller_id="4989")
    for account, asked in (
        (by_code, request),
        (by_address, replace(request, session_id="2", account_code="")),
        (by_number, replace(request, session_id="3", account_code="", source_ip="")),
    ):
        outcome = operator.do(asked)
        assert isinstance(outcome, Granted)
        assert outcome.account_id == account.id


def test_a_phone_with_an_account_code_cannot_choose_who_pays(operator: SmallOperator, retail: int) -> None:
    victim = operator.account("victim", tariff=retail, funds="1")
    operator.state.endpoints["caller_id", "4989"] = [KnownEndpoint("", victim.id)]
    outcome = operator.do(replace(operator.request("mistyped", GERMANY), caller_id="4989"))
    assert isinstance(outcome, Denied)
    assert outcome.reason is DenialReason.USER_UNKNOWN


def test_one_address_serves_accounts_by_their_technical_prefix(operator: SmallOperator, retail: int) -> None:
    plain = operator.account("plain", tariff=retail, funds="1")
    prefixed = operator.account("prefixed", tariff=retail, funds="1")
    operator.state.endpoints["ip", "10.0.0.1"] = [
        KnownEndpoint("777", prefixed.id),
        KnownEndpoint("", plain.id),
    ]
    called = {}
    for number in ("77700493012", "00493012"):
        request = replace(operator.request("", number), source_ip="10.0.0.1")
        outcome = operator.do(request)
        assert isinstance(outcome, Granted)
        called[number] = (outcome.account_code, outcome.called)
    assert called == {"77700493012": ("prefixed", "493012"), "00493012": ("plain", "493012")}


# --- chains -------------------------------------------------------------------------------------


def chain(operator: SmallOperator, *, wholesale_funds: str, retail_funds: str) -> list[ChargedAccount]:
    """alice below a reseller below a distributor."""
    distributor = operator.account("distributor", tariff=operator.tariff(WHOLESALE), funds="50")
    reseller = operator.account(
        "reseller", tariff=operator.tariff(WHOLESALE), funds=wholesale_funds, below=distributor
    )
    tariff = operator.tariff(RETAIL, TaxMode.EXCLUSIVE, 190_000)
    alice = operator.account("alice", tariff=tariff, funds=retail_funds, below=reseller)
    return [alice, reseller, distributor]


def test_every_level_of_a_chain_is_reserved(operator: SmallOperator) -> None:
    levels = chain(operator, wholesale_funds="9", retail_funds="9")
    granted = operator.call(levels[0], GERMANY)
    assert [operator.wallet(x).reserved for x in levels] == [eur("0.1428"), eur("0.06"), eur("0.06")]
    assert granted.wallet_ids == tuple(operator.wallet(x).id for x in levels)
    assert granted.available == eur("9")


@pytest.mark.parametrize("status, funds", [("active", "0"), ("suspended", "9")])
def test_a_chain_is_reserved_at_all_levels_or_none(operator: SmallOperator, status: str, funds: str) -> None:
    levels = chain(operator, wholesale_funds=funds, retail_funds="9")
    reseller = levels[1]
    operator.state.accounts[reseller.id] = replace(reseller, status=status)
    outcome = operator.do(operator.request(levels[0], GERMANY))
    assert isinstance(outcome, Denied)
    assert "reseller" in outcome.detail
    assert [operator.wallet(x).reserved for x in levels] == [0, 0, 0]


def test_the_poorest_level_decides_how_long_a_call_lasts(operator: SmallOperator) -> None:
    levels = chain(operator, wholesale_funds="0.03", retail_funds="9")
    granted = operator.call(levels[0], GERMANY)
    assert (granted.granted_us, granted.final) == (seconds(30), True)
    assert [operator.wallet(x).reserved for x in levels] == [eur("0.0714"), eur("0.03"), eur("0.03")]


def test_a_chain_grants_no_more_than_its_longest_increment_pays(operator: SmallOperator) -> None:
    # America: retail 30/6, wholesale 60/60. Wholesale reserves its whole minute for each started one.
    levels = chain(operator, wholesale_funds="0.30", retail_funds="9")
    granted = operator.call(levels[0], "1212")
    assert granted.granted_us == minutes(1)
    assert operator.wallet(levels[1]).available == 0


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "funds, limit, lasts_s", [("0", "0.24", 120), ("0.12", "0.12", 120), ("0.24", "0", 120), ("0", "0", None)]
)
def test_funds_and_credit_limit_pay_together(
    operator: SmallOperator, retail: int, funds: str, limit: str, lasts_s: int | None
) -> None:
    bob = operator.account("bob", tariff=retail, funds=funds, limit=limit)
    outcome = operator.do(operator.request(bob, GERMANY))
    if lasts_s is None:
        assert isinstance(outcome, Denied)
    else:
        assert isinstance(outcome, Granted)
        assert outcome.affordable_us == seconds(lasts_s)


def test_the_longest_call_of_any_level_counts(operator: SmallOperator) -> None:
    reseller = operator.account("reseller", tariff=operator.tariff(WHOLESALE, max_call_s=90), funds="50")
    alice = operator.account("alice", tariff=operator.tariff(RETAIL), funds="50", below=reseller)
    granted = operator.call(alice, GERMANY)
    assert (granted.max_call_us, granted.affordable_us) == (seconds(90), seconds(90))


# --- inbound -----------------------------------------------------------------------------------


def test_a_call_to_a_did_is_charged_to_its_owner(operator: SmallOperator, retail: int) -> None:
    owner = operator.account("owner", tariff=retail, inbound=operator.tariff(INBOUND), funds="0.02")
    operator.did("493055", owner)
    granted = operator.do(operator.inbound_request("493055"))
    assert isinstance(granted, Granted)
    assert (granted.account_code, granted.destination) == ("owner", "Berlin")
    assert (granted.granted_us, granted.final) == (seconds(60), True)


def test_a_call_to_a_did_without_inbound_tariff_is_free(operator: SmallOperator, retail: int) -> None:
    owner = operator.account("owner", tariff=retail)
    operator.did("493055", owner)
    granted = operator.do(operator.inbound_request("493055"))
    assert isinstance(granted, Granted)
    assert (granted.wallet_ids, granted.final) == ((), False)
    operator.do(Settle(granted.session_id, operator.now_us, operator.now_us + minutes(3), 16))
    record = operator.cdr(granted.session_id)
    assert (record.billed_us, record.charges) == (minutes(3), ())
    assert operator.state.reservations[granted.session_id].state is ReservationState.SETTLED


def test_a_caller_from_outside_hears_nobody_s_balance(operator: SmallOperator, retail: int) -> None:
    reseller = operator.account("reseller", tariff=retail, inbound=operator.tariff(INBOUND), funds="77")
    for code, inbound in (("paying", operator.tariff(INBOUND)), ("free", None)):
        owner = operator.account(code, tariff=retail, inbound=inbound, funds="5", below=reseller)
        operator.did("493055", owner)
        granted = operator.do(operator.inbound_request("493055"))
        assert isinstance(granted, Granted)
        spoken = granted.announcement
        assert spoken == Announcement("en")
        assert granted.available == (eur("5") if inbound else 0)


def test_a_call_to_an_unknown_did_is_denied(operator: SmallOperator, alice: ChargedAccount) -> None:
    outcome = operator.do(operator.inbound_request("493055"))
    assert isinstance(outcome, Denied)
    assert outcome.reason is DenialReason.USER_UNKNOWN
