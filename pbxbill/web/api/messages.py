"""What was sent: mails and posts one by one, sent again; the words of notices, listed and tried."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.notices.notice_kinds import KINDS
from pbxbill.billing.notices.notice_preview import preview
from pbxbill.billing.notices.notice_templates import NoticeWords, templates_of
from pbxbill.billing.parties import party_of
from pbxbill.listing.notices import delivery_seen
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.notify.outbox import retry, retry_failed
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Moment, Sent, moment, moment_or_none
from pbxbill.web.api.notices import TAG, TemplatePath, Words, known_template
from pbxbill.web.api.objects import field
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.webhooks import TAG as WEBHOOKS
from pbxbill.web.front import needs
from pbxbill.web.own.links import MAIL_KIND

TEMPLATE_BYTES = 2_000_000
"""A template at its longest, with every letter escaped."""


class MessagePath(Sent):
    """A message, by its id."""

    message_id: Id


class DeliveryPath(Sent):
    """A post to a webhook, by its id."""

    delivery_id: Id


class MessageShown(BaseModel):
    """A message."""

    id: int
    kind: str
    account: str | None
    recipient: str
    subject: str
    text: str | None = Field(description="null: it opens somebody's access, and is for him alone.")
    html: str | None
    state: str = Field(description="waiting, sending, sent, failed (given up), bounced, gathered, digested.")
    attempts: int
    error: str
    written: Moment
    sent: Moment | None
    next: Moment | None = Field(description="When it is tried next.")


class DeliveryShown(BaseModel):
    """A post to a webhook."""

    id: int
    webhook_id: int
    url: str
    kind: str
    body: str = Field(description="The JSON that is posted.")
    state: str
    attempts: int
    error: str
    written: Moment
    sent: Moment | None
    next: Moment | None


class Waiting(BaseModel):
    """What waits to be sent again."""

    count: int


class TemplateListed(BaseModel):
    """Words of one's own for a kind of notice in a language."""

    kind: str
    language: str
    version: int = Field(description="The newest.")
    used: int | None = Field(description="The version in use; null: the built-in words.")
    fault: str = Field(description="What is wrong with the newest.")


class NoticeKindShown(BaseModel):
    """Something that is told."""

    kind: str
    required: bool = Field(description="It cannot be switched off.")


class TemplatesListed(BaseModel):
    """Kinds of notices, and words of the key's own account."""

    kinds: list[NoticeKindShown]
    items: list[TemplateListed]


class Filled(BaseModel):
    """A notice with made-up facts, as it would be sent."""

    subject: str
    text: str
    html: str


class Confirmed(Sent):
    """That all of them are meant."""

    state: Annotated[str, StringConstraints(pattern="^failed$")] = Field(description="failed: given up.")


def notice_words(api: Api) -> None:
    """Words: what there is, and how they look."""
    front = api.front

    @api.get("/notice-templates", TemplatesListed, TAG)
    @needs(Permission.NOTICES_READ)
    def list_notice_templates() -> TemplatesListed:
        """Kinds of notices, and for which of them the key's own account has words of its own."""
        with front.reading() as session:
            found = templates_of(session, front.scope.account_id)
        return TemplatesListed(
            kinds=[
                NoticeKindShown(kind=kind.value, required=terms.required)
                for kind, terms in KINDS.items()
                if front.scope.is_everything or not terms.internal
            ],
            items=[
                TemplateListed(
                    kind=row.kind, language=row.language, version=row.number, used=used, fault=row.error
                )
                for row, used in found
            ],
        )

    for address in ("/notice-templates/<kind>/<language>", "/notice-templates/<kind>/<language>/preview"):
        api.take_larger(address, TEMPLATE_BYTES)

    @api.post("/notice-templates/<kind>/<language>/preview", Filled, TAG, 200)
    @needs(Permission.NOTICES_READ)
    def preview_notice(path: TemplatePath, body: Words) -> Filled:
        """A notice in these words with made-up facts. Nothing is kept. 422 says what is wrong with them."""
        kind, language = known_template(front, path)
        with front.reading() as session:
            seller = party_of(session, front.scope.account_id).legal_name
        with field("text"):
            made = preview(kind, language, NoticeWords(body.subject, body.text, body.html), seller=seller)
        return Filled(**made._asdict())


