"""Notices: who is told what, in which words, when, and once."""

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import select

from pbxbill.billing.notice_kinds import NoticeKind
from pbxbill.billing.noticing import Facts, Money, tell
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.store.invoice_models import MessageRow
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import Invoicing


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    made = Invoicing(accounts)
    yield made
    made.database.dispose()


def addressed(invoicing: Invoicing, *emails: str, language: str = "en") -> None:
    with invoicing.transaction() as session:
        set_profile(session, invoicing.accounts.ids["alice"], ProfileTerms(emails=emails, language=language))


def told(invoicing: Invoicing, kind: NoticeKind, facts: Facts, key: str = "1") -> int:
    with invoicing.transaction() as session:
        account_id = invoicing.accounts.ids["alice"]
        return tell(session, account_id, kind, key=key, facts=facts, now_us=invoicing.clock.now_us())


def messages(invoicing: Invoicing) -> list[MessageRow]:
    with invoicing.transaction() as session:
        return list(session.scalars(select(MessageRow).order_by(MessageRow.id)))


def test_a_notice_is_told_once_to_each_address(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com", "books@example.com", language="de")
    facts = {"amount": Money(eur("12.5"), "EUR"), "balance": Money(eur("20"), "EUR")}
    assert told(invoicing, NoticeKind.TOP_UP, facts) == 2
    assert told(invoicing, NoticeKind.TOP_UP, facts) == 0
    assert told(invoicing, NoticeKind.TOP_UP, facts, key="2") == 2
    first = messages(invoicing)[0]
    assert (first.recipient, first.kind, first.key) == (
        "alice@example.com",
        "top_up",
        "top_up:1:alice@example.com",
    )
    assert "12,50\xa0€" in first.text


def test_nobody_to_tell_is_no_fault(invoicing: Invoicing) -> None:
    assert told(invoicing, NoticeKind.CARD_EXPIRING, {"method": "Visa 4242", "day": date(2026, 3, 31)}) == 0
