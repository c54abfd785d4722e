"""Lists of what was told: mails of the outbox, endpoints of webhooks and what was delivered to them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow

STATES = (
    ("waiting", N_("Waiting")),
    ("sending", N_("Being sent")),
    ("sent", N_("Sent")),
    ("failed", N_("Given up")),
    ("bounced", N_("Came back")),
    ("gathered", N_("Waits for the digest")),
    ("digested", N_("In a digest")),
)


def _messages(_session: Session, scope: Scope) -> Rows:
    row = MessageRow
    return (
        select(
            row.id.label("id"),
            row.created_us.label("created_us"),
            row.recipient.label("recipient"),
            AccountRow.code.label("account"),
            row.kind.label("kind"),
            row.subject.label("subject"),
            row.state.label("state"),
            row.attempts.label("attempts"),
            row.next_us.label("next_us"),
            row.sent_us.label("sent_us"),
            row.error.label("error"),
        )
        .outerjoin(AccountRow, AccountRow.id == row.account_id)
        .where(row.channel == "mail", kept_by_sellers(scope, row.issuer_id))
    )


def _endpoints(_session: Session, scope: Scope) -> Rows:
    row = WebhookEndpointRow
    return (
        select(
            row.id.label("id"),
            row.url.label("url"),
            AccountRow.code.label("account"),
            row.state.label("state"),
            row.failures.label("failures"),
            row.failing_since_us.label("failing_since_us"),
            row.error.label("error"),
        )
        .join(AccountRow, AccountRow.id == row.account_id)
        .where(kept_by_sellers(scope, row.account_id))
    )


def _deliveries(_session: Session, scope: Scope) -> Rows:
    row = MessageRow
    return (
        select(
            row.id.label("id"),
            row.created_us.label("created_us"),
            WebhookEndpointRow.url.label("url"),
            row.kind.label("kind"),
            row.state.label("state"),
            row.attempts.label("attempts"),
            row.next_us.label("next_us"),
            row.sent_us.label("sent_us"),
            row.error.label("error"),
        )
        .join(WebhookEndpointRow, WebhookEndpointRow.id == row.endpoint_id)
        .where(row.channel == "webhook", kept_by_sellers(scope, WebhookEndpointRow.account_id))
    )


def delivery_seen(session: Session, scope: Scope, id: int) -> tuple[MessageRow, WebhookEndpointRow] | None:
    """One post to a webhook, and the webhook; None where a scope has no such."""
    found = session.execute(
        select(MessageRow, WebhookEndpointRow)
        .join(WebhookEndpointRow, WebhookEndpointRow.id == MessageRow.endpoint_id)
        .where(
            MessageRow.id == id,
            MessageRow.channel == "webhook",
            kept_by_sellers(scope, WebhookEndpointRow.account_id),
        )
    ).one_or_none()
    return None if found is None else (found[0], found[1])


MESSAGES = Listing(
    name="messages",
    title=N_("Messages"),
    permission=Permission.NOTICES_READ,
    columns=(
        Column("created_us", N_("When"), ColumnKind.MOMENT),
        Column("recipient", N_("To")),
        Column("account", N_("Account"), ColumnKind.CODE, wide=True),
        Column("kind", N_("About"), ColumnKind.STATE, wide=True),
        Column("subject", N_("Subject")),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("attempts", N_("Attempts"), ColumnKind.COUNT, wide=True),
        Column("error", N_("Why not"), wide=True),
    ),
    rows=_messages,
    orders=(
        Order("newest", N_("Newest first"), MessageRow.id, MessageRow.id, descending=True),
        Order("oldest", N_("Oldest first"), MessageRow.id, MessageRow.id),
    ),
    filters=(
        Filter("q", N_("Address or subject"), contains(MessageRow.recipient, MessageRow.subject)),
        Filter("state", N_("State"), equals(MessageRow.state), FilterKind.CHOICE, STATES),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("kind", N_("About"), equals(MessageRow.kind)),
        Filter("from", N_("From"), at_least(MessageRow.created_us), FilterKind.DAY),
        Filter("to", N_("To"), below(MessageRow.created_us), FilterKind.DAY, next_day=True),
    ),
)

ENDPOINTS = Listing(
    name="webhook-endpoints",
    title=N_("Webhooks"),
    permission=Permission.NOTICES_READ,
    columns=(
        Column("url", N_("Address")),
        Column("account", N_("About the account"), ColumnKind.CODE),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("failures", N_("Failures in a row"), ColumnKind.COUNT, wide=True),
        Column("failing_since_us", N_("Failing since"), ColumnKind.MOMENT, wide=True),
        Column("error", N_("Why"), wide=True),
    ),
    rows=_endpoints,
    orders=(
        Order("oldest", N_("Oldest first"), WebhookEndpointRow.id, WebhookEndpointRow.id),
        Order("newest", N_("Newest first"), WebhookEndpointRow.id, WebhookEndpointRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Address"), contains(WebhookEndpointRow.url)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter(
            "state",
            N_("State"),
            equals(WebhookEndpointRow.state),
            FilterKind.CHOICE,
            (("active", N_("Active")), ("off", N_("Off")), ("failing", N_("Failing"))),
        ),
    ),
)

DELIVERIES = Listing(
    name="webhook-deliveries",
    title=N_("Webhook deliveries"),
    permission=Permission.NOTICES_READ,
    columns=(
        Column("created_us", N_("When"), ColumnKind.MOMENT),
        Column("kind", N_("About"), ColumnKind.STATE),
        Column("url", N_("Address")),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("attempts", N_("Attempts"), ColumnKind.COUNT, wide=True),
        Column("next_us", N_("Tried next"), ColumnKind.MOMENT, wide=True),
        Column("sent_us", N_("Delivered"), ColumnKind.MOMENT, wide=True),
        Column("error", N_("Why not"), wide=True),
    ),
    rows=_deliveries,
    orders=(
        Order("newest", N_("Newest first"), MessageRow.id, MessageRow.id, descending=True),
        Order("oldest", N_("Oldest first"), MessageRow.id, MessageRow.id),
    ),
    filters=(
        Filter("webhook", N_("Number of the webhook"), equals(MessageRow.endpoint_id), FilterKind.NUMBER),
        Filter("state", N_("State"), equals(MessageRow.state), FilterKind.CHOICE, STATES[:4]),
        Filter("kind", N_("About"), equals(MessageRow.kind)),
        Filter("from", N_("From"), at_least(MessageRow.created_us), FilterKind.DAY),
        Filter("to", N_("To"), below(MessageRow.created_us), FilterKind.DAY, next_day=True),
    ),
)
