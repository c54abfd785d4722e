"""Small cases of accounts with several wallets, of exchange, and of calls that are only watched."""

from collections.abc import Iterable

import pytest

from pbxbill.charging.events import (
    Adjust,
    Denied,
    Direction,
    Extend,
    Granted,
    Moved,
    PostCharge,
    Refused,
    Settle,
    Settled,
    SettleOffline,
)
from pbxbill.charging.limits import LimitKind
from pbxbill.charging.state import ChargedAccount
from pbxbill.money import parse_amount
from tests.small_operator import EUR, RETAIL, USD, SmallOperator, eur, minutes, seconds

GERMANY = "4930"


def usd(text: str) -> int:
    return parse_amount(text, USD)


@pytest.fixture
def alice(operator: SmallOperator) -> ChargedAccount:
    """One dollar that pays first, and one euro, at two dollars for a euro; Germany is 0.12 EUR a minute."""
    operator.exchange(EUR, USD, "2")
    account = operator.account("alice", tariff=operator.tariff(RETAIL), funds="1", wallet_order="USD,EUR")
    operator.open_wallet(account, USD, funds="0.30")
    return account


def lines(operator: SmallOperator, session_id: str) -> list[int]:
    return [line.reserved for line in operator.state.reservations[session_id].levels]


def totals(operator: SmallOperator, session_id: str) -> list[int]:
    return [x.total for x in operator.cdr(session_id).charges]


def end(operator: SmallOperator, session_id: str, lasts_s: int) -> None:
    begun_us = operator.state.reservations[session_id].requested_us
    assert isinstance(operator.do(Settle(session_id, begun_us, begun_us + seconds(lasts_s), 16)), Settled)


def withdraw(
    operator: SmallOperator, account: ChargedAccount, amount: int, key: str = "a"
) -> Moved | Refused:
    moved = operator.do(Adjust(key, account.id, "USD", -amount, operator.now_us))
    assert isinstance(moved, Moved | Refused)
    return moved


