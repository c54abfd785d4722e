"""What customers ask for and an operator, or their reseller, decides.

Of a subscription: another plan or quantity, or its end. Besides: a new subscription to an offered plan.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import reason_given
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.noticing import Fact, tell
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion, version_by_id
from pbxbill.billing.subscriptions.plan_terms import ChangeAt, PlanKind, checked_quantity
from pbxbill.billing.subscriptions.service import check_bundles
from pbxbill.billing.subscriptions.subscribed import locked_subscription, write_change
from pbxbill.billing.subscriptions.subscribing import (
    NewSubscription,
    Wanted,
    When,
    cancel,
    change,
    check_exchange,
    check_seller,
    subscribe,
)
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow

REQUESTS = ("change", "quantity", "cancel")
MAX_OPEN = 5
"""Requests of one subscription, or for new ones, that wait to be decided."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a customer asks for: a plan, a quantity, or the subscription's end."""

    version: PlanVersion | None = None
    quantity: int | None = None
    cancel: bool = False
    reason: str = ""
    by: str = ""


def request_change(
    session: Session, subscription_id: int, request: Request, now_us: int
) -> SubscriptionChangeRow:
    """Write down what a customer asks for; nothing changes until somebody decides it."""
    subscribed = locked_subscription(session, subscription_id)
    if request.cancel == (request.version is not None or request.quantity is not None):
        raise InputRefused("ask for another plan or quantity, or for the end of the subscription")
    if request.version is not None:
        check_exchange(session, subscribed, request.version)
    waiting = session.scalars(
        select(SubscriptionChangeRow).where(
            SubscriptionChangeRow.subscription_id == subscription_id,
            SubscriptionChangeRow.state == "requested",
        )
    ).all()
    if len(waiting) >= MAX_OPEN:
        raise InputRefused(f"subscription {subscription_id} has {MAX_OPEN} requests that nobody decided yet")
    kind = "cancel" if request.cancel else "quantity" if request.version is None else "change"
    return write_change(
        session,
        subscribed.row,
        kind,
        effective_us=now_us,
        now_us=now_us,
        state="requested",
        plan_version_id=None if request.version is None else request.version.id,
        quantity=None if request.quantity is None else checked_quantity(request.quantity),
        reason=reason_given(request.reason) if request.reason else "",
        by=request.by,
    )


