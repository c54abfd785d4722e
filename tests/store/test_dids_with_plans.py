"""DIDs that cost something: set-up, every month, every minute and call; given, called, given back."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pbxbill.billing.subscriptions.did_inventory import add_did
from pbxbill.billing.subscriptions.dids import Assignment, assign_did, release_did
from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion, issuer_by_code
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import When, cancel
from pbxbill.charging.events import Answer, Denied, Direction, Granted, Outcome, Settle
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.decks import add_deck_version
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.store.billed_accounts import CLOCK, MINUTE_US, BilledAccounts, rate
from tests.store.subscribed_accounts import Shop, open_shop

NUMBER = "4930555001"
PLAN = """
unit = "EUR"
kind = "did"
inbound_tariff = "calls in"
[[charge]]
name = "Number"
price = "3.10"
[[charge]]
name = "Connection"
type = "set_up"
price = "1"
"""


@pytest.fixture
def shop(accounts: BilledAccounts) -> Iterator[Shop]:
    opened = open_shop(accounts)
    with opened.session() as session:
        add_deck_version(
            session,
            deck_name="inbound",
            unit="EUR",
            rates=[rate("49", "Germany", "0.06", "0.10")],
            effective_from_us=0,
            source="inbound.csv",
            now_us=0,
        )
        add_tariff_version(session, NewTariff("calls in", "inbound"), 0)
        add_did(session, issuer_by_code(session, None), NUMBER, opened.now_us)
    yield opened
    opened.database.dispose()
    assert accounts.problems() == []


def assign(shop: Shop, code: str, version: PlanVersion | None) -> int | None:
    with shop.session() as session:
        account = account_by_code(session, code)
        wanted = Assignment(version)
        _, done = assign_did(session, shop.books, NUMBER, account, wanted, shop.now_us)
        return None if done is None else done.subscribed.row.id


def called(accounts: BilledAccounts) -> Outcome:
    """A call from outside of one minute."""
    with accounts.engine() as engine:
        request = accounts.request("nobody", NUMBER)
        asked = replace(request, direction=Direction.INBOUND, account_code="", did=NUMBER)
        granted = engine.execute(asked)
        if isinstance(granted, Granted):
            now_us = CLOCK.now_us()
            engine.execute(Answer(granted.session_id, now_us, "leg"))
            engine.execute(Settle(granted.session_id, now_us, now_us + MINUTE_US, 16))
        return granted


def test_a_did_is_paid_for_and_calls_to_it_are_charged_by_its_plan(shop: Shop) -> None:
    version = shop.plan("number", PLAN)
    shop.top_up("bob", "20")
    shop.at("2026-01-11")
    id = assign(shop, "bob", version)
    assert shop.charges("bob") == [
        ("2026-01-11", "number: Connection", "1.00"),
        ("2026-01-11", "number: Number", "3.10"),
    ]
    assert shop.balances() == {"cash": "20.00", "deferred:revenue": "-3.10", "revenue:dids": "-1.00"}
    assert isinstance(called(shop.accounts), Granted)
    assert shop.wallet("bob") == "15.74"  # 0.10 for the call, 0.06 for the minute
    shop.at("2026-01-21")
    with shop.session() as session:
        did = release_did(session, shop.books, NUMBER, When(), shop.now_us)
        assert (did.state, did.account_id, did.subscription_id) == ("quarantined", None, None)
    assert shop.charges("bob")[2:] == [("2026-01-21", "number: Number, given back", "-2.10")]
    assert id is not None
    assert shop.state(id) == "ended"
    outcome = called(shop.accounts)
    assert isinstance(outcome, Denied)
    with pytest.raises(InputRefused, match="quarantine"):
        assign(shop, "carol", version)


def test_who_cannot_pay_for_a_did_is_not_called_there_until_he_can(shop: Shop) -> None:
    version = shop.plan("number", PLAN)
    id = assign(shop, "bob", version)
    assert id is not None
    assert shop.state(id) == "unpaid"
    outcome = called(shop.accounts)
    assert isinstance(outcome, Denied)
    assert outcome.detail == "the endpoint is unpaid"
    shop.top_up("bob", "20")
    shop.charge("bob")
    assert shop.state(id) == "active"
    assert isinstance(called(shop.accounts), Granted)


def test_ending_its_subscription_gives_a_did_back(shop: Shop) -> None:
    version = shop.plan("number", PLAN)
    id = assign(shop, "carol", version)
    shop.at("2026-01-21")
    shop.does(cancel, id, When(at=ChangeAt.CYCLE_END))
    assert shop.accounts.select("SELECT state FROM dids") == [("assigned",)]
    shop.charge("carol", "2026-02-01")
    assert shop.accounts.select("SELECT state, account_id FROM dids") == [("quarantined", None)]
    assert shop.accounts.select("SELECT COUNT(*) FROM endpoints WHERE kind = 'did'") == [(0,)]
    assert shop.accounts.select("SELECT COUNT(*) FROM did_history WHERE to_us IS NOT NULL") == [(1,)]


def test_a_did_without_a_plan_costs_nothing(shop: Shop) -> None:
    assert assign(shop, "bob", None) is None
    with shop.session() as session:
        assert release_did(session, shop.books, NUMBER, When(), shop.now_us).state == "quarantined"
    assert shop.charges("bob") == []


def test_a_plan_for_services_is_none_for_dids(shop: Shop) -> None:
    service = shop.plan("line", 'unit = "EUR"\n[[charge]]\nname = "Line"\nprice = "1"\n')
    with pytest.raises(InputRefused, match="no plan for DIDs"):
        assign(shop, "bob", service)
    shop.plan("number", PLAN)
    with pytest.raises(InputRefused, match="dids assign"):
        shop.subscribe("bob", "number")
