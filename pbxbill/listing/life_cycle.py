"""The list of where accounts stand in their life-cycle."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.charging.status import AccountStatus
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
from pbxbill.store.dunning_models import LifeCyclePolicyRow, LifeCycleRow
from pbxbill.store.models import AccountRow


def _rows(_session: Session, scope: Scope) -> Rows:
    row = LifeCycleRow
    return (
        select(
            row.account_id.label("id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            row.stage.label("stage"),
            row.since_us.label("since_us"),
            row.valid_to_us.label("valid_to_us"),
            row.stop_on.label("stop_on"),
            row.next_us.label("next_us"),
            LifeCyclePolicyRow.name.label("policy"),
        )
        .join(AccountRow, AccountRow.id == row.account_id)
        .outerjoin(LifeCyclePolicyRow, LifeCyclePolicyRow.id == row.policy_id)
        .where(scope.among(row.account_id))
    )


STAGES = Listing(
    name="life-cycle",
    title=N_("Life-cycle"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name")),
        Column("stage", N_("Stage"), ColumnKind.STATE),
        Column("since_us", N_("Since"), ColumnKind.DAY, wide=True),
        Column("valid_to_us", N_("Valid to"), ColumnKind.MOMENT),
        Column("stop_on", N_("Stops on"), wide=True),
        Column("next_us", N_("Looked at next"), ColumnKind.MOMENT, wide=True),
        Column("policy", N_("Policy of its own"), wide=True),
    ),
    rows=_rows,
    orders=(
        Order("account", N_("Account"), AccountRow.code, LifeCycleRow.account_id),
        Order("newest", N_("Changed last"), LifeCycleRow.since_us, LifeCycleRow.account_id, descending=True),
    ),
    filters=(
        Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
        Filter(
            "stage",
            N_("Stage"),
            equals(LifeCycleRow.stage),
            FilterKind.CHOICE,
            tuple((x.value, x.value.replace("_", " ").capitalize()) for x in AccountStatus),
        ),
        Filter("from", N_("Valid to, from"), at_least(LifeCycleRow.valid_to_us), FilterKind.DAY),
        Filter("to", N_("Valid to, up to"), below(LifeCycleRow.valid_to_us), FilterKind.DAY, next_day=True),
    ),
)