def test_a_wallet_that_runs_out_in_a_call_leaves_the_rest_to_the_next(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    granted = operator.call(alice, GERMANY)
    assert lines(operator, granted.session_id) == [usd("0.24"), 0]
    operator.do(Extend(granted.session_id, minutes(2), operator.now_us))
    assert lines(operator, granted.session_id) == [usd("0.30"), eur("0.09")]
    end(operator, granted.session_id, 90)
    assert totals(operator, granted.session_id) == [usd("0.30"), eur("0.03")]


def test_what_is_withdrawn_from_one_wallet_another_reserves_instead(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    granted = operator.call(alice, GERMANY)
    moved = withdraw(operator, alice, usd("0.30"))
    assert isinstance(moved, Moved)
    assert moved.shortened == ()
    assert lines(operator, granted.session_id) == [0, eur("0.12")]
    assert operator.state.reservations[granted.session_id].granted_us == minutes(1)
    end(operator, granted.session_id, 60)
    assert totals(operator, granted.session_id) == [0, eur("0.12")]


def test_what_no_other_wallet_can_pay_shortens_the_call(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    operator.do(Adjust("eur", alice.id, "EUR", -eur("0.94"), operator.now_us))
    granted = operator.call(alice, GERMANY)
    operator.do(Extend(granted.session_id, seconds(75), operator.now_us))
    assert lines(operator, granted.session_id) == [usd("0.30"), 0]
    refused = withdraw(operator, alice, usd("0.30") + 1)
    assert isinstance(refused, Refused)
    assert refused.most == usd("0.30")
    moved = withdraw(operator, alice, usd("0.20"))
    assert isinstance(moved, Moved)
    assert moved.shortened == (granted.session_id,)
    assert lines(operator, granted.session_id) == [usd("0.10"), eur("0.06")]
    assert operator.state.reservations[granted.session_id].granted_us == seconds(55)
    end(operator, granted.session_id, 55)


def test_a_charge_from_elsewhere_takes_back_no_more_than_it_needs(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    granted = operator.call(alice, GERMANY)
    operator.do(PostCharge("fee", alice.id, "USD", usd("0.10"), 0, operator.now_us))
    assert lines(operator, granted.session_id) == [usd("0.20"), eur("0.02")]
    end(operator, granted.session_id, 60)


def test_two_calls_do_not_both_reserve_what_another_wallet_has_free(
    operator: SmallOperator, alice: ChargedAccount
) -> None:
    operator.do(Adjust("more", alice.id, "USD", usd("0.18"), operator.now_us))
    operator.do(Adjust("eur", alice.id, "EUR", -eur("0.86"), operator.now_us))
    first, second = operator.call(alice, GERMANY), operator.call(alice, GERMANY)
    moved = withdraw(operator, alice, usd("0.40"))
    assert isinstance(moved, Moved)
    assert len(moved.shortened) == 1
    assert operator.wallet(alice).available == operator.wallet(alice, USD).available == 0
    for granted in (first, second):
        end(
            operator,
            granted.session_id,
            operator.state.reservations[granted.session_id].granted_us // seconds(1),
        )


# --- watched calls --------------------------------------------------------------------------------


def test_a_watched_call_that_nobody_can_pay_passes_as_often_as_it_is_asked_for(
    operator: SmallOperator,
) -> None:
    bare = operator.account("bare", tariff=None, shadow=True)
    request = operator.request(bare, GERMANY)
    first, again = operator.do(request), operator.do(request)
    assert isinstance(first, Granted)
    assert first == again
    assert first.shadow


def test_a_watched_account_is_charged_below_its_floor(operator: SmallOperator) -> None:
    watched = operator.account("watched", tariff=operator.tariff(RETAIL), funds="0.02", shadow=True)
    operator.limit(watched, LimitKind.SIMULTANEOUS_CALLS, 0)
    granted = operator.call(watched, GERMANY)
    end(operator, granted.session_id, 60)
    record = operator.cdr(granted.session_id)
    assert operator.wallet(watched).posted == eur("-0.10")
    assert record.shadow is not None
    assert "simultaneous_calls" in record.shadow


# --- calls for help -------------------------------------------------------------------------------


def _hindered(operator: SmallOperator, tariff: int) -> Iterable[ChargedAccount]:
    yield operator.account("poor", tariff=tariff)
    yield operator.account("bare", tariff=None)
    yield operator.account("suspended", tariff=tariff, funds="1", status="suspended")
    limited = operator.account("limited", tariff=tariff, funds="1")
    operator.limit(limited, LimitKind.SIMULTANEOUS_CALLS, 0)
    operator.limit(limited, LimitKind.SPEND, 0, unit="EUR", window="day")
    operator.limit(limited, LimitKind.BLOCKED, destinations=("112", "emergency"))
    yield limited


def test_a_call_for_help_passes_whatever_stands_in_the_way(operator: SmallOperator) -> None:
    for account in _hindered(operator, operator.tariff(RETAIL)):
        assert isinstance(operator.do(operator.request(account, GERMANY)), Denied)
        granted = operator.call(account, "112")
        end(operator, granted.session_id, 600)
        assert operator.cdr(granted.session_id).charges == ()
    suspended = operator.account("endpoint", tariff=operator.tariff(RETAIL), funds="1")
    operator.state.endpoints["sip", "endpoint"] = [
        operator.endpoint_of(suspended)._replace(status="suspended")
    ]
    assert isinstance(operator.do(operator.request(suspended, GERMANY)), Denied)
    assert isinstance(operator.do(operator.request(suspended, "112")), Granted)


def test_calls_to_a_did_that_only_the_reseller_pays_for_are_counted_by_him(operator: SmallOperator) -> None:
    inbound = operator.tariff("4930 Berlin 0.06 fee 0 min 0 1/1")
    reseller = operator.account("reseller", tariff=None, inbound=inbound, funds="1")
    alice = operator.account("alice", tariff=None, below=reseller)
    operator.did("4930111", alice)
    operator.give(reseller, operator.bundle(60))
    operator.limit(reseller, LimitKind.SIMULTANEOUS_CALLS, 1)
    request = operator.inbound_request("4930111")
    assert request.direction is Direction.INBOUND
    granted = operator.do(request)
    assert isinstance(granted, Granted)
    assert isinstance(operator.do(operator.inbound_request("4930111")), Denied)
    operator.do(Extend(granted.session_id, minutes(2), operator.now_us))
    end(operator, granted.session_id, 120)
    assert totals(operator, granted.session_id) == [eur("0.06")]
    later = operator.inbound_request("4930111")
    operator.do(SettleOffline(later, operator.now_us, operator.now_us + seconds(60), 16))
    assert totals(operator, later.session_id) == [eur("0.06")]
