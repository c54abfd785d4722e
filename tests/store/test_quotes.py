"""Quotes: offered, accepted as drafts, invoices or subscriptions, refused, expired."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from pbxbill.billing.invoices.quotes import (
    Accepted,
    NewQuote,
    Offered,
    QuoteLine,
    accept,
    expire,
    offer,
    plan_quote,
    refuse,
)
from pbxbill.billing.subscriptions.plan_catalogue import add_plan
from pbxbill.billing.subscriptions.plan_terms import ChargeType, PlanCharge, PlanKind, PlanTerms
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import SubscriptionRow, TaxRateRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import DAY_US, FEBRUARY_US, Invoicing

LINES = (QuoteLine("Router", eur("10.00"), 2_500_000), QuoteLine("Cable", eur("0.333")))


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """19 % on services of the operator."""
    made = Invoicing(accounts)
    with made.transaction() as session:
        session.add(
            TaxRateRow(
                issuer_id=1,
                name="VAT",
                ppm=190_000,
                category="S",
                product_class="service",
                from_us=0,
                compound=False,
                inclusive=False,
            )
        )
    yield made
    assert_books_in_order(accounts.url)
    made.database.dispose()


def offered(billing: Invoicing, lines: tuple[QuoteLine, ...] = LINES, until_us: int = FEBRUARY_US) -> Offered:
    with billing.transaction() as session:
        carol = session.get_one(AccountRow, billing.accounts.ids["carol"])
        return offer(session, carol, NewQuote("EUR", lines, until_us, "As spoken of"), billing.clock.now_us())


def accepted(billing: Invoicing, quote_id: int, *, issue_now: bool = False) -> Accepted:
    with billing.transaction() as session:
        return accept(session, billing.books, quote_id, billing.clock.now_us(), "carol", issue_now=issue_now)


def test_an_offer_is_numbered_and_accepted_as_a_draft_with_its_lines(billing: Invoicing) -> None:
    # 2.5 x 10.00 = 25.00, 0.333 -> 0.33: 25.33; 19 % of 25.333 = 4.81327 -> 4.81
    quote = offered(billing)
    assert (quote.number, quote.total) == ("Q-2026-00001", eur("30.14"))
    taken = accepted(billing, quote.quote_id)
    assert taken.invoice_id is not None
    row = billing.row(taken.invoice_id)
    assert (row["state"], row["total"], row["net"]) == ("draft", eur("30.14"), eur("25.33"))
    assert billing.lines(taken.invoice_id) == [("Router", eur("25")), ("Cable", eur("0.33"))]
    assert billing.row(quote.quote_id)["state"] == "accepted"
    billing.issue(taken.invoice_id)
    assert billing.row(taken.invoice_id)["open"] == eur("30.14")
    again = accepted(billing, quote.quote_id)
    assert (again.invoice_id, again.number, again.repeated) == (taken.invoice_id, "INV-2026-00001", True)


def test_an_offer_is_accepted_as_an_invoice(billing: Invoicing) -> None:
    taken = accepted(billing, offered(billing).quote_id, issue_now=True)
    assert taken.number == "INV-2026-00001"
    assert taken.invoice_id is not None
    assert billing.row(taken.invoice_id)["state"] == "issued"


def test_the_tax_of_an_offer_is_what_it_was(billing: Invoicing) -> None:
    quote = offered(billing)
    with billing.transaction() as session:
        session.scalars(select(TaxRateRow)).one().ppm = 250_000
    taken = accepted(billing, quote.quote_id)
    assert taken.invoice_id is not None
    assert billing.row(taken.invoice_id)["total"] == quote.total


def test_a_refused_offer_stays_refused(billing: Invoicing) -> None:
    quote = offered(billing)
    with billing.transaction() as session:
        refuse(session, quote.quote_id, "too dear", billing.clock.now_us())
    with pytest.raises(InputRefused, match=f"quote {quote.number} is refused already"):
        accepted(billing, quote.quote_id)
    events = billing.accounts.select("SELECT kind, detail FROM invoice_events ORDER BY id DESC")
    assert events[0] == ("refused", "too dear")


def test_an_offer_expires_at_its_last_moment(billing: Invoicing) -> None:
    quote, other = offered(billing), offered(billing, until_us=FEBRUARY_US + DAY_US)
    billing.clock.step(FEBRUARY_US - billing.clock.now_us())
    with pytest.raises(InputRefused, match="is expired; make a new one"):
        accepted(billing, quote.quote_id)
    with billing.transaction() as session:
        assert expire(session, billing.clock.now_us()) == 1
        assert expire(session, billing.clock.now_us()) == 0
    assert billing.row(quote.quote_id)["state"] == "expired"
    assert accepted(billing, other.quote_id).invoice_id is not None


def test_a_plan_is_offered_and_subscribed_to_by_its_version(billing: Invoicing) -> None:
    charges = (
        PlanCharge("line", eur("5.00")),
        PlanCharge("installation", eur("20.00"), type=ChargeType.SET_UP, counted=False),
    )
    with billing.transaction() as session:
        operator = session.get_one(AccountRow, 1)
        version = add_plan(session, operator, "office", PlanTerms("EUR", charges), billing.clock.now_us())
        carol = session.get_one(AccountRow, billing.accounts.ids["carol"])
        quote = offer(session, carol, plan_quote(version, 3, FEBRUARY_US), billing.clock.now_us())
        dearer = PlanTerms("EUR", (PlanCharge("line", eur("9.00")),))
        add_plan(session, operator, "office", dearer, billing.clock.now_us())
    # 3 x 5.00 + 20.00 = 35.00, and 19 % = 6.65
    assert quote.total == eur("41.65")
    taken = accepted(billing, quote.quote_id)
    assert taken.invoice_id is None
    with billing.transaction() as session:
        subscription = session.get_one(SubscriptionRow, taken.subscription_id)
        assert (subscription.plan_version_id, subscription.quantity) == (version.id, 3)


def test_what_cannot_be_offered(billing: Invoicing) -> None:
    now_us = billing.clock.now_us()
    with billing.transaction() as session:
        carol = session.get_one(AccountRow, billing.accounts.ids["carol"])
        line = (QuoteLine("Router", eur("1")),)
        for new, sentence in (
            (NewQuote("EUR", line, now_us), "until a moment to come"),
            (NewQuote("EUR", line, now_us + 2000 * DAY_US), "within three years"),
            (NewQuote("EUR", (), FEBRUARY_US), "1 to 200 lines"),
            (NewQuote("EUR", (QuoteLine(" ", eur("1")),), FEBRUARY_US), "described in"),
            (NewQuote("EUR", (QuoteLine("Router", eur("1"), 0),), FEBRUARY_US), "above zero"),
            (NewQuote("EUR", (QuoteLine("Discount", -eur("1")),), FEBRUARY_US), "never below zero"),
        ):
            with pytest.raises(InputRefused, match=sentence), session.begin_nested():
                offer(session, carol, new, now_us)
        terms = PlanTerms("EUR", (PlanCharge("number", eur("1")),), kind=PlanKind.DID)
        version = add_plan(session, session.get_one(AccountRow, 1), "number", terms, now_us)
        with pytest.raises(InputRefused, match="is for DIDs"):
            plan_quote(version, 1, FEBRUARY_US)
    with pytest.raises(InputRefused, match="is no quote"):
        accepted(billing, billing_invoice(billing))


def billing_invoice(billing: Invoicing) -> int:
    billing.call("carol", 60, 3)
    issued = billing.invoice("carol")
    with billing.transaction() as session:
        assert session.get_one(InvoiceRow, issued.invoice_id).kind == "invoice"
    return issued.invoice_id
