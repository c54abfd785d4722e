"""Issued documents on their way to their accounts: files, words and addresses."""

from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest
from sqlalchemy import select

from pbxbill.billing.invoices.drafting import Drafted
from pbxbill.billing.invoices.sending import NotQueued, Queued, send_invoice
from pbxbill.billing.invoices.templates import BUILT_IN_STORED, save_template
from pbxbill.billing.parties import set_party, template_id_of
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.errors import InputRefused
from pbxbill.notify.sending import send_waiting
from pbxbill.store.invoice_models import InvoiceEventRow, MessageRow
from pbxbill.store.models import AccountRow
from tests.notify.mail_servers import inbox
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import JANUARY, Invoicing


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    made = Invoicing(accounts)
    yield made
    made.database.dispose()


@pytest.fixture
def invoice_id(invoicing: Invoicing) -> int:
    """alice's invoice for a call."""
    invoicing.call("alice", 60, day=3)
    invoicing.clock.advance(40 * 86_400_000_000)
    return invoicing.invoice("alice", JANUARY).invoice_id


def addressed(invoicing: Invoicing, *emails: str, language: str = "en") -> None:
    with invoicing.transaction() as session:
        set_profile(session, invoicing.accounts.ids["alice"], ProfileTerms(emails=emails, language=language))


def sent(invoicing: Invoicing, invoice_id: int, *to: str) -> Queued | NotQueued:
    return send_invoice(invoicing.database, invoice_id, invoicing.clock.now_us(), to=to)


def test_an_invoice_arrives_with_its_pdf_in_the_words_of_its_language(invoicing: Invoicing) -> None:
    addressed(invoicing, "alice@example.com", "books@example.com", language="de")
    invoicing.call("alice", 60, day=3)
    invoicing.clock.advance(40 * 86_400_000_000)
    invoice_id = invoicing.invoice("alice", JANUARY).invoice_id
    assert sent(invoicing, invoice_id) == Queued(("alice@example.com", "books@example.com"))
    with inbox() as (kept, settings):
        assert send_waiting(invoicing.database, invoicing.clock, settings).sent == 2
    message = message_from_bytes(kept.contents[0], policy=default)
    assert message["Subject"].startswith("Rechnung INV-2026-00001 von ")
    parts = {part.get_content_type(): part for part in message.walk()}
    assert "INV-2026-00001 vom 10.02.2026" in parts["text/plain"].get_content()
    assert parts["application/pdf"].get_filename() == "INV-2026-00001.pdf"
    assert parts["application/pdf"].get_content().startswith(b"%PDF-")
    with invoicing.transaction() as session:
        events = session.scalars(select(InvoiceEventRow).order_by(InvoiceEventRow.id)).all()
        assert [(event.kind, event.detail) for event in events][-3:] == [
            ("queued", "for alice@example.com, books@example.com"),
            ("sent", "to alice@example.com"),
            ("sent", "to books@example.com"),
        ]


def test_it_is_sent_once_unless_somebody_asks_for_it_again(invoicing: Invoicing, invoice_id: int) -> None:
    addressed(invoicing, "alice@example.com")
    assert sent(invoicing, invoice_id) == Queued(("alice@example.com",))
    assert isinstance(sent(invoicing, invoice_id), NotQueued)
    assert sent(invoicing, invoice_id, "other@example.com") == Queued(("other@example.com",))
    with invoicing.transaction() as session:
        found = session.scalars(select(MessageRow.recipient).order_by(MessageRow.id)).all()
    assert found == ["alice@example.com", "other@example.com"]


def test_an_account_without_an_address_is_told_of(invoicing: Invoicing, invoice_id: int) -> None:
    refused = sent(invoicing, invoice_id)
    assert isinstance(refused, NotQueued)
    assert "no e-mail address" in refused.reason
    with invoicing.transaction() as session:
        party = {"legal_name": "Alice", "email": "alice@home.example"}
        set_party(session, invoicing.accounts.ids["alice"], party)
    assert sent(invoicing, invoice_id) == Queued(("alice@home.example",))


def test_a_draft_is_not_sent(invoicing: Invoicing) -> None:
    invoicing.call("alice", 60, day=3)
    invoicing.clock.advance(40 * 86_400_000_000)
    draft = invoicing.draft("alice", JANUARY)
    assert isinstance(draft, Drafted)
    addressed(invoicing, "alice@example.com")
    with pytest.raises(InputRefused, match="only what is issued is sent"):
        sent(invoicing, draft.invoice_id)


def test_addresses_that_are_none_are_refused_before_anything_is_made(
    invoicing: Invoicing, invoice_id: int
) -> None:
    with pytest.raises(InputRefused, match="no e-mail address"):
        sent(invoicing, invoice_id, "alice")


def test_an_issuers_own_words_are_used_and_cannot_reach_beyond_them(
    invoicing: Invoicing, invoice_id: int
) -> None:
    words = {
        "en": {"mail_subject": "Your bill $number, $secret {document}", "mail_text": "Hi $buyer: $total"}
    }
    addressed(invoicing, "alice@example.com")
    with invoicing.transaction() as session:
        account = session.get_one(AccountRow, invoicing.accounts.ids["alice"])
        assert account.parent_id is not None
        issuer = session.get_one(AccountRow, account.parent_id)
        stored = BUILT_IN_STORED._replace(template=replace(BUILT_IN_STORED.template, texts=words))
        save_template(session, issuer, "own", stored, invoicing.clock.now_us())
        template_id = template_id_of(session, issuer.id, "own")
        terms = ProfileTerms(emails=("alice@example.com",), template_id=template_id)
        set_profile(session, account.id, terms)
    sent(invoicing, invoice_id)
    with invoicing.transaction() as session:
        (row,) = session.scalars(select(MessageRow)).all()
    assert row.subject == "Your bill INV-2026-00001, $secret {document}"
    assert row.text.startswith("Hi ")
    assert "$total" not in row.text
