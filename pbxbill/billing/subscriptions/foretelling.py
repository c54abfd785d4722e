"""What something done with a subscription gives back and charges, and what it costs from then on.

Told from what was done, in a transaction that the caller undoes where it was only tried: so that what is
told before somebody decides is what happens then.
"""

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.charge import Collection
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import version_by_id
from pbxbill.billing.subscriptions.plan_terms import period_price
from pbxbill.store.billing_models import ChargeRow, SubscriptionChangeRow

ENDS = ("cancel", "end")


@dataclass(frozen=True, slots=True)
class Forecast:
    """Amounts in one unit, none below zero."""

    unit: str
    at_us: int
    """When it happens."""
    given_back: int
    """To the wallet at once, with tax."""
    charged: int
    """From the wallet at once, with tax."""
    invoice_given_back: int
    """On the next invoice, without tax."""
    invoice_charged: int
    lacking: int | None
    """What it costs where the wallet cannot pay it."""
    price: int
    """Of each whole period from then on, without tax."""
    cycle: str
    every: int
    is_over: bool
    """The subscription ends with it."""


def foretold(session: Session, done: BroughtUp, now_us: int) -> Forecast:
    """What was done, for whoever is to know it before."""
    sums = {(is_wallet, is_back): 0 for is_wallet in (True, False) for is_back in (True, False)}
    for charge in session.scalars(select(ChargeRow).where(ChargeRow.id.in_(done.charge_ids))):
        amount = charge.net + charge.tax
        sums[charge.collection == Collection.WALLET, amount < 0] += abs(amount)
    subscribed = done.subscribed
    row, version, quantity = subscribed.row, subscribed.version, subscribed.row.quantity
    planned = _planned(subscribed.planned, now_us)
    if planned is not None and planned.plan_version_id is not None:
        version = version_by_id(session, planned.plan_version_id)
    if planned is not None and planned.quantity is not None:
        quantity = planned.quantity
    names = {x.name for x in version.terms.charges}
    kept = {name: price for name, price in json.loads(row.overrides).items() if name in names}
    return Forecast(
        unit=version.terms.unit,
        at_us=now_us if planned is None else planned.effective_us,
        given_back=sums[True, True],
        charged=sums[True, False],
        invoice_given_back=sums[False, True],
        invoice_charged=sums[False, False],
        lacking=None if done.short is None else done.short.needed,
        price=period_price(version.terms, quantity, kept),
        cycle=version.terms.cycle,
        every=version.terms.every,
        is_over=row.state == "ended" or (planned is not None and planned.kind in ENDS),
    )


def _planned(changes: list[SubscriptionChangeRow], now_us: int) -> SubscriptionChangeRow | None:
    """What was written now for later; the plan's own end is none of it."""
    now = [x for x in changes if x.requested_us == now_us and x.effective_us > now_us and x.kind != "end"]
    return max(now, key=lambda x: x.id, default=None)
