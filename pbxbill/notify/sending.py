"""Sends what waits in the outbox: takes some, ends the transaction, talks to the server, notes the answer.

No transaction is open while a mail server is waited for. Issuers take turns, each over one connection, none
faster than his server takes messages. One whose server is away waits until it is back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.notify.outbox import (
    SURE_S,
    claim,
    due_issuers,
    give_back,
    mark_failed,
    mark_sent,
    sent_since,
    server_down,
    server_up,
    still_ours,
)
from pbxbill.notify.smtp import (
    MESSAGE_TIMEOUT_S,
    STEP_TIMEOUT_S,
    Attachment,
    Bounced,
    Delivered,
    Delivery,
    Mail,
    MailSettings,
    SmtpLink,
    Unreachable,
    check_address,
    settings_from_json,
)
from pbxbill.store.alerts import alert_since, raise_alert
from pbxbill.store.billing_models import IssuerRow, PartyRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceFileRow, MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.report_models import ReportRunRow

TOGETHER = 20
TURN_CLAIMS = 10
"""Times that many messages of one issuer go over one connection; then it is the next one's turn."""
TURN_US = 30 * SECOND_US
OUTAGE_TOLD_US = 900 * SECOND_US
"""A mail server that is away for so long is an alert."""
TEST_TEXT = "This mail server works."
_OFFICE = "application/vnd.openxmlformats-officedocument"
MEDIA_TYPES = {
    "pdf": "application/pdf",
    "xml": "application/xml",
    "csv": "text/csv",
    "html": "text/html",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    "docx": f"{_OFFICE}.wordprocessingml.document",
}

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
    round_ = _Round(database, clock, default, most, stop, lambda: progress(total), total)
    exhausted: set[int] = set()
    while not round_.over():
        with transaction(database) as session:
            issuers = [id for id in due_issuers(session, clock.now_us()) if id not in exhausted]
        if not issuers:
            break
        for issuer_id in issuers:
            if round_.over():
                break
            if not round_.turn(issuer_id):
                exhausted.add(issuer_id)
    return total


@dataclass(slots=True)
class _Round:
    """Issuers take turns, so that the many messages of one do not hold up the others."""

    database: Engine
    clock: Clock
    default: MailSettings
    left: int
    stop: Callable[[], bool]
    progress: Callable[[], None]
    total: Sent

    def over(self) -> bool:
        """Whether enough was sent, or somebody asks to stop."""
        return self.left <= 0 or self.stop()

    def turn(self, issuer_id: int) -> bool:
        """Send some of an issuer's messages over one connection; whether he may have another turn."""
        settings = _settings(self.database, issuer_id, self.default)
        until_us = self.clock.now_us() + TURN_US
        with SmtpLink(settings) as link:
            for _ in range(TURN_CLAIMS):
                if self.over():
                    return True
                work = self._taken(issuer_id, settings.per_minute)
                if not work or not self._sent(work, link):
                    return False
                if self.clock.now_us() > until_us:
                    break
        return True

    def _taken(self, issuer_id: int, per_minute: int) -> "list[_Work]":
        now_us = self.clock.now_us()
        with transaction(self.database) as session:
            most = min(TOGETHER, self.left)
            if per_minute:
                most = min(most, per_minute - sent_since(session, issuer_id, now_us - 60 * SECOND_US))
            rows = claim(session, now_us, most, issuer_id=issuer_id) if most > 0 else []
            return [_work(x) for x in rows]

    def _sent(self, work: "Sequence[_Work]", link: SmtpLink) -> bool:
        """Send what was taken; False if the server cannot be reached: the rest waits, in its order."""
        for number, item in enumerate(work):
            if not self._ours(item):
                continue
            self.left -= 1
            delivery = link.deliver(_with_files(self.database, item), self.clock.now_us())
            if isinstance(delivery, Unreachable):
                with transaction(self.database) as session:
                    now_us = self.clock.now_us()
                    _give_back(session, item, work[number + 1 :])
                    outage = server_down(session, item.issuer_id, delivery.why, now_us)
                    told = alert_since(
                        session, "mail_down", _subject(session, item.issuer_id), outage.since_us
                    )
                    if now_us - outage.since_us >= OUTAGE_TOLD_US and not told:
                        _alert(session, "mail_down", item.issuer_id, delivery.why, now_us)
                self.total.waiting += len(work) - number
                self.progress()
                return False
            _settle(self.database, self.clock, item, delivery, self.total, answered=number == 0)
            self.progress()
        return True

    def _ours(self, item: "_Work") -> bool:
        now_us = self.clock.now_us()
        if now_us - item.claimed_us < SURE_S * SECOND_US:
            return True
        with transaction(self.database) as session:
            return still_ours(session, item.id, item.claimed_us, now_us)


