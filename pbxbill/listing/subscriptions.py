"""The lists of subscriptions, and of what customers ask for of theirs."""

from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

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
    contains,
    equals,
)
from pbxbill.store.billing_models import PlanRow, PlanVersionRow, SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow

STATES = (
    ("trial", N_("Trial")),
    ("active", N_("Active")),
    ("paused", N_("Paused")),
    ("unpaid", N_("Unpaid")),
    ("ended", N_("Ended")),
)


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            SubscriptionRow.id.label("id"),
            AccountRow.code.label("account"),
            PlanRow.name.label("plan"),
            PlanVersionRow.number.label("version"),
            SubscriptionRow.quantity.label("quantity"),
            SubscriptionRow.state.label("state"),
            SubscriptionRow.started_us.label("started_us"),
            SubscriptionRow.charged_to_us.label("charged_to_us"),
            SubscriptionRow.term_ends_us.label("term_ends_us"),
            SubscriptionRow.ends_us.label("ends_us"),
        )
        .join(AccountRow, AccountRow.id == SubscriptionRow.account_id)
        .join(PlanVersionRow, PlanVersionRow.id == SubscriptionRow.plan_version_id)
        .join(PlanRow, PlanRow.id == PlanVersionRow.plan_id)
        .where(scope.among(SubscriptionRow.account_id))
    )


SUBSCRIPTIONS = Listing(
    name="subscriptions",
    title=N_("Subscriptions"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("plan", N_("Plan")),
        Column("version", N_("Version"), ColumnKind.COUNT, wide=True),
        Column("quantity", N_("Quantity"), ColumnKind.COUNT),
        Column("state", N_("Status"), ColumnKind.STATE),
        Column("started_us", N_("Since"), ColumnKind.DAY, wide=True),
        Column("charged_to_us", N_("Charged until"), ColumnKind.DAY, wide=True),
        Column("term_ends_us", N_("Bound until"), ColumnKind.DAY, wide=True),
        Column("ends_us", N_("Ends"), ColumnKind.DAY, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), SubscriptionRow.id, SubscriptionRow.id, descending=True),
        Order("oldest", N_("Oldest first"), SubscriptionRow.id, SubscriptionRow.id),
    ),
    filters=(
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("q", N_("Plan"), contains(PlanRow.name)),
        Filter("state", N_("Status"), equals(SubscriptionRow.state), FilterKind.CHOICE, STATES),
    ),
)

_NOW = aliased(PlanRow)
_NOW_VERSION = aliased(PlanVersionRow)
_WANTED = aliased(PlanRow)
_WANTED_VERSION = aliased(PlanVersionRow)


def _requests(_session: Session, scope: Scope) -> Rows:
    row = SubscriptionChangeRow
    # Of a new subscription that is asked for the row itself says whose it is to be.
    whose = func.coalesce(SubscriptionRow.account_id, row.account_id)
    return (
        select(
            row.id.label("id"),
            row.subscription_id.label("subscription_id"),
            AccountRow.code.label("account"),
            _NOW.name.label("plan"),
            row.kind.label("kind"),
            _WANTED.name.label("wanted"),
            row.quantity.label("quantity"),
            row.reason.label("reason"),
            row.requested_by.label("by"),
            row.requested_us.label("asked_us"),
        )
        .outerjoin(SubscriptionRow, SubscriptionRow.id == row.subscription_id)
        .join(AccountRow, AccountRow.id == whose)
        .outerjoin(_NOW_VERSION, _NOW_VERSION.id == SubscriptionRow.plan_version_id)
        .outerjoin(_NOW, _NOW.id == _NOW_VERSION.plan_id)
        .outerjoin(_WANTED_VERSION, _WANTED_VERSION.id == row.plan_version_id)
        .outerjoin(_WANTED, _WANTED.id == _WANTED_VERSION.plan_id)
        .where(row.state == "requested", scope.among(whose))
    )


SUBSCRIPTION_REQUESTS = Listing(
    name="subscription-requests",
    title=N_("Requests of customers"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("asked_us", N_("Asked"), ColumnKind.MOMENT),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("subscription_id", N_("Subscription"), ColumnKind.COUNT),
        Column("plan", N_("Plan")),
        Column("kind", N_("What"), ColumnKind.STATE),
        Column("wanted", N_("Wanted plan")),
        Column("quantity", N_("Quantity"), ColumnKind.COUNT),
        Column("reason", N_("Reason"), wide=True),
        Column("by", N_("By"), wide=True),
    ),
    rows=_requests,
    orders=(Order("oldest", N_("Oldest first"), SubscriptionChangeRow.id, SubscriptionChangeRow.id),),
    filters=(Filter("account", N_("Account's code"), equals(AccountRow.code)),),
)

OWN_REQUESTS = replace(
    SUBSCRIPTION_REQUESTS,
    name="my-plan-requests",
    title=N_("Plans and changes that you asked for"),
    permission=Permission.OWN_READ,
    columns=tuple(x for x in SUBSCRIPTION_REQUESTS.columns if x.key != "account"),
    filters=(),
)
"""What an account asked for itself, and nobody decided yet."""
