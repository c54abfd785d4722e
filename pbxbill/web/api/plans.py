"""Plans: what is offered, at what price and terms, version by version."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.plan import facts_of_plan, plan_from_facts
from pbxbill.billing.subscriptions.plan_catalogue import add_plan, newest_version, retire_plan, versions_of
from pbxbill.listing.plans import PLANS
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import PlanRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api, Writing
from pbxbill.web.api.fields import Id, Line, Moment, Sent, moment, moment_or_none
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import conflicts, field, found, issuer
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

TAG = "Plans"
Terms = Annotated[dict[str, JsonValue], Field(min_length=1, max_length=40)]
TERMS = (
    "As docs/billing.md names them: unit, cycle, every, timing, proration, collection, charge (a list of "
    "name, price, type, quantity, steps), term, trial_days, renewal, bundles, tariff and so on."
)


class PlanPath(Sent):
    """A plan, by its id."""

    plan_id: Id


class NewPlan(Sent):
    """A plan with its first terms."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=64)]
    terms: Terms = Field(
        description=TERMS,
        examples=[{"unit": "EUR", "charge": [{"name": "Line", "price": "9.90"}]}],
    )


class NewTerms(Sent):
    """All terms of a plan, for who subscribes from now on."""

    terms: Terms = Field(description=TERMS)


class PlanVersion(BaseModel):
    """One version."""

    number: int
    made: Moment
    subscriptions: int = Field(description="That have it.")


class Plan(BaseModel):
    """A plan with the terms of its newest version."""

    id: int
    name: str
    kind: str = Field(description="service, or did: what a number costs.")
    retired: Moment | None
    version: int
    terms: dict[str, JsonValue] = Field(description=TERMS)
    versions: list[PlanVersion] = Field(description="The oldest first.")


def plans(api: Api) -> None:
    """Plans of the key's own account."""
    front = api.front
    declare_list(api, "/plans", PLANS, TAG)
    declare_file(api, "/plans.csv", PLANS, TAG)

    def plan_of(session: Session, id: int) -> PlanRow:
        return found(session, PlanRow, id, front.scope.issued(PlanRow.issuer_id))

    def written(change: Writing, name: str, terms: Mapping[str, Any], status: int) -> Answer:
        with field("terms"):
            read = plan_from_facts(_with_days(terms), units_by_code(change.session))
        own = not front.scope.is_everything
        seller = issuer(change.session, front.scope)
        version = add_plan(change.session, seller, name, read, change.now_us, own=own)
        return change.done(_shown(change.session, plan_of(change.session, version.plan_id)), status)

    @api.get("/plans/<int:plan_id>", Plan, TAG)
    @needs(Permission.CATALOGUE_READ)
    def get_plan(path: PlanPath) -> Plan:
        """One plan, with its terms and versions."""
        with front.reading() as session:
            return _shown(session, plan_of(session, path.plan_id))

    @api.post("/plans", Plan, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def make_plan(body: NewPlan) -> Answer:
        """Offer a plan. 409: there is one of that name."""
        with api.writing("plan.make", body.name) as change:
            known = select(PlanRow.id).where(front.scope.issued(PlanRow.issuer_id), PlanRow.name == body.name)
            if change.session.scalar(known) is not None:
                raise Refused(409, "There is a plan of this name.")
            return written(change, body.name, body.terms, 201)

    @api.post("/plans/<int:plan_id>/versions", Plan, TAG, of="/plans/<int:plan_id>")
    @needs(Permission.CATALOGUE_WRITE)
    def change_plan(path: PlanPath, body: NewTerms) -> Answer:
        """Give a plan new terms. Subscriptions keep the version that they have."""
        with front.reading() as session:
            name = plan_of(session, path.plan_id).name
        with api.writing("plan.change", name) as change:
            plan_of(change.session, path.plan_id)
            return written(change, name, body.terms, 201)

    @api.post("/plans/<int:plan_id>/retirement", Plan, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def retire(path: PlanPath) -> Answer:
        """Offer a plan no longer. Who has it keeps it."""
        with front.reading() as session:
            name = plan_of(session, path.plan_id).name
        with api.writing("plan.retire", name) as change:
            row = plan_of(change.session, path.plan_id)
            with conflicts():
                retire_plan(change.session, row, change.now_us)
            return change.done(_shown(change.session, row), 201)


def _with_days(terms: Mapping[str, Any]) -> dict[str, Any]:
    """In TOML a date is one; in JSON it is a text."""
    facts = dict(terms)
    day = facts.get("fixed_day")
    if isinstance(day, str):
        try:
            facts["fixed_day"] = date.fromisoformat(day)
        except ValueError:
            return facts  # which is refused by its name
    return facts


def _shown(session: Session, row: PlanRow) -> Plan:
    newest = newest_version(session, row)
    facts = facts_of_plan(newest.terms, unit_of(session, newest.terms.unit))
    if "fixed_day" in facts:
        facts["fixed_day"] = facts["fixed_day"].isoformat()
    return Plan(
        id=row.id,
        name=row.name,
        kind=row.kind,
        retired=moment_or_none(row.retired_us),
        version=newest.number,
        terms=facts,
        versions=[
            PlanVersion(number=version.number, made=moment(made_us), subscriptions=count)
            for version, made_us, count in versions_of(session, row)
        ],
    )
