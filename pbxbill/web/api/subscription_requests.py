"""What customers ask for of their subscriptions: asked by their own keys, decided by who bills them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import offered_to, offers_to
from pbxbill.billing.subscriptions.plan_terms import ChangeAt, PlanKind, period_price
from pbxbill.billing.subscriptions.requests import (
    Decision,
    Request,
    asking_account,
    decide_request,
    request_change,
    request_plan,
    withdraw_request,
)
from pbxbill.billing.subscriptions.subscribing import NewSubscription
from pbxbill.errors import check
from pbxbill.listing.own import OWN_SUBSCRIPTIONS
from pbxbill.listing.subscriptions import OWN_REQUESTS, SUBSCRIPTION_REQUESTS
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Money, Sent, left_out, money
from pbxbill.web.api.forecasts import Forecast, forecast_of
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import SentMoment, at_us, billed_account, conflicts, field, found
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.subscriptions import (
    Name,
    Quantity,
    Subscription,
    SubscriptionChange,
    SubscriptionDone,
    SubscriptionPath,
    Why,
    shown_change,
    shown_done,
    shown_subscription,
)
from pbxbill.web.front import Change, Front, needs

TAG = "Subscriptions"


class RequestPath(Sent):
    """What a customer asks for."""

    request_id: Id


class Asked(Sent):
    """What the account wants: another plan or quantity, or the end."""

    plan: Name = left_out()
    quantity: Quantity = left_out()
    cancel: bool = False
    reason: Why = ""


class PlanAsked(Sent):
    """A plan that the account wants besides what it has."""

    plan: Name = Field(description="Of whoever bills the account; see /own/plan-offers.")
    quantity: Quantity = 1
    reason: Why = ""


class Offer(BaseModel):
    """A plan that can be asked for."""

    plan: str
    price: Money = Field(description="Of one for a whole period, without tax.")
    cycle: str = Field(description="A period: so many (every) of these.")
    every: int
    bundles: list[str]


class Offers(BaseModel):
    """What whoever bills the account offers."""

    items: list[Offer]


class Accept(Sent):
    """When it is carried out."""

    when: Literal["now", "cycle_end"] = left_out("Default: as the plan says.")
    at: SentMoment = left_out("At a moment instead.")
    reason: Why = ""


class Refuse(Sent):
    """Why it is not done."""

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Told the customer."
    )


def subscription_requests(api: Api) -> None:
    """Requests."""
    front = api.front
    declare_list(api, "/subscription-requests", SUBSCRIPTION_REQUESTS, TAG)

    def request_of(session: Session, id: int) -> tuple[SubscriptionChangeRow, AccountRow]:
        row = session.get(SubscriptionChangeRow, id)
        if row is None:
            raise Refused(404)
        return row, billed_account(front, session, asking_account(session, row).id)

    def decision(body: Accept) -> Decision:
        sent: Any = body
        at = None if sent.when is None else ChangeAt(sent.when)
        return Decision(True, front.actor.name, body.reason, at, at_us(sent.at))

    @api.post("/subscription-requests/<int:request_id>/acceptance", SubscriptionDone, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def accept_request(path: RequestPath, body: Accept) -> Answer:
        """Accept what a customer asks for, and carry it out. 409: it waits no more."""
        with front.reading() as session:
            account = request_of(session, path.request_id)[1]
        with api.writing("request.accept", account.code, account_id=account.id) as change:
            done = _accepted(change.change, path.request_id, decision(body))
            return change.done(shown_done(change.session, front.scope, done), 201)

    @api.post("/subscription-requests/<int:request_id>/forecast", Forecast, TAG, 200)
    @needs(Permission.ACCOUNTS_WRITE)
    def forecast_request(path: RequestPath, body: Accept) -> Forecast:
        """What accepting it would give back and charge. Nothing is kept. 409: it waits no more."""
        with front.reading() as session:
            request_of(session, path.request_id)
        return forecast_of(front, lambda tried: _accepted(tried, path.request_id, decision(body)))

    @api.post("/subscription-requests/<int:request_id>/refusal", SubscriptionChange, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def refuse_request(path: RequestPath, body: Refuse) -> Answer:
        """Refuse what a customer asks for. 409: it waits no more."""
        with front.reading() as session:
            account = request_of(session, path.request_id)[1]
        with api.writing("request.refuse", account.code, account_id=account.id) as change:
            decision = Decision(False, front.actor.name, body.reason)
            with conflicts():
                decide_request(change.session, change.books, path.request_id, decision, change.now_us)
            return change.done(
                shown_change(change.session, front.scope, request_of(change.session, path.request_id)[0]), 201
            )

    _declare_own(api)
    _declare_own_plans(api)


def _accepted(change: Change, request_id: int, decision: Decision) -> BroughtUp:
    with conflicts():
        done = decide_request(change.session, change.books, request_id, decision, change.now_us)
    check(done is not None, "what is accepted is carried out")
    assert done is not None  # for mypy
    return done


def _declare_own(api: Api) -> None:
    front = api.front
    declare_list(api, "/own/subscriptions", OWN_SUBSCRIPTIONS, TAG, name="list_own_subscriptions")

    def own(session: Session, id: int) -> SubscriptionRow:
        return found(session, SubscriptionRow, id, front.scope.among(SubscriptionRow.account_id))

    @api.get("/own/subscriptions/<int:subscription_id>", Subscription, TAG)
    @needs(Permission.OWN_READ)
    def get_own_subscription(path: SubscriptionPath) -> Subscription:
        """One subscription of the key's own account."""
        with front.reading() as session:
            return shown_subscription(session, front.scope, own(session, path.subscription_id))

    def asking(path: SubscriptionPath, body: Asked) -> AccountRow:
        sent: Any = body
        if body.cancel == (sent.plan is not None or sent.quantity is not None):
            raise Refused(422, "Ask for another plan or quantity, or for the end.")
        with front.reading() as session:
            return session.get_one(AccountRow, own(session, path.subscription_id).account_id)

    @api.post("/own/subscriptions/<int:subscription_id>/requests", SubscriptionChange, TAG)
    @needs(Permission.OWN_WRITE)
    def ask_for_change(path: SubscriptionPath, body: Asked) -> Answer:
        """Ask who bills the account for another plan or quantity, or for the end."""
        account = asking(path, body)
        with api.writing("subscription.ask", account.code, account_id=account.id) as change:
            made = _asked(front, path, body, change.change)
            return change.done(shown_change(change.session, front.scope, made), 201)

    @api.post("/own/subscriptions/<int:subscription_id>/forecast", Forecast, TAG, 200)
    @needs(Permission.OWN_WRITE)
    def forecast_own_change(path: SubscriptionPath, body: Asked) -> Forecast:
        """What it would give back and charge if it was accepted now. Nothing is kept, or asked for."""
        asking(path, body)
        granted = Decision(True, "")
        return forecast_of(front, lambda x: _accepted(x, _asked(front, path, body, x).id, granted))

    @api.delete("/own/subscription-requests/<int:request_id>", TAG)
    @needs(Permission.OWN_WRITE)
    def withdraw_own_request(path: RequestPath) -> Answer:
        """Take a request back. 409: it is decided."""
        with front.reading() as session:
            row = session.get(SubscriptionChangeRow, path.request_id)
            account_id = None if row is None else asking_account(session, row).id
            if account_id != front.scope.account_id:
                raise Refused(404)
        with api.writing("subscription.withdraw", str(path.request_id), account_id=account_id) as change:
            with conflicts():
                withdraw_request(change.session, path.request_id, change.now_us, front.actor.name)
            return change.done(None)


