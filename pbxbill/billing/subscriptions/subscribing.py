"""Subscribes accounts to plans, and changes, pauses, resumes and cancels what they have.

What is to happen now happens at once, with its charges; what is to happen later is written down and carried
out when its time comes (collecting.py). What would change what is on an invoice already is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import reason_given
from pbxbill.billing.subscriptions.carrying_out import WAITS_FOR_PAYMENT, plan_end
from pbxbill.billing.subscriptions.collecting import BroughtUp, bring_up_to
from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion, newest_version
from pbxbill.billing.subscriptions.plan_terms import (
    ChangeAt,
    PlanKind,
    Timing,
    agreed_prices,
    checked_quantity,
)
from pbxbill.billing.subscriptions.service import check_bundles
from pbxbill.billing.subscriptions.subscribed import (
    TAKEN_OVER,
    Subscribed,
    billing_place,
    locked_subscription,
    read_again,
    write_change,
)
from pbxbill.billing.subscriptions.subscription_times import beginning, told_apart
from pbxbill.billing.subscriptions.taking_over import taken_over, write_taken_over
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount
from pbxbill.store.accounts import open_wallet, unit_of
from pbxbill.store.billing_models import (
    BillingProfileRow,
    PlanRow,
    PlanVersionRow,
    SubscriptionChangeRow,
    SubscriptionRow,
)
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, WalletRow


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """What an account subscribes to."""

    version: PlanVersion
    quantity: int = 1
    prices: Mapping[str, str] = field(default_factory=dict)
    """Agreed with this account, by the names of the plan's charges, as people write them."""
    from_us: int | None = None
    """None: now."""
    trial: bool = True
    """Whether it gets the plan's trial."""
    charged_to_us: int | None = None
    """Up to when another system has charged it: nothing before is charged here, no set-up and no trial."""
    term_until_us: int | None = None
    """When its minimum term ends, as agreed elsewhere; None: as the plan says."""
    by: str = ""
    reason: str = ""


def subscribe(
    session: Session, books: Bookkeeper, account: AccountRow, new: NewSubscription, now_us: int
) -> BroughtUp:
    """Subscribe an account; service and charges begin at once, or at a later moment that is named.

    A prepaid account that cannot pay yet has an unpaid subscription, which begins when it can.
    """
    if new.version.terms.kind is PlanKind.DID:
        raise InputRefused(
            f"plan {new.version.name} is for DIDs: `pbxbill dids assign NUMBER {account.code} --plan` uses it"
        )
    return begin(session, books, account, new, now_us)


