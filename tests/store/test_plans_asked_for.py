"""Plans that accounts ask for, and what changes would cost, told before they are made: on each database."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.foretelling import Forecast, foretold
from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion, plan_by_name, retire_plan
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.requests import (
    MAX_OPEN,
    Decision,
    decide_request,
    request_plan,
    waiting_requests,
    withdraw_request,
)
from pbxbill.billing.subscriptions.subscribing import (
    NewSubscription,
    Wanted,
    When,
    cancel,
    change,
    subscribe,
)
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from tests.small_operator import EUR
from tests.store.subscribed_accounts import Shop, moment_us

LINE = 'unit = "EUR"\n[[charge]]\nname = "Line"\nprice = "31"\n'
BETTER = 'unit = "EUR"\n[[charge]]\nname = "Better line"\nprice = "62"\n'


class _Undone(Exception):
    """Undoes what was tried."""


def tried(shop: Shop, work: Callable[[Session], BroughtUp]) -> Forecast:
    """What would come of it; nothing comes of it."""
    found: list[Forecast] = []
    with suppress(_Undone), shop.session() as session:
        found.append(foretold(session, work(session), shop.now_us))
        raise _Undone
    return found[0]


def amounts(found: Forecast) -> tuple[str, str, str]:
    """Given back, charged, the price of a period."""
    given_back, charged, price = (
        format_amount(x, EUR) for x in (found.given_back, found.charged, found.price)
    )
    return given_back, charged, price


def test_a_change_costs_what_was_told_before(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    id = shop.subscribe("carol", "line")
    shop.at("2026-01-11")
    before = shop.charges("carol")

    def changed(session: Session) -> BroughtUp:
        return change(session, shop.books, id, Wanted(better), shop.now_us)

    found = tried(shop, changed)
    assert amounts(found) == ("21.00", "42.00", "62.00")
    assert (found.at_us, found.is_over, found.lacking, found.cycle) == (shop.now_us, False, None, "month")
    assert shop.charges("carol") == before
    assert shop.history(id) == [("subscribe", "done")]
    wallet = shop.accounts.wallet("carol")[0]
    with shop.session() as session:
        changed(session)
    assert [amount for _, _, amount in shop.charges("carol")[1:]] == ["-21.00", "42.00"]
    assert shop.accounts.wallet("carol")[0] == wallet + found.given_back - found.charged


def test_what_comes_later_costs_nothing_now(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    id = shop.subscribe("carol", "line")
    shop.at("2026-01-11")
    wanted = Wanted(better, 2, ChangeAt.CYCLE_END)
    found = tried(shop, lambda x: change(x, shop.books, id, wanted, shop.now_us))
    assert amounts(found) == ("0.00", "0.00", "124.00")
    assert found.at_us == moment_us("2026-02-01")
    end = When(ChangeAt.CYCLE_END)
    found = tried(shop, lambda x: cancel(x, shop.books, id, end, shop.now_us))
    assert (found.is_over, found.at_us, found.given_back) == (True, moment_us("2026-02-01"), 0)
    found = tried(shop, lambda x: cancel(x, shop.books, id, When(), shop.now_us))
    assert (found.is_over, amounts(found)[0]) == (True, "21.00")


def test_what_invoices_ask_for_is_told_apart(shop: Shop) -> None:
    version = shop.plan("line", f'collection = "invoice"\n{LINE}')
    new = NewSubscription(version, 2)
    found = tried(shop, lambda x: subscribe(x, shop.books, account_of(x, "carol"), new, shop.now_us))
    assert (found.charged, format_amount(found.invoice_charged, EUR)) == (0, "62.00")
    with shop.session() as session:
        assert session.scalars(select(SubscriptionRow)).all() == []


def test_a_wallet_that_cannot_pay_is_told_before(shop: Shop) -> None:
    version = shop.plan("line", LINE, issuer="reseller")
    new = NewSubscription(version)
    found = tried(shop, lambda x: subscribe(x, shop.books, account_of(x, "alice"), new, shop.now_us))
    assert found.lacking is not None
    assert (format_amount(found.lacking, EUR), found.charged) == ("31.00", 0)


# --- new plans ---------------------------------------------------------------------------------


def account_of(session: Session, code: str) -> AccountRow:
    return account_by_code(session, code)


def asked(shop: Shop, version: PlanVersion, code: str = "carol", **more: Any) -> int:
    with shop.session() as session:
        wanted = NewSubscription(version, by=code, **more)
        return request_plan(session, account_of(session, code), wanted, shop.now_us).id


def decided(shop: Shop, request: int, decision: Decision) -> BroughtUp | None:
    with shop.session() as session:
        return decide_request(session, shop.books, request, decision, shop.now_us)


def test_a_plan_that_is_asked_for_begins_when_it_is_accepted(shop: Shop) -> None:
    version = shop.plan("line", LINE)
    request = asked(shop, version, quantity=2, reason="for the shop")
    assert shop.charges("carol") == []
    with shop.session() as session:
        assert [(code, id) for _, code, id in waiting_requests(session)] == [("carol", None)]
        assert waiting_requests(session, account_by_code(session, "reseller")) == []
    shop.at("2026-01-11")
    with pytest.raises(InputRefused, match="no period yet"):
        decided(shop, request, Decision(True, "ann", at=ChangeAt.CYCLE_END))
    done = decided(shop, request, Decision(True, "ann"))
    assert done is not None
    assert shop.charges("carol") == [("2026-01-11", "line: Line", "62.00")]
    id = done.subscribed.row.id
    assert shop.history(id) == [("subscribe", "accepted"), ("subscribe", "done")]
    with shop.session() as session:
        assert waiting_requests(session) == []
        told = session.scalars(select(MessageRow.kind).where(MessageRow.kind == "request_decided")).all()
        assert len(told) <= 1
    with pytest.raises(InputRefused, match="waits to be decided: it is accepted"):
        decided(shop, request, Decision(True, "ann"))
    # It lives on as any other does.
    shop.charge("carol", "2026-02-11")
    assert len(shop.charges("carol")) == 2


def test_a_plan_that_is_asked_for_is_refused_or_taken_back(shop: Shop) -> None:
    version = shop.plan("line", LINE)
    request = asked(shop, version)
    with pytest.raises(InputRefused, match="say why"):
        decided(shop, request, Decision(False, "ann"))
    decided(shop, request, Decision(False, "ann", "sold out"))
    request = asked(shop, version)
    with shop.session() as session:
        withdraw_request(session, request, shop.now_us, "carol")
    with shop.session() as session:
        rows = session.scalars(select(SubscriptionChangeRow).order_by(SubscriptionChangeRow.id)).all()
        assert [(x.state, x.reason, x.subscription_id) for x in rows] == [
            ("refused", "refused: sold out", None),
            ("withdrawn", "", None),
        ]
    assert shop.charges("carol") == []


def test_only_what_is_offered_can_be_asked_for_and_not_without_end(shop: Shop) -> None:
    version, others = shop.plan("line", LINE), shop.plan("line", LINE, issuer="reseller")
    number = shop.plan("number", f'kind = "did"\n{LINE}')
    with pytest.raises(InputRefused, match="does not bill"):
        asked(shop, others)
    with pytest.raises(InputRefused, match="for DIDs"):
        asked(shop, number)
    for _ in range(MAX_OPEN):
        asked(shop, version)
    with pytest.raises(InputRefused, match="nobody decided yet"):
        asked(shop, version)
    with shop.session() as session:
        retire_plan(session, plan_by_name(session, account_by_code(session, "operator"), "line"), shop.now_us)
    with shop.session() as session:
        ((waiting, _, _), *_rest) = waiting_requests(session)
    with pytest.raises(InputRefused, match="retired"):
        decided(shop, waiting.id, Decision(True, "ann"))
