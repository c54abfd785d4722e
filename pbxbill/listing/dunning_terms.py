"""Lists of what an issuer wrote about paying late: dunning policies and penalty classes."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.dunning_catalogue import ACTIVE, PAUSED, STOPPED
from pbxbill.billing.dunning.dunning_text import policy_from_json
from pbxbill.billing.dunning.penalties import Per, penalty_from_json
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
)
from pbxbill.store.dunning_models import DunningPolicyRow, PenaltyClassRow

_PER = {Per.ITEM: "each_invoice", Per.CUSTOMER: "whole_account"}


def _policies(_session: Session, scope: Scope) -> Rows:
    names = ("id", "name", "state", "standard", "groups", "version", "definition")
    columns = [getattr(DunningPolicyRow, x).label(x) for x in names]
    return select(*columns).where(scope.issued(DunningPolicyRow.issuer_id))


def _levels(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["levels"] = len(policy_from_json(row.pop("definition")).levels)
        row["groups"] = row["groups"].replace("\n", ", ")


DUNNING_POLICIES = Listing(
    name="dunning-policies",
    title=N_("Dunning policies"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("name", N_("Policy")),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("levels", N_("Levels"), ColumnKind.COUNT),
        Column("standard", N_("Standard"), ColumnKind.YES_NO),
        Column("groups", N_("Groups"), wide=True),
        Column("version", N_("Version"), ColumnKind.COUNT, wide=True),
    ),
    rows=_policies,
    orders=(
        Order("name", N_("Name"), DunningPolicyRow.name, DunningPolicyRow.id),
        Order("newest", N_("Newest first"), DunningPolicyRow.id, DunningPolicyRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Policy or group"), contains(DunningPolicyRow.name, DunningPolicyRow.groups)),
        Filter(
            "state",
            N_("State"),
            lambda query, state: query.where(DunningPolicyRow.state == state),
            FilterKind.CHOICE,
            tuple((x, x) for x in (ACTIVE, PAUSED, STOPPED)),
        ),
    ),
    finish=_levels,
)


def _classes(_session: Session, scope: Scope) -> Rows:
    columns = [getattr(PenaltyClassRow, x).label(x) for x in ("id", "name", "definition")]
    return select(*columns).where(scope.issued(PenaltyClassRow.issuer_id))


def _terms(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        terms = penalty_from_json(row.pop("definition"))
        row |= {
            "unit": terms.unit,
            "fixed": terms.fixed or None,
            "percent_ppm": terms.percent_ppm or None,
            "every": terms.every.value,
            "cap": terms.cap,
            "grace_days": terms.grace_days,
            "per": _PER[terms.per],
        }


PENALTY_CLASSES = Listing(
    name="penalty-classes",
    title=N_("Penalty classes"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("name", N_("Class")),
        Column("fixed", N_("Fixed"), ColumnKind.MONEY),
        Column("percent_ppm", N_("Of what is overdue"), ColumnKind.PPM),
        Column("every", N_("Per"), ColumnKind.STATE),
        Column("cap", N_("At most"), ColumnKind.MONEY),
        Column("grace_days", N_("Days of grace"), ColumnKind.COUNT, wide=True),
        Column("per", N_("Of"), ColumnKind.STATE),
    ),
    rows=_classes,
    orders=(
        Order("name", N_("Name"), PenaltyClassRow.name, PenaltyClassRow.id),
        Order("newest", N_("Newest first"), PenaltyClassRow.id, PenaltyClassRow.id, descending=True),
    ),
    filters=(Filter("q", N_("Name"), contains(PenaltyClassRow.name)),),
    finish=_terms,
)