def begin(
    session: Session, books: Bookkeeper, account: AccountRow, new: NewSubscription, now_us: int
) -> BroughtUp:
    """Subscribe an account to a plan of any kind."""
    terms = new.version.terms
    check_seller(session, account, new.version)
    quantity = checked_quantity(new.quantity)
    check_bundles(terms, quantity)
    unit = unit_of(session, terms.unit)
    from_us = now_us if new.from_us is None else new.from_us
    first_us = from_us if new.charged_to_us is None else new.charged_to_us
    if first_us < now_us:
        _check_not_billed(session, account, first_us)
    place = billing_place(session, account)
    _ensure_wallet(session, account, terms.unit)
    if not new.trial or new.charged_to_us is not None:
        terms = replace(terms, trial_days=0)
    started = beginning(terms, from_us, place.zone, place.invoice_day)
    if new.charged_to_us is not None or new.term_until_us is not None:
        started = taken_over(terms, started, (new.charged_to_us, new.term_until_us), from_us, now_us)
    row = SubscriptionRow(
        account_id=account.id,
        plan_version_id=new.version.id,
        quantity=quantity,
        state="planned",
        overrides=json.dumps(agreed_prices(terms, unit, new.prices)),
        started_us=from_us,
        trial_ends_us=started.trial_ends_us,
        term_ends_us=None if started.term is None else started.term.to_us,
        ends_us=started.ends_us,
        paused_us=None,
        charged_to_us=started.service_from_us,
        due_us=from_us,
        reminded_us=None,
        created_us=now_us,
    )
    session.add(row)
    session.flush()
    change = write_change(
        session,
        row,
        "subscribe",
        effective_us=from_us,
        now_us=now_us,
        plan_version_id=new.version.id,
        quantity=quantity,
        reason=new.reason,
        by=new.by,
    )
    subscribed = Subscribed(row, account, place, new.version, [], [change])
    plan_end(session, subscribed, started.ends_us, now_us)
    write_taken_over(session, row, started, new.charged_to_us, now_us)
    return bring_up_to(session, books, read_again(session, subscribed), now_us, now_us)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a subscription is to be changed."""

    version: PlanVersion | None = None
    quantity: int | None = None
    at: ChangeAt | None = None
    """None: as the plan says that it changes to."""
    at_us: int | None = None
    """A moment instead."""
    reason: str = ""
    by: str = ""


def change(
    session: Session, books: Bookkeeper, subscription_id: int, wanted: Wanted, now_us: int
) -> BroughtUp:
    """Change plan or quantity, now or later; the day of the change belongs to what it is changed to."""
    subscribed = _up_to_now(session, books, subscription_id, now_us)
    kind = "quantity" if wanted.version is None else "change"
    return plan_change(session, books, subscribed, wanted, now_us, kind)


def plan_change(
    session: Session, books: Bookkeeper, subscribed: Subscribed, wanted: Wanted, now_us: int, kind: str
) -> BroughtUp:
    """Write a change of a subscription that is locked and up to date, and carry it out if it is due."""
    version = subscribed.version if wanted.version is None else wanted.version
    quantity = subscribed.row.quantity if wanted.quantity is None else checked_quantity(wanted.quantity)
    if (version.id, quantity) == (subscribed.version.id, subscribed.row.quantity):
        raise InputRefused(f"subscription {subscribed.row.id} has {quantity} of {version.shown} already")
    check_exchange(session, subscribed, version)
    check_bundles(version.terms, quantity)
    moment_us = _effective_us(subscribed, wanted.at_us, wanted.at or version.terms.change, now_us)
    write_change(
        session,
        subscribed.row,
        kind,
        effective_us=_checked_moment(session, subscribed, moment_us, now_us),
        now_us=now_us,
        plan_version_id=None if wanted.version is None else version.id,
        quantity=wanted.quantity,
        reason=wanted.reason,
        by=wanted.by,
    )
    return _go_on_to_now(session, books, subscribed, now_us)


@dataclass(frozen=True, slots=True)
class When:
    """When something is to happen to a subscription, why, and who says so."""

    at: ChangeAt = ChangeAt.NOW
    at_us: int | None = None
    """A moment instead."""
    reason: str = ""
    by: str = ""


def pause(session: Session, books: Bookkeeper, subscription_id: int, when: When, now_us: int) -> BroughtUp:
    """Let a subscription rest: no service and no charges until it is resumed."""
    subscribed = _up_to_now(session, books, subscription_id, now_us)
    if subscribed.row.state == "paused":
        raise InputRefused(f"subscription {subscription_id} is paused already")
    return _plan(session, books, subscribed, "pause", when, now_us)


def resume(session: Session, books: Bookkeeper, subscription_id: int, when: When, now_us: int) -> BroughtUp:
    """Let a paused subscription go on."""
    subscribed = _up_to_now(session, books, subscription_id, now_us)
    moment_us = _effective_us(subscribed, when.at_us, when.at, now_us)
    will_pause = any(x.kind == "pause" and x.effective_us < moment_us for x in subscribed.planned)
    if subscribed.row.state != "paused" and not will_pause:
        raise InputRefused(f"subscription {subscription_id} is {subscribed.row.state} then, not paused")
    return _plan(session, books, subscribed, "resume", when, now_us)


def cancel(session: Session, books: Bookkeeper, subscription_id: int, when: When, now_us: int) -> BroughtUp:
    """End a subscription; leaving within its minimum term costs the plan's cancellation fee."""
    subscribed = _up_to_now(session, books, subscription_id, now_us)
    for planned in subscribed.planned:
        if planned.kind == "cancel":
            planned.state, planned.decided_us = "withdrawn", now_us
    return _plan(session, books, read_again(session, subscribed), "cancel", when, now_us)


def withdraw_change(session: Session, change_id: int, now_us: int, by: str = "") -> SubscriptionChangeRow:
    """Take back what was planned and has not happened; the subscription goes on as it is."""
    found = session.get(SubscriptionChangeRow, change_id)
    if found is None or found.subscription_id is None or found.state not in {"planned", "requested"}:
        raise InputRefused(f"no change {change_id} that is to come; `pbxbill subscriptions show` lists them")
    subscribed = locked_subscription(session, found.subscription_id)
    session.refresh(found)
    if found.state not in {"planned", "requested"} or found.kind in {"end", "subscribe"}:
        raise InputRefused(f"change {change_id} cannot be taken back: it is {found.kind}, {found.state}")
    found.state, found.decided_us, found.decided_by = "withdrawn", now_us, by[:64]
    subscribed.row.due_us = now_us
    if found.kind == "cancel":
        subscribed.row.ends_us = None
    session.flush()
    return found