def _give_back(session: Session, tried: "_Work", others: "Sequence[_Work]") -> None:
    # The claim of the one that was tried counts from the moment before it was tried.
    session.execute(
        update(MessageRow)
        .where(MessageRow.id == tried.id, MessageRow.state == "sending")
        .values(state="waiting", claimed_us=None)
    )
    if others:
        give_back(session, [item.id for item in others], others[0].claimed_us)


@dataclass(frozen=True, slots=True)
class _Work:
    id: int
    issuer_id: int
    invoice_id: int | None
    report_run_id: int | None
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


def has_own_server(session: Session, issuer_id: int) -> bool:
    """Whether an issuer's mail goes by a server of his own, not by that of whoever is above."""
    return bool(_kept(session, issuer_id).host)


def send_test(
    settings: MailSettings,
    address: str,
    now_us: int,
    *,
    subject: str = "Test",
    text: str = TEST_TEXT,
    within_s: float = MESSAGE_TIMEOUT_S,
) -> Delivery:
    """Send a message now, past the outbox, to see what the server answers; InputRefused: no address."""
    message = Mail(new_id(), check_address(address), subject, text)
    with SmtpLink(settings, step_timeout_s=min(within_s, STEP_TIMEOUT_S)) as link:
        return link.deliver(message, now_us, within_s=within_s)


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


def _work(row: MessageRow) -> _Work:
    return _Work(row.id, row.issuer_id, row.invoice_id, row.report_run_id, row.claimed_us or 0, _mail(row))


def _with_files(database: Engine, item: _Work) -> Mail:
    if item.invoice_id is None and item.report_run_id is None:
        return item.mail
    with transaction(reading(database)) as session:
        files = [] if item.invoice_id is None else list(_files(session, item.invoice_id))
        report = None if item.report_run_id is None else session.get(ReportRunRow, item.report_run_id)
        if report is not None and report.content is not None:
            media_type = MEDIA_TYPES.get(report.format, "application/octet-stream")
            files.append(Attachment(report.file_name, media_type, report.content))
    return replace(item.mail, attachments=files)


def _files(session: Session, invoice_id: int) -> Iterator[Attachment]:
    query = (
        select(InvoiceFileRow)
        .where(InvoiceFileRow.invoice_id == invoice_id)
        .order_by(InvoiceFileRow.kind.desc())
    )
    for row in session.scalars(query):
        yield Attachment(row.name, MEDIA_TYPES.get(row.kind, "application/octet-stream"), row.content)


def _settle(
    database: Engine, clock: Clock, item: _Work, delivery: Delivery, total: Sent, *, answered: bool
) -> None:
    """Note what became of a message; answered: it is the first that the server answered for."""
    if isinstance(delivery, Delivered):
        with transaction(database) as session:
            mark_sent(session, item.id, clock.now_us())
            if answered:
                server_up(session, item.issuer_id)
            _tell_invoice(session, item, "sent", f"to {item.mail.recipient}", clock.now_us())
        total.sent += 1
        return
    permanent = isinstance(delivery, Bounced)
    with transaction(database) as session:
        state = mark_failed(session, item.id, delivery.why, clock.now_us(), permanent=permanent)
        if answered:
            server_up(session, item.issuer_id)
        if state == "failed":
            _alert(session, "mail_failed", item.issuer_id, delivery.why, clock.now_us())
        if state != "waiting":
            detail = f"{item.mail.recipient}: {delivery.why}"
            _tell_invoice(session, item, "not-sent", detail, clock.now_us())
    recipient = item.mail.recipient
    _log.warning("mail_not_sent", message=item.id, recipient=recipient, state=state, why=delivery.why)
    if state == "waiting":
        total.waiting += 1
    else:
        total.failed += 1


def _alert(session: Session, kind: str, issuer_id: int, why: str, now_us: int) -> None:
    raise_alert(session, kind, _subject(session, issuer_id), why, at_us=now_us)


def _subject(session: Session, issuer_id: int) -> str:
    return f"mail of {session.get_one(AccountRow, issuer_id).code}"


def _tell_invoice(session: Session, item: _Work, kind: str, detail: str, now_us: int) -> None:
    """What became of a message is an event of the invoice that it brought."""
    if item.invoice_id is not None:
        event = InvoiceEventRow(
            invoice_id=item.invoice_id, at_us=now_us, kind=kind, detail=detail[:500], by=""
        )
        session.add(event)
