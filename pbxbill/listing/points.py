"""Lists about points: rules by which they are earned, and who brought whom."""

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.points.points_rules import KINDS
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    equals,
)
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PointsRuleRow, ReferralRow

_REFERRER = aliased(AccountRow)


def _rules(_session: Session, scope: Scope) -> Rows:
    row = PointsRuleRow
    return select(
        row.id.label("id"),
        row.kind.label("kind"),
        row.per.label("per"),
        row.unit.label("unit"),
        row.points.label("points"),
        row.points_unit.label("points_unit"),
        row.valid_days.label("valid_days"),
        row.worth.label("worth"),
        row.state.label("state"),
        row.from_us.label("from_us"),
    ).where(scope.issued(row.issuer_id))


def _referrals(_session: Session, scope: Scope) -> Rows:
    row = ReferralRow
    return (
        select(
            row.account_id.label("id"),
            AccountRow.code.label("account"),
            _REFERRER.code.label("referrer"),
            row.created_us.label("created_us"),
            row.rewarded_us.label("rewarded_us"),
        )
        .join(AccountRow, AccountRow.id == row.account_id)
        .join(_REFERRER, _REFERRER.id == row.referrer_id)
        .where(scope.among(row.account_id))
    )


RULES = Listing(
    name="points-rules",
    title=N_("Points"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("id", N_("Rule"), ColumnKind.CODE),
        Column("kind", N_("Earned by"), ColumnKind.STATE),
        Column("per", N_("For each"), ColumnKind.MONEY),
        Column("points", N_("Points"), ColumnKind.COUNT),
        Column("points_unit", N_("Kept as"), ColumnKind.CODE, wide=True),
        Column("worth", N_("One is worth"), ColumnKind.MONEY, wide=True),
        Column("valid_days", N_("Valid for days"), ColumnKind.COUNT, wide=True),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("from_us", N_("Since"), ColumnKind.DAY, wide=True),
    ),
    rows=_rules,
    orders=(Order("newest", N_("Newest first"), PointsRuleRow.id, PointsRuleRow.id, descending=True),),
    filters=(
        Filter(
            "kind",
            N_("Earned by"),
            equals(PointsRuleRow.kind),
            FilterKind.CHOICE,
            tuple((x, x) for x in KINDS),
        ),
        Filter(
            "state",
            N_("State"),
            equals(PointsRuleRow.state),
            FilterKind.CHOICE,
            (("active", N_("Active")), ("ended", N_("Ended"))),
        ),
        Filter("unit", N_("Currency"), equals(PointsRuleRow.unit)),
        Filter("points_unit", N_("Kept as"), equals(PointsRuleRow.points_unit)),
    ),
)

REFERRALS = Listing(
    name="referrals",
    title=N_("Referrals"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("referrer", N_("Brought by"), ColumnKind.CODE),
        Column("created_us", N_("Since"), ColumnKind.DAY),
        Column("rewarded_us", N_("Rewarded"), ColumnKind.DAY),
    ),
    rows=_referrals,
    orders=(
        Order("account", N_("Account"), AccountRow.code, ReferralRow.account_id),
        Order("newest", N_("Newest first"), ReferralRow.created_us, ReferralRow.account_id, descending=True),
    ),
    filters=(
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("referrer", N_("Code of who brought it"), equals(_REFERRER.code)),
    ),
)