def migrate_plan(
    session: Session, books: Bookkeeper, plan: PlanRow, subscription_id: int, wanted: Wanted, now_us: int
) -> BroughtUp | None:
    """Bring one subscription to its plan's newest version, at its next cycle unless said otherwise.

    None: it has that version, or will have it.
    """
    subscribed = _up_to_now(session, books, subscription_id, now_us)
    newest = newest_version(session, plan)
    coming = [x.plan_version_id for x in subscribed.planned if x.plan_version_id is not None]
    if newest.id in [subscribed.version.id, *coming] or subscribed.version.plan_id != plan.id:
        return None
    at = wanted.at or ChangeAt.CYCLE_END
    to_newest = Wanted(version=newest, at=at, at_us=wanted.at_us, reason=wanted.reason, by=wanted.by)
    return plan_change(session, books, subscribed, to_newest, now_us, "migrate")


def to_migrate(session: Session, plan: PlanRow, accounts: list[AccountRow]) -> list[int]:
    """Subscriptions of older versions of a plan; accounts: only theirs."""
    newest = newest_version(session, plan)
    query = (
        select(SubscriptionRow.id)
        .join(PlanVersionRow, PlanVersionRow.id == SubscriptionRow.plan_version_id)
        .where(PlanVersionRow.plan_id == plan.id, PlanVersionRow.id != newest.id)
        .where(SubscriptionRow.state != "ended")
        .order_by(SubscriptionRow.id)
    )
    if accounts:
        query = query.where(SubscriptionRow.account_id.in_([account.id for account in accounts]))
    return list(session.scalars(query))


def _plan(
    session: Session, books: Bookkeeper, subscribed: Subscribed, kind: str, when: When, now_us: int
) -> BroughtUp:
    if subscribed.row.state == "unpaid" and kind in WAITS_FOR_PAYMENT:
        raise InputRefused(f"subscription {subscribed.row.id} is unpaid; it must be paid first, or cancelled")
    moment_us = _effective_us(subscribed, when.at_us, when.at, now_us)
    write_change(
        session,
        subscribed.row,
        kind,
        effective_us=_checked_moment(session, subscribed, moment_us, now_us, is_end=kind == "cancel"),
        now_us=now_us,
        reason=reason_given(when.reason) if when.reason else "",
        by=when.by,
    )
    return _go_on_to_now(session, books, subscribed, now_us)


def _up_to_now(session: Session, books: Bookkeeper, subscription_id: int, now_us: int) -> Subscribed:
    """Locked, and everything that was due before is done."""
    found = bring_up_to(session, books, locked_subscription(session, subscription_id), now_us, now_us)
    if found.subscribed.row.state == "ended":
        raise InputRefused(f"subscription {subscription_id} has ended; subscribe anew")
    return found.subscribed


def _go_on_to_now(session: Session, books: Bookkeeper, subscribed: Subscribed, now_us: int) -> BroughtUp:
    """Carry out what was planned for now or before. What cannot be paid now is refused, not left unpaid."""
    before = subscribed.row.state
    done = bring_up_to(session, books, read_again(session, subscribed), now_us, now_us)
    if done.short is not None and before != "unpaid":
        unit = unit_of(session, done.short.unit)
        raise InputRefused(
            f"this costs {format_amount(done.short.needed, unit)} {unit.code} now, and "
            f"{format_amount(max(0, done.short.free), unit)} {unit.code} are free in the wallet"
        )
    return done


def _effective_us(subscribed: Subscribed, at_us: int | None, at: ChangeAt, now_us: int) -> int:
    if at_us is not None:
        return at_us
    if at is ChangeAt.NOW:  # of what has not begun yet: in the moment in which it would
        return max(now_us, subscribed.row.started_us)
    if subscribed.service_from_us > now_us:
        return subscribed.service_from_us
    return subscribed.cycle.period_of(now_us).to_us


