"""The list of plans: what an issuer offers, at what price, who has it."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.plan import plan_from_json
from pbxbill.billing.subscriptions.plan_terms import ChargeType, PlanTerms, period_price
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
from pbxbill.store.billing_models import PlanRow, PlanVersionRow, SubscriptionRow


def _rows(_session: Session, scope: Scope) -> Rows:
    return select(
        PlanRow.id.label("id"),
        PlanRow.name.label("name"),
        PlanRow.kind.label("kind"),
        PlanRow.retired_us.label("retired_us"),
    ).where(scope.issued(PlanRow.issuer_id))


def _terms(session: Session, rows: list[dict[str, Any]]) -> None:
    ids = [x["id"] for x in rows]
    query = select(PlanVersionRow).where(PlanVersionRow.plan_id.in_(ids)).order_by(PlanVersionRow.number)
    newest: dict[int, PlanVersionRow] = {x.plan_id: x for x in session.scalars(query)}
    counted = session.execute(
        select(PlanVersionRow.plan_id, func.count())
        .join(SubscriptionRow, SubscriptionRow.plan_version_id == PlanVersionRow.id)
        .where(SubscriptionRow.state != "ended", PlanVersionRow.plan_id.in_(ids))
        .group_by(PlanVersionRow.plan_id)
    )
    live: dict[int, int] = {row[0]: row[1] for row in counted}
    for row in rows:
        version = newest[row["id"]]
        terms = plan_from_json(version.definition)
        row |= {
            "version": version.number,
            "unit": terms.unit,
            "cycle": cycle_text(terms),
            "price": period_price(terms, 1, {}),
            "set_up": sum(x.price for x in terms.charges if x.type is not ChargeType.RECURRING) or None,
            "subscriptions": live.get(row["id"], 0),
            "state": "active" if row["retired_us"] is None else "withdrawn",
        }


def cycle_text(terms: PlanTerms) -> str:
    """How often it is charged."""
    return terms.cycle if terms.every == 1 else f"{terms.every} {terms.cycle}s"


def _offered(query: Rows, value: str) -> Rows:
    return query.where(PlanRow.retired_us.is_(None) if value == "yes" else PlanRow.retired_us.is_not(None))


PLANS = Listing(
    name="plans",
    title=N_("Plans"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("name", N_("Name")),
        Column("kind", N_("Kind"), ColumnKind.STATE, wide=True),
        Column("price", N_("Per period"), ColumnKind.MONEY),
        Column("cycle", N_("Period"), wide=True),
        Column("set_up", N_("Once"), ColumnKind.MONEY, wide=True),
        Column("version", N_("Version"), ColumnKind.COUNT, wide=True),
        Column("subscriptions", N_("Subscriptions"), ColumnKind.COUNT),
        Column("state", N_("Offered"), ColumnKind.STATE),
    ),
    rows=_rows,
    orders=(
        Order("name", N_("Name"), PlanRow.name, PlanRow.id),
        Order("newest", N_("Newest first"), PlanRow.id, PlanRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Name"), contains(PlanRow.name)),
        Filter(
            "kind",
            N_("Kind"),
            equals(PlanRow.kind),
            FilterKind.CHOICE,
            (("service", N_("Service")), ("did", N_("Number"))),
        ),
        Filter(
            "offered",
            N_("Offered"),
            _offered,
            FilterKind.CHOICE,
            (("yes", N_("Yes")), ("no", N_("Not any more"))),
        ),
    ),
    finish=_terms,
)
