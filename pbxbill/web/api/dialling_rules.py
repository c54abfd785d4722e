"""Dialling rules: how accounts dial, and what is meant by it. They are the operator's."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.rating.destination import MAX_SHORT_CODES, DiallingRule, rule_from_facts, rule_from_json
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.destinations import remove_dialling_rule, set_dialling_rule
from pbxbill.web.api.api import Answer, Api, Writing
from pbxbill.web.api.destinations import TAG
from pbxbill.web.api.fields import Id, Line, Sent, left_out
from pbxbill.web.api.objects import conflicts, field
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs

RULE = "/dialling-rules/<int:rule_id>"
Digits = Annotated[str, StringConstraints(pattern="^[0-9]{1,15}$")]
Dialled = Annotated[str, StringConstraints(pattern="^[0-9*#]{1,20}$")]


class RulePath(Sent):
    """A dialling rule, by its id."""

    rule_id: Id


class SentRule(Sent):
    """How accounts dial; what is left out is as in the country."""

    region: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] = Field(
        description="The country.", examples=["DE"]
    )
    international_prefixes: Annotated[list[Digits], Field(max_length=20)] = Field(
        default=[], examples=[["00"]]
    )
    national_prefix: Digits = left_out()
    area_code: Digits = left_out("Numbers without a prefix are local ones of this area.")
    technical_prefix: Dialled = left_out("Taken off first.")
    short_codes: Annotated[
        dict[Dialled, Annotated[str, StringConstraints(pattern="^[0-9]{0,15}$")]],
        Field(max_length=MAX_SHORT_CODES),
    ] = Field(default={}, description="What is dialled, and the number; an empty one leaves it as it is.")
    emergency_numbers: Annotated[list[Dialled], Field(max_length=50)] = Field(
        default=[], description="Beside the country's. They always pass and are free."
    )


class NewDiallingRule(SentRule):
    """A rule that is new."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class DiallingRuleShown(BaseModel):
    """How accounts dial that have it."""

    id: int
    name: str
    region: str
    international_prefixes: list[str]
    national_prefix: str | None
    area_code: str
    technical_prefix: str
    short_codes: dict[str, str]
    emergency_numbers: list[str]


def dialling_rules(api: Api) -> None:
    """Seen by all who sell; changed by the operator."""
    front = api.front

    def kept(change: Writing, name: str, body: SentRule, status: int) -> Answer:
        facts = body.model_dump(exclude_unset=True, exclude={"name"})
        with field("region"):
            rule = rule_from_facts(name, facts)
        set_dialling_rule(change.session, rule)
        change.session.flush()
        row = change.session.scalars(select(DiallingRuleRow).where(DiallingRuleRow.name == name)).one()
        return change.done(_shown(row), status)

    @api.get(RULE, DiallingRuleShown, TAG)
    @needs(Permission.CATALOGUE_READ)
    def get_dialling_rule(path: RulePath) -> DiallingRuleShown:
        """One dialling rule."""
        with front.reading() as session:
            return _shown(_row(session, path.rule_id))

    @api.post("/dialling-rules", DiallingRuleShown, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def make_dialling_rule(body: NewDiallingRule) -> Answer:
        """Make a dialling rule. Accounts get it as their `dialling_rule`. 409: the name is taken."""
        _operators(front)
        with api.writing("dialling-rule.make", body.name) as change:
            known = select(DiallingRuleRow.id).where(DiallingRuleRow.name == body.name)
            if change.session.scalar(known) is not None:
                raise Refused(409, "There is a dialling rule of this name.")
            return kept(change, body.name, body, 201)

    @api.put(RULE, DiallingRuleShown, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def change_dialling_rule(path: RulePath, body: SentRule) -> Answer:
        """Say anew what a rule is. Accounts that have it dial by it from now on."""
        _operators(front)
        with front.reading() as session:
            name = _row(session, path.rule_id).name
        with api.writing("dialling-rule.change", name) as change:
            return kept(change, _row(change.session, path.rule_id).name, body, 200)

    @api.delete(RULE, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def drop_dialling_rule(path: RulePath) -> Answer:
        """Remove a rule. 409: accounts have it."""
        _operators(front)
        with front.reading() as session:
            name = _row(session, path.rule_id).name
        with api.writing("dialling-rule.remove", name) as change:
            with conflicts():
                remove_dialling_rule(change.session, _row(change.session, path.rule_id).name)
            return change.done(None)


def _operators(front: Front) -> None:
    if not front.scope.is_everything:
        raise Refused(403, "Dialling rules are the operator's.")


def _row(session: Session, id: int) -> DiallingRuleRow:
    row = session.get(DiallingRuleRow, id)
    if row is None:
        raise Refused(404)
    return row


def _shown(row: DiallingRuleRow) -> DiallingRuleShown:
    rule: DiallingRule = rule_from_json(row.name, row.definition)
    facts: dict[str, Any] = {
        name: getattr(rule, name) for name in ("region", "national_prefix", "area_code", "technical_prefix")
    }
    return DiallingRuleShown(
        id=row.id,
        name=row.name,
        international_prefixes=list(rule.international_prefixes),
        short_codes=dict(rule.short_codes),
        emergency_numbers=list(rule.emergency_numbers),
        **facts,
    )