def _asked(front: Front, path: SubscriptionPath, body: Asked, change: Change) -> SubscriptionChangeRow:
    sent: Any = body
    account = front.account(change.session, front.scope.account_id)
    version = None
    if sent.plan is not None:
        with field("plan"):
            version = offered_to(change.session, account, sent.plan)
    asked = Request(version, sent.quantity, body.cancel, body.reason, front.actor.name)
    with conflicts():
        return request_change(change.session, path.subscription_id, asked, change.now_us)


def _declare_own_plans(api: Api) -> None:
    front = api.front
    declare_list(api, "/own/plan-requests", OWN_REQUESTS, TAG, name="list_own_plan_requests")

    @api.get("/own/plan-offers", Offers, TAG)
    @needs(Permission.OWN_READ)
    def list_own_plan_offers() -> Offers:
        """Plans that the key's own account can ask for."""
        with front.reading() as session:
            account = front.account(session, front.scope.account_id)
            return Offers(
                items=[
                    Offer(
                        plan=x.name,
                        price=money(period_price(x.terms, 1, {}), unit_of(session, x.terms.unit)),
                        cycle=x.terms.cycle,
                        every=x.terms.every,
                        bundles=list(x.terms.bundles),
                    )
                    for x in offers_to(session, account, PlanKind.SERVICE)
                ]
            )

    def asked_for(body: PlanAsked, change: Change) -> SubscriptionChangeRow:
        account = front.account(change.session, front.scope.account_id)
        with field("plan"):
            version = offered_to(change.session, account, body.plan)
        wanted = NewSubscription(version, body.quantity, by=front.actor.name, reason=body.reason)
        with conflicts():
            return request_plan(change.session, account, wanted, change.now_us)

    @api.post("/own/plan-requests", SubscriptionChange, TAG)
    @needs(Permission.OWN_WRITE)
    def ask_for_plan(body: PlanAsked) -> Answer:
        """Ask who bills the account for a plan besides what it has."""
        account_id = front.scope.account_id
        with front.reading() as session:
            code = front.account(session, account_id).code
        with api.writing("subscription.ask", code, account_id=account_id) as change:
            made = asked_for(body, change.change)
            return change.done(shown_change(change.session, front.scope, made), 201)

    @api.post("/own/plan-forecast", Forecast, TAG, 200)
    @needs(Permission.OWN_WRITE)
    def forecast_plan(body: PlanAsked) -> Forecast:
        """What such a plan would charge if it was given now. Nothing is kept, or asked for."""
        granted = Decision(True, "")
        return forecast_of(front, lambda change: _accepted(change, asked_for(body, change).id, granted))