def _checked_moment(
    session: Session, subscribed: Subscribed, at_us: int, now_us: int, *, is_end: bool = False
) -> int:
    """A moment at which a subscription can be changed; InputRefused says which cannot be."""
    row, zone = subscribed.row, subscribed.place.zone
    if subscribed.row.state == "unpaid" and not is_end:
        raise InputRefused(f"subscription {row.id} is unpaid; it must be paid first, or cancelled")
    told = ("remind", "paid", "trial_over", TAKEN_OVER)
    happened = [x.effective_us for x in subscribed.history if x.kind not in told]
    began_us = max([subscribed.known_from_us, *happened])
    if at_us < began_us:
        day, began = told_apart(at_us, began_us, zone)
        raise InputRefused(f"{day} is before what happened to subscription {row.id} last, on {began}")
    if at_us < now_us:
        _check_not_billed(session, subscribed.account, at_us)
        if subscribed.terms.timing is Timing.ARREARS and at_us < row.charged_to_us and not subscribed.rests:
            day, charged = told_apart(at_us, row.charged_to_us, zone)
            raise InputRefused(f"{day} is before {charged}, to which subscription {row.id} is charged")
        _check_not_trued_up(subscribed, at_us)
    later = [x for x in subscribed.planned if x.kind in {"cancel", "end"} and x.effective_us <= at_us]
    if later and not is_end:
        ends, day = told_apart(later[0].effective_us, at_us, zone)
        raise InputRefused(f"subscription {row.id} ends on {ends}; a change comes before that, not on {day}")
    return at_us


def _check_not_trued_up(subscribed: Subscribed, at_us: int) -> None:
    """Refuse what would change a period whose usage was compared with its minimum spend already."""
    charged_to_us = subscribed.row.charged_to_us
    if not subscribed.terms.minimum_spend or subscribed.rests or charged_to_us <= subscribed.from_us:
        return
    trued_up_us = subscribed.cycle.period_of(charged_to_us - 1).from_us
    if subscribed.from_us < trued_up_us and at_us < trued_up_us:
        day, to = told_apart(at_us, trued_up_us, subscribed.place.zone)
        raise InputRefused(
            f"{day} is before {to}, up to which subscription {subscribed.row.id} paid its minimum spend"
        )


def _check_not_billed(session: Session, account: AccountRow, at_us: int) -> None:
    """Refuse what would change what is on an invoice."""
    profile = session.get(BillingProfileRow, account.id)
    billed_to_us = (profile.billed_to_us or 0) if profile is not None else 0
    last_us = session.scalar(
        select(func.max(InvoiceRow.to_us)).where(
            InvoiceRow.account_id == account.id, InvoiceRow.kind == "invoice", InvoiceRow.state != "discarded"
        )
    )
    billed_to_us = max(billed_to_us, last_us or 0)
    if at_us < billed_to_us:
        zone = billing_place(session, account).zone
        day, billed = told_apart(at_us, billed_to_us, zone)
        raise InputRefused(
            f"{day} is before {billed}, up to which account "
            f"{account.code} is invoiced; date it then or later, and correct the invoice by a credit note"
        )


def check_seller(session: Session, account: AccountRow, version: PlanVersion) -> None:
    """Refuse a plan of somebody who does not bill the account, or one that nobody gets any more."""
    if account.parent_id is None:
        raise InputRefused("the operator subscribes to nothing; plans are for resellers and customers")
    if version.issuer_id != account.parent_id:
        seller = session.get_one(AccountRow, version.issuer_id)
        raise InputRefused(
            f"plan {version.name} is offered by {seller.code}, who does not bill {account.code}"
        )
    if session.get_one(PlanRow, version.plan_id).retired_us is not None:
        raise InputRefused(f"plan {version.name!r} is retired; nobody can subscribe to it any more")


def check_exchange(session: Session, subscribed: Subscribed, version: PlanVersion) -> None:
    if version.id == subscribed.version.id:
        return
    if version.plan_id != subscribed.version.plan_id:
        check_seller(session, subscribed.account, version)
    before, after = subscribed.terms, version.terms
    if before.unit != after.unit:
        raise InputRefused(
            f"plan {version.name} is in {after.unit}, not in {before.unit}: cancel that one, and subscribe"
        )
    if before.kind is not after.kind:
        raise InputRefused(f"plan {version.name} is of the kind {after.kind}, the present one {before.kind}")


def _ensure_wallet(session: Session, account: AccountRow, unit: str) -> None:
    held = select(WalletRow.id).where(WalletRow.account_id == account.id, WalletRow.unit == unit)
    if session.scalar(held) is None:
        open_wallet(session, account, unit)
