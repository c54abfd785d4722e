"""Subscriptions as billing reckons with them: rows, terms, days, and the stretch of service they are in.

A stretch begins when it is subscribed, changed or resumed, and is what due_charges.py charges. Which one it
is is told by the subscription's history, which is never deleted.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.period import BillingCycle, Period, local_date
from pbxbill.billing.subscriptions.due_charges import Standing, Stop
from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion, version_by_id
from pbxbill.billing.subscriptions.plan_terms import PlanTerms, Unpaid
from pbxbill.billing.subscriptions.subscription_times import cycle_of_plan
from pbxbill.errors import InputRefused, check
from pbxbill.store.billing_models import (
    BillingProfileRow,
    ChargeRow,
    IssuerRow,
    SubscriptionChangeRow,
    SubscriptionRow,
)
from pbxbill.store.models import AccountRow

BEGINS = ("subscribe", "change", "quantity", "migrate", "resume")
"""Changes with which a stretch of service begins."""
STOPS = {
    "change": Stop.CHANGE,
    "quantity": Stop.QUANTITY,
    "migrate": Stop.CHANGE,
    "pause": Stop.PAUSE,
    "unpaid": Stop.PAUSE,
    "cancel": Stop.END,
    "end": Stop.END,
}
"""Changes with which one is over, and why; unpaid: where the plan bars what is not paid."""
TAKEN_OVER = "taken_over"
"""What is told of a subscription that another system has charged up to a day: by that."""
BINDS = ("subscribe", "change", "renew")
"""Changes with which a minimum term begins."""


class BillingPlace(NamedTuple):
    """By what days an account is billed."""

    zone: str
    invoice_day: date
    """One on whose like its invoices' periods begin."""


class Happened(NamedTuple):
    """A change that was carried out."""

    id: int
    kind: str
    effective_us: int


@dataclass(slots=True)
class Subscribed:
    """A subscription at work."""

    row: SubscriptionRow
    account: AccountRow
    place: BillingPlace
    version: PlanVersion
    history: list[Happened]
    """What was done, in its order."""
    planned: list[SubscriptionChangeRow]
    """What is to be done, the earliest first."""

    @property
    def terms(self) -> PlanTerms:
        """Of the plan's version that it has now."""
        return self.version.terms

    @property
    def service_from_us(self) -> int:
        """Since when it is charged at all."""
        return self.row.started_us if self.row.trial_ends_us is None else self.row.trial_ends_us

    @property
    def taken_over_us(self) -> int | None:
        """Up to when another system has charged it; None: it began here."""
        return next((x.effective_us for x in self.history if x.kind == TAKEN_OVER), None)

    @property
    def known_from_us(self) -> int:
        """What was before is another system's, and not to be changed."""
        taken_over_us = self.taken_over_us
        return self.row.started_us if taken_over_us is None else min(taken_over_us, self.row.created_us)

    @property
    def cycle(self) -> BillingCycle:
        """Its periods."""
        return cycle_of_plan(self.terms, self.service_from_us, self.place.zone, self.place.invoice_day)

    @property
    def is_barred(self) -> bool:
        """Its service rests until it is paid."""
        return self.row.state == "unpaid" and self.terms.unpaid is Unpaid.BAR

    @property
    def rests(self) -> bool:
        """Nothing of it is charged now."""
        return self.is_barred or self.row.state in {"paused", "ended", "planned"}

    @property
    def beginning(self) -> Happened:
        """The change that the present, or last, stretch began with."""
        found = next((x for x in reversed(self.history) if x.kind in BEGINS), None)
        check(found is not None, "subscription {} never began", self.row.id)
        assert found is not None
        return found

    @property
    def from_us(self) -> int:
        """From when the stretch is to be paid."""
        return max(self.beginning.effective_us, self.service_from_us)

    @property
    def next_stop(self) -> SubscriptionChangeRow | None:
        """The first planned change with which the stretch is over."""
        return next((x for x in self.planned if x.kind in STOPS), None)

    @property
    def agreed(self) -> dict[str, int]:
        """Prices agreed with the account."""
        prices: dict[str, int] = json.loads(self.row.overrides)
        return prices

    @property
    def term(self) -> Period | None:
        """The minimum term that it is in."""
        if self.row.term_ends_us is None:
            return None
        began = next((x.effective_us for x in reversed(self.history) if x.kind in BINDS), 0)
        return Period(max(began, self.service_from_us), self.row.term_ends_us)

    def standing(self, session: Session, stops_us: int | None, stop: Stop) -> Standing:
        """The stretch as due_charges takes it."""
        beginning, from_us = self.beginning, self.from_us
        fresh = self.row.charged_to_us == from_us
        return Standing(
            key=f"s{self.row.id}.{beginning.id}",
            cycle=self.cycle,
            from_us=from_us,
            charged_to_us=max(self.row.charged_to_us, from_us),
            quantity=self.row.quantity,
            agreed=self.agreed,
            set_up=fresh and self._wants_set_up(session, beginning),
            served_to_us=self._served_to(beginning),
            stops_us=stops_us,
            stop=stop,
            term=self.term,
            taken_over_us=self.taken_over_us,
            minimum_from_us=self._minimum_from_us(beginning),
        )

    def _minimum_from_us(self, beginning: Happened) -> int:
        """Since when it is served on the terms of a stretch, whatever its quantity was."""
        bounds = [x for x in self.history if x.kind in BEGINS or x.kind in STOPS]
        place = bounds.index(beginning)
        while place and bounds[place].kind == "quantity" and bounds[place - 1].kind in BEGINS:
            place -= 1
        return max(bounds[place].effective_us, self.service_from_us)

    def _wants_set_up(self, session: Session, beginning: Happened) -> bool:
        if self.taken_over_us is not None:
            return beginning.kind == "change" and self.terms.set_up_on_change
        if beginning.kind == "subscribe" or (beginning.kind == "change" and self.terms.set_up_on_change):
            return True
        if self._stop_before(beginning).effective_us < self.service_from_us:
            return True  # in the trial: what was charged of it all the same was given back
        # Whoever changed, or could not pay, before anything was charged owes it still.
        charged = select(ChargeRow.id).where(ChargeRow.subscription_id == self.row.id).limit(1)
        return session.scalar(charged) is None

    def _served_to(self, beginning: Happened) -> int | None:
        if beginning.kind == "subscribe":
            return None
        stop = self._stop_before(beginning)
        return stop.effective_us if stop.effective_us > self.service_from_us else None

    def _stop_before(self, beginning: Happened) -> Happened:
        """With what the stretch before was over."""
        if beginning.kind != "resume":
            return beginning
        earlier = self.history[: self.history.index(beginning)]
        return next((x for x in reversed(earlier) if x.kind in STOPS), beginning)


