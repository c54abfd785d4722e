"""Subscriptions: plans that accounts have, and what happens to them now or later."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import offered_to, version_by_id
from pbxbill.billing.subscriptions.plan_terms import MAX_QUANTITY, ChangeAt
from pbxbill.billing.subscriptions.subscribing import (
    NewSubscription,
    Wanted,
    When,
    cancel,
    change,
    pause,
    resume,
    subscribe,
    withdraw_change,
)
from pbxbill.listing.subscriptions import SUBSCRIPTIONS
from pbxbill.listing.users import told_person
from pbxbill.money import format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import (
    Amount,
    Id,
    Line,
    Moment,
    Money,
    Sent,
    left_out,
    moment,
    moment_or_none,
    money,
)
from pbxbill.web.api.forecasts import Forecast, forecast_of
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, billed_account, conflicts, field, found
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Change, Front, needs

TAG = "Subscriptions"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
Why = Annotated[Line, StringConstraints(max_length=200)]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
MOST_CHANGES = 200


class SubscriptionPath(Sent):
    """A subscription, by its id."""

    subscription_id: Id


class ChangePath(SubscriptionPath):
    """What is planned for a subscription."""

    change_id: Id


class NewSubscriptionBody(Sent):
    """What an account subscribes to."""

    plan: Name = Field(description="Of whoever bills the account.")
    quantity: Quantity = 1
    prices: Annotated[dict[Name, Amount], Field(max_length=40)] = Field(
        default={}, description="Agreed with this account, by the names of the plan's charges."
    )
    begins: SentMoment = left_out("Default: now.")
    trial: bool = Field(default=True, description="With the plan's days of trial, if it has some.")
    reason: Why = ""


class WhenBody(Sent):
    """When it happens, and why."""

    when: Literal["now", "cycle_end"] = "now"
    at: SentMoment = left_out("At a moment instead.")
    reason: Why = ""


class ChangeBody(Sent):
    """What a subscription changes to."""

    plan: Name = left_out("Default: it stays.")
    quantity: Quantity = left_out("Default: it stays.")
    when: Literal["now", "cycle_end"] = left_out("Default: as the plan says.")
    at: SentMoment = left_out("At a moment instead.")
    reason: Why = ""


class SubscriptionChange(BaseModel):
    """What happened to a subscription, or is planned or asked for."""

    id: int
    kind: str
    plan: str | None
    quantity: int | None
    effective: Moment
    state: str = Field(description="planned, done, withdrawn, requested, refused.")
    reason: str
    by: str
    decided_by: str


class Subscription(BaseModel):
    """A plan that an account has."""

    id: int
    account: str
    account_id: int
    plan: str
    plan_id: int
    version: int
    quantity: int
    state: str = Field(description="trial, active, paused, unpaid or ended.")
    prices: dict[str, Money] = Field(description="Agreed with this account.")
    started: Moment
    trial_ends: Moment | None
    term_ends: Moment | None
    ends: Moment | None
    charged_to: Moment
    next: Moment | None = Field(description="When something is to be done about it.")
    changes: list[SubscriptionChange] = Field(description="The newest first.")


class SubscriptionDone(BaseModel):
    """What a request did."""

    subscription: Subscription
    charge_ids: list[int] = Field(description="Charges that were made.")
    short: Money | None = Field(description="What it costs, where the wallet cannot pay it.")


def subscriptions(api: Api) -> None:
    """Subscriptions of accounts in scope."""
    front = api.front
    declare_list(api, "/subscriptions", SUBSCRIPTIONS, TAG)
    declare_file(api, "/subscriptions.csv", SUBSCRIPTIONS, TAG)

    @api.get("/subscriptions/<int:subscription_id>", Subscription, TAG, moving=("charged_to", "next"))
    @needs(Permission.ACCOUNTS_READ)
    def get_subscription(path: SubscriptionPath) -> Subscription:
        """One subscription, with its history and what is to come."""
        with front.reading() as session:
            return shown_subscription(session, front.scope, _seen(front, session, path.subscription_id))

    def begun(path: AccountPath, body: NewSubscriptionBody, written: Change) -> BroughtUp:
        account = billed_account(front, written.session, path.account_id)
        with field("plan"):
            version = offered_to(written.session, account, body.plan)
        new = NewSubscription(
            version,
            body.quantity,
            body.prices,
            from_us=at_us(body.begins),
            trial=body.trial,
            by=front.actor.name,
            reason=body.reason,
        )
        return subscribe(written.session, written.books, account, new, written.now_us)

    @api.post("/accounts/<int:account_id>/subscriptions", SubscriptionDone, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def subscribe_account(path: AccountPath, body: NewSubscriptionBody) -> Answer:
        """Subscribe an account to a plan of whoever bills it."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("subscription.begin", code, account_id=path.account_id) as written:
            done = begun(path, body, written.change)
            return written.done(shown_done(written.session, front.scope, done), 201)

    @api.post("/accounts/<int:account_id>/subscription-forecast", Forecast, TAG, 200)
    @needs(Permission.ACCOUNTS_WRITE)
    def forecast_subscription(path: AccountPath, body: NewSubscriptionBody) -> Forecast:
        """What a subscription would cost. Nothing is kept. 409: it cannot be done."""
        with front.reading() as session:
            billed_account(front, session, path.account_id)
        with conflicts():
            return forecast_of(front, lambda tried: begun(path, body, tried))

    @api.patch("/subscriptions/<int:subscription_id>", SubscriptionDone, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def change_subscription(path: SubscriptionPath, body: ChangeBody) -> Answer:
        """Change the plan or the quantity; what was paid for the rest of the period is reckoned."""
        account = _account_of(front, path.subscription_id)
        _check_says_what(body)
        with api.writing("subscription.change", account.code, account_id=account.id) as written:
            done = _changed(front, path, body, written.change)
            return written.done(shown_done(written.session, front.scope, done))

    @api.post("/subscriptions/<int:subscription_id>/forecast", Forecast, TAG, 200)
    @needs(Permission.ACCOUNTS_WRITE)
    def forecast_change(path: SubscriptionPath, body: ChangeBody) -> Forecast:
        """What a change of plan or quantity would give back and charge. Nothing is kept."""
        _account_of(front, path.subscription_id)
        _check_says_what(body)
        return forecast_of(front, lambda tried: _changed(front, path, body, tried))

    _declare_events(api)


def _check_says_what(body: ChangeBody) -> None:
    wanted: Any = body
    if wanted.plan is None and wanted.quantity is None:
        raise Refused(422, "Say what to change: plan, quantity.")


def _changed(front: Front, path: SubscriptionPath, body: ChangeBody, written: Change) -> BroughtUp:
    wanted: Any = body
    session = written.session
    row = _seen(front, session, path.subscription_id)
    version = None
    if wanted.plan is not None:
        with field("plan"):
            version = offered_to(session, session.get_one(AccountRow, row.account_id), wanted.plan)
    at = None if wanted.when is None else ChangeAt(wanted.when)
    asked = Wanted(version, wanted.quantity, at, at_us(wanted.at), body.reason, front.actor.name)
    with conflicts():
        return change(session, written.books, path.subscription_id, asked, written.now_us)


def _declare_events(api: Api) -> None:
    front = api.front

    def happens(name: str, rule: str, use_case: Callable[..., BroughtUp], about: str) -> None:
        def happen(path: SubscriptionPath, body: WhenBody) -> Answer:
            account = _account_of(front, path.subscription_id)
            when = When(ChangeAt(body.when), at_us(body.at), body.reason, front.actor.name)
            with api.writing(f"subscription.{name}", account.code, account_id=account.id) as written:
                _seen(front, written.session, path.subscription_id)
                with conflicts():
                    done = use_case(
                        written.session, written.books, path.subscription_id, when, written.now_us
                    )
                return written.done(shown_done(written.session, front.scope, done), 201)

        happen.__name__, happen.__doc__ = f"{name}_subscription", about
        declared = needs(Permission.ACCOUNTS_WRITE)(happen)
        api.post(f"/subscriptions/<int:subscription_id>/{rule}", SubscriptionDone, TAG)(declared)

    happens("pause", "pause", pause, "Let it rest: no service and no charges until it is resumed.")
    happens("resume", "resumption", resume, "Let a paused subscription go on.")
    happens("cancel", "cancellation", cancel, "End it; within its minimum term that costs the plan's fee.")

    @api.delete("/subscriptions/<int:subscription_id>/changes/<int:change_id>", TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def withdraw_subscription_change(path: ChangePath) -> Answer:
        """Take back what was planned and has not happened. 409: it happened."""
        account = _account_of(front, path.subscription_id)
        with api.writing("subscription.withdraw", account.code, account_id=account.id) as written:
            row = written.session.get(SubscriptionChangeRow, path.change_id)
            if row is None or row.subscription_id != path.subscription_id:
                raise Refused(404)
            with conflicts():
                withdraw_change(written.session, path.change_id, written.now_us, front.actor.name)
            return written.done(None)


def _seen(front: Front, session: Session, id: int) -> SubscriptionRow:
    return found(session, SubscriptionRow, id, front.scope.among(SubscriptionRow.account_id))


def _account_of(front: Front, id: int) -> AccountRow:
    """Whose subscription it is, to be changed by who bills it."""
    with front.reading() as session:
        return billed_account(front, session, _seen(front, session, id).account_id)


def shown_done(session: Session, scope: Scope, done: BroughtUp) -> SubscriptionDone:
    """What a use case did."""
    short = done.short
    return SubscriptionDone(
        subscription=shown_subscription(session, scope, done.subscribed.row),
        charge_ids=list(done.charge_ids),
        short=None if short is None else money(short.needed, unit_of(session, short.unit)),
    )


def shown_subscription(session: Session, scope: Scope, row: SubscriptionRow) -> Subscription:
    """As it stands."""
    version = version_by_id(session, row.plan_version_id)
    unit = unit_of(session, version.terms.unit)
    changes = session.scalars(
        select(SubscriptionChangeRow)
        .where(SubscriptionChangeRow.subscription_id == row.id)
        .order_by(SubscriptionChangeRow.id.desc())
        .limit(MOST_CHANGES)
    )
    return Subscription(
        id=row.id,
        account=session.get_one(AccountRow, row.account_id).code,
        account_id=row.account_id,
        plan=version.name,
        plan_id=version.plan_id,
        version=version.number,
        quantity=row.quantity,
        state=row.state,
        prices={
            name: Money(amount=format_amount(price, unit), currency=unit.code)
            for name, price in json.loads(row.overrides).items()
        },
        started=moment(row.started_us),
        trial_ends=moment_or_none(row.trial_ends_us),
        term_ends=moment_or_none(row.term_ends_us),
        ends=moment_or_none(row.ends_us),
        charged_to=moment(row.charged_to_us),
        next=moment_or_none(row.due_us),
        changes=[shown_change(session, scope, x) for x in changes],
    )


def shown_change(session: Session, scope: Scope, row: SubscriptionChangeRow) -> SubscriptionChange:
    """A line of a history."""
    version = None if row.plan_version_id is None else version_by_id(session, row.plan_version_id)
    return SubscriptionChange(
        id=row.id,
        kind=row.kind,
        plan=None if version is None else version.name,
        quantity=row.quantity,
        effective=moment(row.effective_us),
        state=row.state,
        reason=row.reason,
        by=told_person(session, scope, row.requested_by),
        decided_by=told_person(session, scope, row.decided_by),
    )