def request_plan(
    session: Session, account: AccountRow, wanted: NewSubscription, now_us: int
) -> SubscriptionChangeRow:
    """Write down that an account asks for a new subscription; it begins when somebody accepts that."""
    version = wanted.version
    check_seller(session, account, version)
    if version.terms.kind is not PlanKind.SERVICE:
        raise InputRefused(f"plan {version.name} is for DIDs, which whoever bills you assigns")
    quantity = checked_quantity(wanted.quantity)
    check_bundles(version.terms, quantity)
    row = SubscriptionChangeRow
    mine = (row.account_id == account.id, row.subscription_id.is_(None), row.state == "requested")
    if len(session.scalars(select(row.id).where(*mine)).all()) >= MAX_OPEN:
        raise InputRefused(f"{MAX_OPEN} plans are asked for already that nobody decided yet")
    made = SubscriptionChangeRow(
        subscription_id=None,
        account_id=account.id,
        kind="subscribe",
        plan_version_id=version.id,
        quantity=quantity,
        effective_us=now_us,
        state="requested",
        reason=reason_given(wanted.reason) if wanted.reason else "",
        requested_by=wanted.by[:64],
        requested_us=now_us,
        decided_us=None,
    )
    session.add(made)
    session.flush()
    return made


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request."""

    accepted: bool
    by: str
    reason: str = ""
    """Needed where it is refused; the customer reads it."""
    at: ChangeAt | None = None
    """None: as the plan says."""
    at_us: int | None = None


def decide_request(
    session: Session, books: Bookkeeper, change_id: int, decision: Decision, now_us: int
) -> BroughtUp | None:
    """Accept a request, which is carried out as any change is, or refuse it with a reason (None)."""
    request = _waiting(session, change_id)
    request.decided_by, request.decided_us = decision.by[:64], now_us
    if not decision.accepted:
        request.state = "refused"
        answer = f"refused: {reason_given(decision.reason)}"
        request.reason = (f"{request.reason}; {answer}" if request.reason else answer)[:300]
        session.flush()
        _tell(session, request, decision, now_us)
        return None
    # The request is kept as it was asked for; what is done of it is a line of its own.
    request.state = "accepted"
    session.flush()
    if request.subscription_id is None:
        done = _begun(session, books, request, decision, now_us)
        _tell(session, request, decision, now_us)
        return done
    _tell(session, request, decision, now_us)
    reason = decision.reason or f"request {change_id} accepted"
    if request.kind == "cancel":
        when = When(decision.at or ChangeAt.NOW, decision.at_us, reason, decision.by)
        return cancel(session, books, request.subscription_id, when, now_us)
    version = None if request.plan_version_id is None else version_by_id(session, request.plan_version_id)
    wanted = Wanted(version, request.quantity, decision.at, decision.at_us, reason, decision.by)
    return change(session, books, request.subscription_id, wanted, now_us)


def _begun(
    session: Session, books: Bookkeeper, request: SubscriptionChangeRow, decision: Decision, now_us: int
) -> BroughtUp:
    if decision.at is ChangeAt.CYCLE_END:
        raise InputRefused("what is new has no period yet: it begins at once, or at a moment that is named")
    account = session.get_one(AccountRow, request.account_id)
    new = NewSubscription(
        version_by_id(session, request.plan_version_id or 0),
        1 if request.quantity is None else request.quantity,
        from_us=decision.at_us,
        by=decision.by,
        reason=decision.reason or f"request {request.id} accepted",
    )
    done = subscribe(session, books, account, new, now_us)
    request.subscription_id = done.subscribed.row.id
    session.flush()
    return done


def asking_account(session: Session, request: SubscriptionChangeRow) -> AccountRow:
    """Whose request, or change, it is."""
    if request.subscription_id is None:
        return session.get_one(AccountRow, request.account_id)
    subscription = session.get_one(SubscriptionRow, request.subscription_id)
    return session.get_one(AccountRow, subscription.account_id)


def _tell(session: Session, request: SubscriptionChangeRow, decision: Decision, now_us: int) -> None:
    account = asking_account(session, request)
    version_id = request.plan_version_id or 0
    if not version_id:
        version_id = session.get_one(SubscriptionRow, request.subscription_id).plan_version_id
    facts: dict[str, Fact] = {
        "plan": version_by_id(session, version_id).name,
        "decision": "approved" if decision.accepted else "rejected",
    }
    if request.subscription_id is not None:
        facts["subscription"] = request.subscription_id
    if decision.reason:
        facts["why"] = decision.reason
    kind = NoticeKind.REQUEST_DECIDED
    tell(session, account.id, kind, key=str(request.id), facts=facts, now_us=now_us)


def withdraw_request(session: Session, change_id: int, now_us: int, by: str = "") -> None:
    """Let a customer take a request back before it is decided."""
    request = _waiting(session, change_id)
    request.state, request.decided_us, request.decided_by = "withdrawn", now_us, by[:64]
    session.flush()


def waiting_requests(
    session: Session, issuer: AccountRow | None = None
) -> list[tuple[SubscriptionChangeRow, str, int | None]]:
    """Requests to be decided, with their account's code and subscription, oldest first; issuer: only its.

    Without a subscription: one is asked for.
    """
    query = (
        select(SubscriptionChangeRow, AccountRow.code, SubscriptionRow.id)
        .outerjoin(SubscriptionRow, SubscriptionRow.id == SubscriptionChangeRow.subscription_id)
        .join(
            AccountRow,
            AccountRow.id == func.coalesce(SubscriptionRow.account_id, SubscriptionChangeRow.account_id),
        )
        .where(SubscriptionChangeRow.state == "requested")
        .order_by(SubscriptionChangeRow.id)
    )
    if issuer is not None:
        query = query.where(AccountRow.parent_id == issuer.id)
    return [(row, code, id) for row, code, id in session.execute(query)]


def _waiting(session: Session, change_id: int) -> SubscriptionChangeRow:
    found = session.get(SubscriptionChangeRow, change_id)
    if found is not None and found.subscription_id is not None:
        locked_subscription(session, found.subscription_id)
        session.refresh(found)
    elif found is not None:
        session.refresh(found, with_for_update=True)
    if found is None or found.state != "requested":
        state = "" if found is None else f": it is {found.state}"
        raise InputRefused(f"no request {change_id} that waits to be decided{state}")
    return found
