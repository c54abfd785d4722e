"""Sends what waits in the outbox: takes some, ends the transaction, talks to the server, notes the answer.

No transaction is open while a mail server is waited for. Messages of one issuer go over one connection.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import structlog
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.clock import Clock
from pbxbill.errors import InputRefused
from pbxbill.notify.outbox import claim, mark_failed, mark_sent, still_ours
from pbxbill.notify.smtp import (
    Attachment,
    Bounced,
    Delivered,
    Delivery,
    Mail,
    MailSettings,
    SmtpLink,
    settings_from_json,
)
from pbxbill.store.billing_models import IssuerRow, PartyRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceFileRow, MessageRow
from pbxbill.store.models import AccountRow

TOGETHER = 20
MEDIA_TYPES = {"pdf": "application/pdf", "xml": "application/xml", "csv": "text/csv"}

_log = structlog.get_logger()


@dataclass(slots=True)
class Sent:
    """What a round of sending came to."""

    sent: int = 0
    waiting: int = 0
    """Not taken now; tried again later."""
    failed: int = 0
    """Given up, or refused for good."""


def send_waiting(
    database: Engine,
    clock: Clock,
    default: MailSettings,
    *,
    most: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Sent], None] = lambda sent: None,
) -> Sent:
    """Send what is due, at most `most` messages; default: the server of issuers without one of their own."""
    total = Sent()
    attempted = 0
    while attempted < most and not stop():
        with transaction(database) as session:
            rows = claim(session, clock.now_us(), min(TOGETHER, most - attempted))
            work = [
                _Work(row.id, row.issuer_id, row.invoice_id, row.claimed_us or 0, _mail(row)) for row in rows
            ]
        if not work:
            break
        attempted += len(work)
        for issuer_id, group in groupby(work, key=lambda item: item.issuer_id):
            with SmtpLink(_settings(database, issuer_id, default)) as link:
                for item in group:
                    with transaction(database) as session:
                        if not still_ours(session, item.id, item.claimed_us, clock.now_us()):
                            continue
                    mail = _with_files(database, item)
                    _settle(database, clock, item, link.deliver(mail, clock.now_us()), total)
                    progress(total)
    return total


@dataclass(frozen=True, slots=True)
class _Work:
    id: int
    issuer_id: int
    invoice_id: int | None
    claimed_us: int
    mail: Mail


def _settings(database: Engine, issuer_id: int, default: MailSettings) -> MailSettings:
    try:
        with transaction(reading(database)) as session:
            return mail_settings(session, issuer_id, default)
    except (InputRefused, ValueError) as error:
        # What one issuer keeps wrong holds up his messages and nobody else's.
        _log.error("mail_settings_unusable", issuer=issuer_id, error=str(error))
        return MailSettings()


def mail_settings(session: Session, issuer_id: int, default: MailSettings) -> MailSettings:
    """How an issuer sends: his own server and address, else those of whoever is above him, in his name.

    default: the configuration's, for the operator. Without an address of his own his customers see the
    address of whose server it is, his name, and answer to the address of his party.
    """
    own = _kept(session, issuer_id)
    server = own
    above: int | None = issuer_id
    while not server.host and above is not None:
        account = session.get(AccountRow, above)
        above = None if account is None else account.parent_id
        server = default if above is None else _kept(session, above)
    party = session.get(PartyRow, issuer_id)
    name = own.sender_name or _name(session, issuer_id, party)
    reply_to = own.reply_to or own.sender or (party.email if party is not None else "")
    sender = own.sender or server.sender
    return replace(
        server,
        sender=sender,
        sender_name=name or server.sender_name,
        reply_to=reply_to if reply_to != sender else "",
    )


def _kept(session: Session, issuer_id: int) -> MailSettings:
    row = session.get(IssuerRow, issuer_id)
    return MailSettings() if row is None else settings_from_json(row.mail)


def _name(session: Session, issuer_id: int, party: PartyRow | None) -> str:
    if party is not None:
        return party.legal_name
    account = session.get(AccountRow, issuer_id)
    return "" if account is None else account.name


def _mail(row: MessageRow) -> Mail:
    return Mail(row.message_id, row.recipient, row.subject, row.text, row.html)


def _with_files(database: Engine, item: _Work) -> Mail:
    if item.invoice_id is None:
        return item.mail
    with transaction(reading(database)) as session:
        files = list(_files(session, item.invoice_id))
    return replace(item.mail, attachments=files)


def _files(session: Session, invoice_id: int) -> Iterator[Attachment]:
    query = (
        select(InvoiceFileRow)
        .where(InvoiceFileRow.invoice_id == invoice_id)
        .order_by(InvoiceFileRow.kind.desc())
    )
    for row in session.scalars(query):
        yield Attachment(row.name, MEDIA_TYPES.get(row.kind, "application/octet-stream"), row.content)


def _settle(database: Engine, clock: Clock, item: _Work, delivery: Delivery, total: Sent) -> None:
    if isinstance(delivery, Delivered):
        with transaction(database) as session:
            mark_sent(session, item.id, clock.now_us())
            _tell_invoice(session, item, "sent", f"to {item.mail.recipient}", clock.now_us())
        total.sent += 1
        return
    permanent = isinstance(delivery, Bounced)
    with transaction(database) as session:
        state = mark_failed(session, item.id, delivery.why, clock.now_us(), permanent=permanent)
        if state != "waiting":
            detail = f"{item.mail.recipient}: {delivery.why}"
            _tell_invoice(session, item, "not-sent", detail, clock.now_us())
    recipient = item.mail.recipient
    _log.warning("mail_not_sent", message=item.id, recipient=recipient, state=state, why=delivery.why)
    if state == "waiting":
        total.waiting += 1
    else:
        total.failed += 1


def _tell_invoice(session: Session, item: _Work, kind: str, detail: str, now_us: int) -> None:
    """What became of a message is an event of the invoice that it brought."""
    if item.invoice_id is not None:
        event = InvoiceEventRow(
            invoice_id=item.invoice_id, at_us=now_us, kind=kind, detail=detail[:500], by=""
        )
        session.add(event)