def billing_place(session: Session, account: AccountRow) -> BillingPlace:
    """The zone and the invoice day of an account, by its profile and its issuer."""
    profile = session.get(BillingProfileRow, account.id)
    zone = profile.zone if profile is not None else ""
    if not zone:
        issuer = None if account.parent_id is None else session.get(IssuerRow, account.parent_id)
        zone = issuer.zone if issuer is not None else "UTC"
    if profile is not None and profile.anchor:
        return BillingPlace(zone, date.fromisoformat(profile.anchor))
    return BillingPlace(zone, local_date(account.created_us, zone))


def locked_subscriptions(
    session: Session, account_id: int, ids: Sequence[int] = (), *, until_us: int | None = None
) -> list[Subscribed]:
    """An account's subscriptions that have not ended, or some of them, for this transaction alone.

    until_us: only those of which something is due up to then, or that wait for funds.
    """
    query = select(SubscriptionRow).where(SubscriptionRow.account_id == account_id)
    query = query.where(SubscriptionRow.id.in_(ids)) if ids else query.where(SubscriptionRow.state != "ended")
    if until_us is not None:
        query = query.where((SubscriptionRow.due_us <= until_us) | (SubscriptionRow.state == "unpaid"))
    rows = session.scalars(
        query.order_by(SubscriptionRow.id).with_for_update().execution_options(populate_existing=True)
    ).all()
    return _read(session, account_id, rows) if rows else []


def locked_subscription(session: Session, subscription_id: int) -> Subscribed:
    """A subscription that has not ended, for this transaction alone; InputRefused if there is none."""
    account_id = session.scalar(
        select(SubscriptionRow.account_id).where(SubscriptionRow.id == subscription_id)
    )
    if account_id is None:
        raise InputRefused(f"no subscription {subscription_id}; `pbxbill subscriptions list` shows them")
    found = locked_subscriptions(session, account_id, [subscription_id])[0]
    if found.row.state == "ended":
        raise InputRefused(f"subscription {subscription_id} has ended; subscribe anew")
    return found


def read_again(session: Session, subscribed: Subscribed) -> Subscribed:
    """The same after something of it was changed."""
    session.flush()
    return _read(session, subscribed.account.id, [subscribed.row])[0]


def _read(session: Session, account_id: int, rows: Sequence[SubscriptionRow]) -> list[Subscribed]:
    account = session.get_one(AccountRow, account_id)
    place = billing_place(session, account)
    by_id: dict[int, Subscribed] = {
        row.id: Subscribed(row, account, place, version_by_id(session, row.plan_version_id), [], [])
        for row in rows
    }
    changes = session.scalars(
        select(SubscriptionChangeRow)
        .where(
            SubscriptionChangeRow.subscription_id.in_(by_id),
            SubscriptionChangeRow.state.in_(("done", "planned")),
        )
        .order_by(SubscriptionChangeRow.effective_us, SubscriptionChangeRow.id)
    )
    done: list[SubscriptionChangeRow] = []
    for change in changes:
        if change.state == "done":
            done.append(change)
        elif change.subscription_id is not None:
            by_id[change.subscription_id].planned.append(change)
    # Done later is later, whatever was planned when.
    for change in sorted(done, key=lambda x: (x.effective_us, x.decided_us or 0, x.id)):
        happened = Happened(change.id, change.kind, change.effective_us)
        if change.subscription_id is not None:  # as the query has it
            by_id[change.subscription_id].history.append(happened)
    return list(by_id.values())


def write_change(  # noqa: PLR0913  # one parameter per column
    session: Session,
    row: SubscriptionRow,
    kind: str,
    *,
    effective_us: int,
    now_us: int,
    state: str = "planned",
    plan_version_id: int | None = None,
    quantity: int | None = None,
    reason: str = "",
    by: str = "",
) -> SubscriptionChangeRow:
    """Write a line of a subscription's history."""
    change = SubscriptionChangeRow(
        subscription_id=row.id,
        kind=kind,
        plan_version_id=plan_version_id,
        quantity=quantity,
        effective_us=effective_us,
        state=state,
        reason=reason[:300],
        requested_by=by[:64],
        requested_us=now_us,
        decided_us=now_us if state == "done" else None,
    )
    session.add(change)
    session.flush()
    return change