def sent_messages(api: Api) -> None:
    """Mails and posts, one by one."""
    front = api.front

    def own() -> tuple[ColumnElement[bool], ...]:
        return MessageRow.channel == "mail", kept_by_sellers(front.scope, MessageRow.issuer_id)

    def seen(session: Session, id: int) -> MessageRow:
        row = session.scalar(select(MessageRow).where(MessageRow.id == id, *own()))
        if row is None:
            raise Refused(404)
        return row

    @api.get("/messages/<int:message_id>", MessageShown, TAG)
    @needs(Permission.NOTICES_READ)
    def get_message(path: MessagePath) -> MessageShown:
        """One mail, as it was written."""
        with front.reading() as session:
            return _message(session, seen(session, path.message_id))

    @api.post("/messages/<int:message_id>/retry", MessageShown, TAG, 202)
    @needs(Permission.NOTICES_WRITE)
    def retry_message(path: MessagePath) -> Answer:
        """Send a mail again that was given up, or came back. 409: it was not."""
        with front.reading() as session:
            account_id = seen(session, path.message_id).account_id
        with api.writing("message.retry", str(path.message_id), account_id=account_id) as change:
            row = seen(change.session, path.message_id)
            if not retry(change.session, [row.id], change.now_us):
                raise Refused(409, f"It is {row.state}.")
            return change.done(_message(change.session, row), 202)

    @api.post("/messages/retries", Waiting, TAG, 202)
    @needs(Permission.NOTICES_WRITE)
    def retry_messages(body: Confirmed) -> Answer:  # noqa: ARG001  # it was checked by being read
        """Send all mails again that were given up, up to 10,000."""
        with api.writing("message.retry", "failed") as change:
            return change.done(Waiting(count=retry_failed(change.session, own(), change.now_us)), 202)

    _declare_deliveries(api)


def _declare_deliveries(api: Api) -> None:
    front = api.front

    def seen(session: Session, id: int) -> tuple[MessageRow, WebhookEndpointRow]:
        found = delivery_seen(session, front.scope, id)
        if found is None:
            raise Refused(404)
        return found

    @api.get("/webhook-deliveries/<int:delivery_id>", DeliveryShown, WEBHOOKS)
    @needs(Permission.NOTICES_READ)
    def get_webhook_delivery(path: DeliveryPath) -> DeliveryShown:
        """One post to a webhook."""
        with front.reading() as session:
            return _delivery(*seen(session, path.delivery_id))

    @api.post("/webhook-deliveries/<int:delivery_id>/retry", DeliveryShown, WEBHOOKS, 202)
    @needs(Permission.NOTICES_WRITE)
    def retry_webhook_delivery(path: DeliveryPath) -> Answer:
        """Post it again. 409: it was not given up."""
        with front.reading() as session:
            seen(session, path.delivery_id)
        with api.writing("webhook.retry", str(path.delivery_id)) as change:
            row, endpoint = seen(change.session, path.delivery_id)
            if not retry(change.session, [row.id], change.now_us):
                raise Refused(409, f"It is {row.state}.")
            return change.done(_delivery(row, endpoint), 202)


def _message(session: Session, row: MessageRow) -> MessageShown:
    account = None if row.account_id is None else session.get(AccountRow, row.account_id)
    is_secret = row.kind == MAIL_KIND
    return MessageShown(
        id=row.id,
        kind=row.kind,
        account=None if account is None else account.code,
        recipient=row.recipient,
        subject=row.subject,
        text=None if is_secret else row.text,
        html=None if is_secret else row.html,
        state=row.state,
        attempts=row.attempts,
        error=row.error,
        written=moment(row.created_us),
        sent=moment_or_none(row.sent_us),
        next=moment_or_none(row.next_us),
    )


def _delivery(row: MessageRow, endpoint: WebhookEndpointRow) -> DeliveryShown:
    return DeliveryShown(
        id=row.id,
        webhook_id=endpoint.id,
        url=endpoint.url,
        kind=row.kind,
        body=row.text,
        state=row.state,
        attempts=row.attempts,
        error=row.error,
        written=moment(row.created_us),
        sent=moment_or_none(row.sent_us),
        next=moment_or_none(row.next_us),
    )
