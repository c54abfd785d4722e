"""Subscriptions that another system has charged until now: first day, periods and term are kept, and nothing
is charged before the day up to which they are charged."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.subscriptions.subscribing import Wanted, When, cancel, change
from pbxbill.errors import InputRefused
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import BilledAccounts
from tests.store.subscribed_accounts import Shop, moment_us, open_shop

ADVANCE = """
unit = "EUR"
[[charge]]
name = "Line"
price = "31"
[[charge]]
name = "Connection"
type = "set_up"
price = "20"
"""
ARREARS = 'timing = "arrears"\n' + ADVANCE
TERM = ADVANCE + '[term]\nmonths = 12\nfee = "sliding"\namount = "365"\n'


RENEWED = 'renewal = "term"\n' + TERM


@pytest.fixture
def shop(accounts: BilledAccounts) -> Iterator[Shop]:
    opened = open_shop(accounts, "2026-01-20")
    yield opened
    opened.database.dispose()
    assert_books_in_order(accounts.url)


def taken(shop: Shop, plan: str = "office", *, from_: str = "2024-05-10", **days: str) -> int:
    """Subscribed elsewhere on 10 May 2024."""
    moments = {f"{name}_us": moment_us(day) for name, day in days.items()}
    return shop.subscribe("carol", plan, from_us=moment_us(from_), **moments)


@pytest.mark.parametrize(
    "charged_to,charges",
    [
        ("2026-01-10", [("2026-01-10", "31.00"), ("2026-02-10", "31.00")]),
        # The other system has billed until the new year: 9 of the 31 days until the 10th are left.
        ("2026-01-01", [("2026-01-01", "9.00"), ("2026-01-10", "31.00"), ("2026-02-10", "31.00")]),
        ("2026-02-10", [("2026-02-10", "31.00")]),
        ("2026-03-10", []),
    ],
)
def test_it_is_charged_from_the_day_on(shop: Shop, charged_to: str, charges: list[tuple[str, str]]) -> None:
    shop.plan("office", ADVANCE)
    taken(shop, charged_to=charged_to)
    shop.charge("carol", "2026-02-20")
    assert [(day, net) for day, _, net in shop.charges("carol")] == charges


def test_in_arrears_too(shop: Shop) -> None:
    """The other system has billed the service until 10 January."""
    shop.plan("office", ARREARS)
    taken(shop, charged_to="2026-01-10")
    shop.charge("carol", "2026-02-10")
    assert shop.charges("carol") == [("2026-01-10", "office: Line", "31.00")]


def test_a_change_gives_back_what_the_other_system_has_charged_and_costs_no_set_up(shop: Shop) -> None:
    shop.plan("office", ADVANCE)
    id = taken(shop, charged_to="2026-02-10")
    shop.does(change, id, Wanted(quantity=2))
    assert shop.charges("carol") == [
        ("2026-01-20", "office: Line, given back", "-21.00"),
        ("2026-01-20", "office: Line", "42.00"),
    ]


def test_what_was_before_is_not_changed(shop: Shop) -> None:
    shop.plan("office", ADVANCE)
    id = taken(shop, charged_to="2026-02-10")
    with pytest.raises(InputRefused, match="2026-01-19 is before"):
        shop.does(cancel, id, When(at_us=moment_us("2026-01-19")))
    shop.does(cancel, id, When(at_us=moment_us("2026-01-31")))
    shop.charge("carol", "2026-01-31")
    assert shop.charges("carol") == [("2026-01-31", "office: Line, given back", "-10.00")]


@pytest.mark.parametrize(
    "terms,fee",
    [
        # Renewed on 10 May 2025 for a year: 110 of its 365 days are left on 20 January.
        ({}, "110.00"),
        # Agreed until 19 February 2026, so from 19 February 2025 on: 30 of 365 days are left.
        ({"term_until": "2026-02-19"}, "30.00"),
    ],
)
def test_the_minimum_term_goes_on(shop: Shop, terms: dict[str, str], fee: str) -> None:
    shop.plan("office", RENEWED)
    id = taken(shop, charged_to="2026-02-10", **terms)
    shop.does(cancel, id, When())
    assert ("2026-01-19", "office: Cancellation fee", fee) in shop.charges("carol")


def test_a_subscription_for_a_time_ends_when_it_was_agreed(shop: Shop) -> None:
    shop.plan("office", 'renewal = "ends"\n' + TERM)
    with pytest.raises(InputRefused, match="by its plan it has ended on 2025-05-10; say until when"):
        taken(shop, charged_to="2026-02-10")
    id = taken(shop, charged_to="2026-02-10", term_until="2026-03-10")
    shop.charge("carol", "2026-04-01")
    assert shop.state(id) == "ended"
    assert shop.charges("carol") == [("2026-02-10", "office: Line", "31.00")]


def test_a_minimum_spend_counts_from_the_day(shop: Shop) -> None:
    """28 of 31 days: 28.00 of the minimum of 31, and the period before was the other system's."""
    shop.plan("calls", 'unit = "EUR"\nminimum_spend = "31"\n')
    taken(shop, "calls", charged_to="2026-01-13")
    shop.charge("carol", "2026-02-11")
    assert [(day, net) for day, _, net in shop.charges("carol")] == [("2026-01-13", "28.00")]
    taken(shop, "calls", charged_to="2026-03-10")
    shop.charge("carol", "2026-03-09")
    assert len(shop.charges("carol")) == 1


@pytest.mark.parametrize(
    "plan,written,reason",
    [
        (ADVANCE, {"charged_to": "2024-05-09"}, "it begins on 2024-05-10 only"),
        (ARREARS, {"charged_to": "2026-01-21"}, "in arrears: what is to come"),
        (ADVANCE, {"charged_to": "2026-02-10", "from_": "2026-01-21"}, "has begun already"),
        (ADVANCE, {"charged_to": "2026-02-10", "term_until": "2026-05-10"}, "has no minimum term"),
        (TERM, {"charged_to": "2026-02-10", "term_until": "2024-05-10"}, "is over before"),
    ],
)
def test_what_cannot_be_is_refused(shop: Shop, plan: str, written: dict[str, str], reason: str) -> None:
    shop.plan("office", plan)
    with pytest.raises(InputRefused, match=reason):
        taken(shop, **written)
