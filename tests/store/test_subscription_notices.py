"""What subscriptions tell: renewed, not paid for, decided upon."""

import pytest
from sqlalchemy import select

from pbxbill.billing.subscriptions.requests import Decision, Request, decide_request, request_change
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import PartyRow
from pbxbill.store.invoice_models import MessageRow
from tests.store.subscribed_accounts import Shop

LINE = 'unit = "EUR"\n[[charge]]\nname = "Line"\nprice = "31"\n'


def addressed(shop: Shop, code: str) -> None:
    with shop.session() as session:
        account = account_by_code(session, code)
        session.add(PartyRow(account_id=account.id, legal_name=code, email=f"{code}@example.org"))


def told(shop: Shop) -> list[tuple[str, str]]:
    with shop.session() as session:
        rows = session.scalars(select(MessageRow).order_by(MessageRow.id))
        return [(row.kind, row.subject) for row in rows]


@pytest.mark.parametrize("accepted, word", [(True, "approved"), (False, "rejected")])
def test_a_decision_about_a_request(shop: Shop, accepted: bool, word: str) -> None:
    shop.plan("line", LINE)
    addressed(shop, "carol")
    id = shop.subscribe("carol", "line")
    with shop.session() as session:
        request = request_change(session, id, Request(quantity=2), shop.now_us)
        decide_request(session, shop.books, request.id, Decision(accepted, "ann", "as agreed"), shop.now_us)
    assert told(shop) == [("request_decided", f"Your request for line: {word}")]


def test_a_renewal_that_was_reminded_of_and_paid(shop: Shop) -> None:
    shop.plan("line", "remind_days_before = 3\n" + LINE)
    addressed(shop, "carol")
    shop.subscribe("carol", "line")
    for day in ("2026-02-26", "2026-03-01", "2026-03-02"):
        shop.charge("carol", day)
    assert told(shop) == [
        ("renewal_ahead", "Your subscription to line is renewed on 1 Mar 2026"),
        ("renewal_done", "line has been renewed"),
    ]


def test_a_renewal_that_the_wallet_cannot_pay_is_told_once(shop: Shop) -> None:
    shop.plan("line", LINE)
    addressed(shop, "bob")
    shop.top_up("bob", "40")
    shop.subscribe("bob", "line")
    for day in ("2026-02-01", "2026-02-02", "2026-02-03"):
        shop.charge("bob", day)
    assert told(shop) == [("renewal_failed", "line could not be renewed")]
