"""What customers ask for of their subscriptions: asked by their own keys, decided by who bills them."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.plan_catalogue import offered_to
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.requests import (
    Decision,
    Request,
    decide_request,
    request_change,
    withdraw_request,
)
from pbxbill.errors import check
from pbxbill.listing.own import OWN_SUBSCRIPTIONS
from pbxbill.listing.subscriptions import SUBSCRIPTION_REQUESTS
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Sent, left_out
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import SentMoment, at_us, conflicts, field, found
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
from pbxbill.web.front import needs

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
        account = None
        if row is not None:
            subscription = session.get_one(SubscriptionRow, row.subscription_id)
            account = session.get_one(AccountRow, subscription.account_id)
        if row is None or account is None or not front.scope.covers(account):
            raise Refused(404)
        return row, account

    @api.post("/subscription-requests/<int:request_id>/acceptance", SubscriptionDone, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def accept_request(path: RequestPath, body: Accept) -> Answer:
        """Accept what a customer asks for, and carry it out. 409: it waits no more."""
        with front.reading() as session:
            account = request_of(session, path.request_id)[1]
        sent: Any = body
        with api.writing("request.accept", account.code, account_id=account.id) as change:
            at = None if sent.when is None else ChangeAt(sent.when)
            decision = Decision(True, front.actor.name, body.reason, at, at_us(sent.at))
            with conflicts():
                done = decide_request(change.session, change.books, path.request_id, decision, change.now_us)
            check(done is not None, "what is accepted is carried out")
            assert done is not None  # for mypy
            return change.done(shown_done(change.session, done), 201)

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
                shown_change(change.session, request_of(change.session, path.request_id)[0]), 201
            )

    _declare_own(api)


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
            return shown_subscription(session, own(session, path.subscription_id))

    @api.post("/own/subscriptions/<int:subscription_id>/requests", SubscriptionChange, TAG)
    @needs(Permission.OWN_WRITE)
    def ask_for_change(path: SubscriptionPath, body: Asked) -> Answer:
        """Ask who bills the account for another plan or quantity, or for the end."""
        sent: Any = body
        if body.cancel == (sent.plan is not None or sent.quantity is not None):
            raise Refused(422, "Ask for another plan or quantity, or for the end.")
        with front.reading() as session:
            row = own(session, path.subscription_id)
            account = session.get_one(AccountRow, row.account_id)
        with api.writing("subscription.ask", account.code, account_id=account.id) as change:
            version = None
            if sent.plan is not None:
                with field("plan"):
                    version = offered_to(change.session, account, sent.plan)
            asked = Request(version, sent.quantity, body.cancel, body.reason, front.actor.name)
            with conflicts():
                made = request_change(change.session, path.subscription_id, asked, change.now_us)
            return change.done(shown_change(change.session, made), 201)

    @api.delete("/own/subscription-requests/<int:request_id>", TAG)
    @needs(Permission.OWN_WRITE)
    def withdraw_own_request(path: RequestPath) -> Answer:
        """Take a request back. 409: it is decided."""
        with front.reading() as session:
            row = session.get(SubscriptionChangeRow, path.request_id)
            if row is None:
                raise Refused(404)
            account_id = own(session, row.subscription_id).account_id
        with api.writing("subscription.withdraw", str(path.request_id), account_id=account_id) as change:
            with conflicts():
                withdraw_request(change.session, path.request_id, change.now_us, front.actor.name)
            return change.done(None)
