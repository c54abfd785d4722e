"""The list of payments through gateways: what was asked for, and what became of it."""

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
    equals,
)
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow

STATES = ("asking", "open", "paid", "declined", "expired", "cancelled", "held")


def _rows(_session: Session, scope: Scope) -> Rows:
    row = GatewayPaymentRow
    return (
        select(
            row.id.label("id"),
            row.created_us.label("created_us"),
            AccountRow.code.label("account"),
            PaymentGatewayRow.name.label("gateway"),
            row.purpose.label("purpose"),
            row.state.label("state"),
            row.amount.label("amount"),
            row.received.label("received"),
            row.refunded.label("refunded"),
            row.unit.label("unit"),
            row.automatic.label("automatic"),
            row.error.label("error"),
            row.gateway_ref.label("gateway_ref"),
            row.entry_id.label("entry"),
            row.ended_us.label("ended_us"),
            row.by.label("by"),
        )
        .join(AccountRow, AccountRow.id == row.account_id)
        .join(PaymentGatewayRow, PaymentGatewayRow.id == row.gateway_id)
        .where(scope.among(row.account_id))
    )


GATEWAY_PAYMENTS = Listing(
    name="gateway-payments",
    title=N_("Payments through gateways"),
    permission=Permission.PAYMENTS_READ,
    columns=(
        Column("created_us", N_("Asked for"), ColumnKind.MOMENT),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("gateway", N_("Gateway"), wide=True),
        Column("purpose", N_("For"), ColumnKind.STATE, wide=True),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
        Column("received", N_("Received"), ColumnKind.MONEY, wide=True),
        Column("refunded", N_("Given back"), ColumnKind.MONEY, wide=True),
        Column("automatic", N_("Automatic"), ColumnKind.YES_NO, wide=True),
        Column("error", N_("Why not"), wide=True),
        Column("gateway_ref", N_("The gateway's reference"), ColumnKind.CODE, wide=True),
        Column("entry", N_("Entry"), ColumnKind.CODE, wide=True),
        Column("ended_us", N_("Ended"), ColumnKind.MOMENT, wide=True),
        Column("by", N_("By"), wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), GatewayPaymentRow.id, GatewayPaymentRow.id, descending=True),
        Order("oldest", N_("Oldest first"), GatewayPaymentRow.id, GatewayPaymentRow.id),
    ),
    filters=(
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter(
            "state",
            N_("State"),
            equals(GatewayPaymentRow.state),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in STATES),
        ),
        Filter("gateway", N_("Gateway"), equals(PaymentGatewayRow.name)),
        Filter("reference", N_("The gateway's reference"), equals(GatewayPaymentRow.gateway_ref)),
        Filter("from", N_("From"), at_least(GatewayPaymentRow.created_us), FilterKind.DAY),
        Filter("to", N_("To"), below(GatewayPaymentRow.created_us), FilterKind.DAY, next_day=True),
    ),
)
