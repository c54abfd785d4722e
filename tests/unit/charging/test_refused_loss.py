"""A tariff may refuse calls that bring the account above less than they cost it."""

from datetime import UTC, datetime

import pytest

from pbxbill.charging.events import DenialReason, Denied, Granted
from pbxbill.clock import SECOND_US
from pbxbill.rating.bands import BandCalendar, BandRule
from tests.small_operator import SmallOperator

DEAR = """
    49  Germany  0.08
    33  France   0.02
"""
CHEAP = """
    49  Germany  0.05
    33  France   0.02
"""
CHEAP_EVENING = "49  Germany  0.08  band evening 0.03 0 1/1"


def customer_of(operator: SmallOperator, dear: int, cheap: int) -> str:
    reseller = operator.account("acme", tariff=dear, limit="100")
    return operator.account("lou", tariff=cheap, funds="10", below=reseller).code


def test_a_call_that_costs_more_than_it_brings_is_denied_in_words_of_money() -> None:
    operator = SmallOperator()
    lou = customer_of(operator, operator.tariff(DEAR), operator.tariff(CHEAP, refuse_loss=True))
    denied = operator.do(operator.request(lou, "4930"))
    assert isinstance(denied, Denied)
    assert denied.reason is DenialReason.LOSS_MAKING
    assert denied.detail == "a minute brings account acme 0.05 EUR and costs it 0.08 EUR"
    assert isinstance(operator.do(operator.request(lou, "33")), Granted)  # it brings what it costs
    assert operator.broken_promises() == []


def test_a_loss_is_allowed_where_nobody_refuses_it() -> None:
    operator = SmallOperator()
    lou = customer_of(operator, operator.tariff(DEAR), operator.tariff(CHEAP))
    assert isinstance(operator.do(operator.request(lou, "4930")), Granted)
    assert operator.broken_promises() == []


@pytest.mark.parametrize("hour, granted", [(17, False), (18, True)])
def test_the_band_of_the_moment_says_whether_it_is_one(hour: int, granted: bool) -> None:
    now_us = int(datetime(2026, 1, 5, hour, 59 if hour == 17 else 0, tzinfo=UTC).timestamp()) * SECOND_US
    operator = SmallOperator(now_us)
    calendar = BandCalendar(1, "office", "UTC", (BandRule("evening", from_s=18 * 3600, to_s=6 * 3600),))
    dear = operator.tariff(CHEAP_EVENING, calendar=calendar)
    lou = customer_of(operator, dear, operator.tariff(CHEAP, refuse_loss=True))
    assert isinstance(operator.do(operator.request(lou, "4930")), Granted) is granted
