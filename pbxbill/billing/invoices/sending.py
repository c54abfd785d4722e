"""Sends issued documents: their files are made, and a message with them goes into the outbox.

Sending again puts nothing more into the outbox unless it is asked for by name. What it says comes from the
issuer's template of notices, else from that of documents, like the words on the document itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from string import Template as Words

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.document import Document
from pbxbill.billing.invoices.documents import document_of
from pbxbill.billing.invoices.invoice_files import UNISSUED, invoice_files
from pbxbill.billing.invoices.runs import invoices_of
from pbxbill.billing.invoices.standing import UNSETTLED, happened
from pbxbill.billing.invoices.templates import template_in_use
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.notice_profiles import addressee_of
from pbxbill.billing.notices.noticing import Fact, Money, tell_by_mail, tell_endpoints
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.period import local_date
from pbxbill.billing.profiles import profile_of
from pbxbill.billing.render.formatting import Formatting
from pbxbill.billing.render.texts import texts_of
from pbxbill.clock import Clock
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.notify.smtp import check_address
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceRow

SENT_OF_A_RUN = (*UNSETTLED, "paid")
"""States of invoices that are sent together."""


@dataclass(frozen=True, slots=True)
class Queued:
    """Messages wait in the outbox."""

    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotQueued:
    """Nothing was put there."""

    reason: str


def send_run(
    engine: Engine,
    clock: Clock,
    run_id: int,
    failed: Callable[[int, PbxbillError], None],
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Send what a run issued; how many there were. Who has no address gets his invoices another way.

    failed: hears of each that could not be sent; it stops no other.
    """
    with transaction(reading(engine)) as session:
        ids = invoices_of(session, run_id, SENT_OF_A_RUN)
    sent = 0
    for invoice_id in ids:
        if stop():
            break
        try:
            sent += isinstance(send_invoice(engine, invoice_id, clock.now_us()), Queued)
        except PbxbillError as error:
            failed(invoice_id, error)
    return sent


def send_invoice(
    engine: Engine, invoice_id: int, now_us: int, *, to: tuple[str, ...] = (), by: str = ""
) -> Queued | NotQueued:
    """Send a document to its account's addresses, once; to: to these instead, again if need be."""
    for address in to:
        check_address(address)
    with transaction(engine) as session:
        row = session.get(InvoiceRow, invoice_id)
        if row is None:
            raise InputRefused(f"there is no invoice {invoice_id}")
        if row.state in UNISSUED:
            raise InputRefused(f"invoice {invoice_id} is {row.state}; only what is issued is sent")
        who = addressee_of(session, row.account_id, NoticeKind.INVOICE)
        if not (to or who.emails):
            # Programs are told all the same.
            tell_endpoints(
                session, who, NoticeKind.INVOICE, key=str(row.id), facts=_facts(session, row), now_us=now_us
            )
            return NotQueued("the account has no e-mail address; `pbxbill billing set` gives it one")
    invoice_files(engine, invoice_id, now_us)
    with transaction(engine) as session:
        return _queue(session, invoice_id, to, now_us, by)


def _queue(
    session: Session, invoice_id: int, to: tuple[str, ...], now_us: int, by: str
) -> Queued | NotQueued:
    row = session.get_one(InvoiceRow, invoice_id)
    profile = profile_of(session, row.account_id)
    document = document_of(session, invoice_id, with_calls=False)
    overrides = template_in_use(session, row.issuer_id, profile.template_id).template.texts
    words = message_of(document, texts_of(document.language, overrides))
    who = addressee_of(session, row.account_id, NoticeKind.INVOICE)
    facts = _facts(session, row)
    if not to:
        tell_endpoints(session, who, NoticeKind.INVOICE, key=str(row.id), facts=facts, now_us=now_us)
    queued = tuple(
        address
        for address in to or who.emails
        if tell_by_mail(
            session,
            replace(who, emails=(address,)),
            NoticeKind.INVOICE,
            key=f"{row.id}:{now_us}" if to else str(row.id),
            facts=facts,
            now_us=now_us,
            invoice_id=invoice_id,
            words=words,
        )
    )
    if not queued:
        return NotQueued("it is in the outbox already; `pbxbill invoices send --to` sends it again")
    happened(session, invoice_id, "queued", f"for {', '.join(queued)}"[:500], at_us=now_us, by=by)
    return Queued(queued)


def _facts(session: Session, row: InvoiceRow) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        "number": row.number or "",
        "document": row.kind,
        "total": Money(row.total, row.unit),
        "due": Money(row.due, row.unit),
    }
    if row.due_us is not None and row.due > 0:
        zone = issuer_of(session, row.issuer_id).zone
        facts["due_on"] = local_date(row.due_us, zone)
    return facts


def message_of(document: Document, texts: dict[str, str]) -> tuple[str, str]:
    """Subject and text of the message that a document goes with."""
    form = Formatting(document.language, document.unit)
    values = {
        "kind": texts[f"kind_{document.kind}"],
        "number": document.number,
        "seller": document.seller.name,
        "buyer": document.buyer.name,
        "date": form.day(document.issued_on),
        "total": form.money(document.total),
        "due": form.money(document.due),
        "due_on": "" if document.due_on is None else form.day(document.due_on),
    }
    asks = document.due > 0 and document.due_on is not None and document.kind in {"invoice", "debit_note"}
    terms = "mail_due" if asks else "mail_nothing_due" if document.kind == "invoice" else ""
    # A template's own words may hold any sign: what is no name of ours stays as it is written.
    values["terms"] = Words(texts[terms]).safe_substitute(values) if terms else ""
    return (
        Words(texts["mail_subject"]).safe_substitute(values),
        Words(texts["mail_text"]).safe_substitute(values),
    )
