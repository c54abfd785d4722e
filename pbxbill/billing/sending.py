"""Sends issued documents: their files are made, and a message with them goes into the outbox.

Sending again puts nothing more into the outbox unless it is asked for by name. What it says comes from the
issuer's template, like the words on the document itself.
"""

from dataclasses import dataclass
from string import Template as Words

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pbxbill.billing.document import Document
from pbxbill.billing.documents import document_of
from pbxbill.billing.invoice_files import UNISSUED, invoice_files
from pbxbill.billing.profiles import profile_of
from pbxbill.billing.render.formatting import Formatting
from pbxbill.billing.render.texts import texts_of
from pbxbill.billing.standing import happened
from pbxbill.billing.templates import template_in_use
from pbxbill.errors import InputRefused
from pbxbill.notify.outbox import NewMessage, enqueue
from pbxbill.notify.smtp import check_address
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import InvoiceRow


@dataclass(frozen=True, slots=True)
class Queued:
    """Messages wait in the outbox."""

    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotQueued:
    """Nothing was put there."""

    reason: str


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
        if not (to or profile_of(session, row.account_id).emails):
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
    subject, text = message_of(document, texts_of(document.language, overrides))
    queued = []
    for address in to or profile.emails:
        key = f"invoice:{invoice_id}:{address}"
        if to:
            key = f"{key}:{now_us}"
        message = NewMessage(
            key, row.issuer_id, row.account_id, row.kind, address, subject, text, invoice_id=invoice_id
        )
        if enqueue(session, message, now_us):
            queued.append(address)
    if not queued:
        return NotQueued("it is in the outbox already; `pbxbill invoices send --to` sends it again")
    happened(session, invoice_id, "queued", f"for {', '.join(queued)}"[:500], at_us=now_us, by=by)
    return Queued(tuple(queued))


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
