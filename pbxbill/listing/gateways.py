"""Lists about payment services: gateways, refunds and charge-backs, what the services sent."""

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
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, ReceivedWebhookRow, RefundRow


def _gateways(_session: Session, scope: Scope) -> Rows:
    row = PaymentGatewayRow
    return (
        select(
            row.id.label("id"),
            row.name.label("name"),
            row.kind.label("kind"),
            AccountRow.code.label("issuer"),
            row.units.label("units"),
            row.enabled.label("enabled"),
            row.created_us.label("created_us"),
        )
        .join(AccountRow, AccountRow.id == row.issuer_id)
        .where(kept_by_sellers(scope, row.issuer_id))
    )


def _refunds(_session: Session, scope: Scope) -> Rows:
    row = RefundRow
    return (
        select(
            row.id.label("id"),
            row.created_us.label("created_us"),
            row.payment_id.label("payment_id"),
            AccountRow.code.label("account"),
            row.kind.label("kind"),
            row.amount.label("amount"),
            GatewayPaymentRow.unit.label("unit"),
            row.state.label("state"),
            row.reason.label("reason"),
            row.by.label("by"),
        )
        .join(GatewayPaymentRow, GatewayPaymentRow.id == row.payment_id)
        .join(AccountRow, AccountRow.id == GatewayPaymentRow.account_id)
        .where(scope.among(GatewayPaymentRow.account_id))
    )


def _received(_session: Session, scope: Scope) -> Rows:
    row = ReceivedWebhookRow
    return (
        select(
            row.id.label("id"),
            row.received_us.label("received_us"),
            PaymentGatewayRow.name.label("gateway"),
            row.kind.label("kind"),
            row.outcome.label("outcome"),
            row.payment_id.label("payment_id"),
            row.times.label("times"),
            row.detail.label("detail"),
        )
        .join(PaymentGatewayRow, PaymentGatewayRow.id == row.gateway_id)
        .where(kept_by_sellers(scope, PaymentGatewayRow.issuer_id))
    )


GATEWAYS = Listing(
    name="payment-gateways",
    title=N_("Payment gateways"),
    permission=Permission.SETTINGS_READ,
    columns=(
        Column("name", N_("Name"), ColumnKind.CODE),
        Column("kind", N_("Service")),
        Column("issuer", N_("Whose"), ColumnKind.CODE),
        Column("units", N_("Currencies"), wide=True),
        Column("enabled", N_("Takes payments"), ColumnKind.YES_NO),
        Column("created_us", N_("Since"), ColumnKind.DAY, wide=True),
    ),
    rows=_gateways,
    orders=(Order("name", N_("Name"), PaymentGatewayRow.name, PaymentGatewayRow.id),),
    filters=(Filter("q", N_("Name"), contains(PaymentGatewayRow.name)),),
)

REFUNDS = Listing(
    name="refunds",
    title=N_("Refunds and charge-backs"),
    permission=Permission.PAYMENTS_READ,
    columns=(
        Column("created_us", N_("When"), ColumnKind.MOMENT),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("kind", N_("What"), ColumnKind.STATE),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("reason", N_("Reason"), wide=True),
        Column("by", N_("By"), wide=True),
    ),
    rows=_refunds,
    orders=(
        Order("newest", N_("Newest first"), RefundRow.id, RefundRow.id, descending=True),
        Order("oldest", N_("Oldest first"), RefundRow.id, RefundRow.id),
    ),
    filters=(
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter(
            "kind",
            N_("What"),
            equals(RefundRow.kind),
            FilterKind.CHOICE,
            (("refund", N_("Refunds")), ("charge_back", N_("Charge-backs"))),
        ),
        Filter(
            "state",
            N_("State"),
            equals(RefundRow.state),
            FilterKind.CHOICE,
            tuple((x, x) for x in ("asking", "open", "done", "failed", "lost", "won")),
        ),
        Filter("from", N_("From"), at_least(RefundRow.created_us), FilterKind.DAY),
        Filter("to", N_("To"), below(RefundRow.created_us), FilterKind.DAY, next_day=True),
    ),
)

RECEIVED_WEBHOOKS = Listing(
    name="received-webhooks",
    title=N_("What gateways sent"),
    permission=Permission.PAYMENTS_CORRECT,
    columns=(
        Column("received_us", N_("When"), ColumnKind.MOMENT),
        Column("gateway", N_("Gateway")),
        Column("kind", N_("Kind"), ColumnKind.CODE),
        Column("outcome", N_("What became of it"), ColumnKind.STATE),
        Column("payment_id", N_("Payment"), ColumnKind.CODE, wide=True),
        Column("times", N_("Times"), ColumnKind.COUNT, wide=True),
        Column("detail", N_("Detail"), ColumnKind.SENTENCE, wide=True),
    ),
    rows=_received,
    orders=(
        Order("newest", N_("Newest first"), ReceivedWebhookRow.id, ReceivedWebhookRow.id, descending=True),
        Order("oldest", N_("Oldest first"), ReceivedWebhookRow.id, ReceivedWebhookRow.id),
    ),
    filters=(
        Filter("gateway", N_("Gateway"), equals(PaymentGatewayRow.name)),
        Filter(
            "outcome",
            N_("What became of it"),
            equals(ReceivedWebhookRow.outcome),
            FilterKind.CHOICE,
            (
                ("handled", N_("Handled")),
                ("nothing", N_("Nothing of ours")),
                ("held", N_("Held")),
                ("refused", N_("Refused")),
            ),
        ),
        Filter("payment", N_("Payment"), equals(ReceivedWebhookRow.payment_id), FilterKind.NUMBER),
        Filter("from", N_("From"), at_least(ReceivedWebhookRow.received_us), FilterKind.DAY),
        Filter("to", N_("To"), below(ReceivedWebhookRow.received_us), FilterKind.DAY, next_day=True),
    ),
)
