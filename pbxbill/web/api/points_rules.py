"""How points are earned: rules made and ended, points given by hand, who brought whom."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.points.points import give_by_hand
from pbxbill.billing.points.points_rules import (
    KINDS,
    MOST_POINTS,
    MOST_VALID_DAYS,
    NewRule,
    add_rule,
    end_rule,
)
from pbxbill.billing.points.referrals import refer
from pbxbill.listing.points import RULES
from pbxbill.money import parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.payment_models import PointsRuleRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Amount, Code, Id, Line, Sent, left_out
from pbxbill.web.api.listed import declare_item, listed_as
from pbxbill.web.api.objects import account_named, conflicts, field, found, issuer, wrong
from pbxbill.web.api.points import TAG, UnitCode
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

RULE = "/points-rules/<int:rule_id>"
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=200)]


class PointsRulePath(Sent):
    """A rule, by its id."""

    rule_id: Id


class NewPointsRule(Sent):
    """How points are earned."""

    kind: Literal[KINDS]  # type: ignore[valid-type]  # made of what there is
    per: Amount = Field(description="For each such amount; of a referral: from such a first top-up on.")
    unit: UnitCode = Field(description="Of the amount.", examples=["EUR"])
    points: Annotated[int, Field(ge=1, le=MOST_POINTS)]
    points_unit: UnitCode = Field(description="A unit of whole pieces, for points alone.")
    valid_days: Annotated[int, Field(ge=1, le=MOST_VALID_DAYS)] = left_out("Default: they do not expire.")
    worth: Amount = left_out("Of one, when it is spent. Default: it cannot be spent on funds.")


class SentPoints(Sent):
    """Points given by hand; they last and are worth as a rule says."""

    rule_id: Id
    points: Annotated[int, Field(ge=1, le=MOST_POINTS)]
    reason: Reason


class GivenPoints(BaseModel):
    """What was given."""

    points: int
    points_unit: str


class NewReferral(Sent):
    """Who brought an account."""

    account: Code
    referrer: Code = Field(description="Rewarded once the account has brought its first money.")


class Referral(BaseModel):
    """Who brought an account."""

    account: str
    referrer: str


def points_rules(api: Api) -> None:
    """Rules of the key's own account, and accounts in scope."""
    front = api.front
    types = listed_as(RULES)
    declare_item(api, RULE, types, TAG, "get_points_rule", "One rule.")

    @api.post("/points-rules", types.item, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def make_points_rule(body: NewPointsRule) -> Answer:
        """Let customers earn points from now on."""
        sent: Any = body
        with api.writing("points.rule", body.kind) as change:
            session = change.session
            with field("unit"):
                unit = unit_of(session, body.unit)
            with field("points_unit"):
                unit_of(session, body.points_unit)
            with field("per"):
                per = parse_amount(body.per, unit)
            worth = 0
            if sent.worth is not None:
                with field("worth"):
                    worth = parse_amount(sent.worth, unit)
                if worth < 0:
                    raise wrong("worth", "is not below zero")
            new = NewRule(body.kind, body.points_unit, body.unit, per, body.points, sent.valid_days, worth)
            made = add_rule(session, issuer(session, front.scope), new, change.now_us)
            return change.done(types.shown(session, front.scope, made.id), 201)

    @api.post(f"{RULE}/end", types.item, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def end_points_rule(path: PointsRulePath) -> Answer:
        """Let nothing be earned by it any more. What was earned stays, and keeps its worth."""
        with api.writing("points.end", str(path.rule_id)) as change:
            row = _rule(change.session, front, path.rule_id)
            with conflicts():
                end_rule(change.session, row.id)
            return change.done(types.shown(change.session, front.scope, row.id), 201)

    _add_gifts(api)


def _add_gifts(api: Api) -> None:
    front = api.front

    @api.post("/accounts/<int:account_id>/points/gifts", GivenPoints, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def give_points(path: AccountPath, body: SentPoints) -> Answer:
        """Give points by hand."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("points.give", code, account_id=path.account_id) as change:
            session = change.session
            account = front.account(session, path.account_id)
            rule = session.get(PointsRuleRow, body.rule_id)
            mine = account.parent_id if account.parent_id == front.scope.account_id else None
            if rule is None or rule.issuer_id != mine:
                raise wrong("rule_id", "there is no such rule")
            with field("rule_id"):
                give_by_hand(
                    session,
                    change.books,
                    account,
                    rule.id,
                    body.points,
                    key=change.key[:40],
                    reason=body.reason,
                    now_us=change.now_us,
                )
            return change.done(GivenPoints(points=body.points, points_unit=rule.points_unit), 201)

    @api.post("/referrals", Referral, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def note_referral(body: NewReferral) -> Answer:
        """Write down who brought an account. 409: that is known, or it has brought money already."""
        with api.writing("points.refer", body.account) as change:
            brought = account_named(change.session, front.scope, body.account)
            referrer = account_named(change.session, front.scope, body.referrer, "referrer")
            with conflicts():
                refer(change.session, brought, referrer, change.now_us)
            return change.done(Referral(account=brought.code, referrer=referrer.code), 201)


def _rule(session: Session, front: Front, id: int) -> PointsRuleRow:
    return found(session, PointsRuleRow, id, front.scope.issued(PointsRuleRow.issuer_id))
