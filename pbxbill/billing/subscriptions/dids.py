"""Gives DIDs to accounts and takes them back: the number, what it costs, and how calls to it are charged.

A DID with a plan has a subscription: set-up and monthly charges are the plan's, and calls to it are charged
by the plan's inbound tariff. Whoever ends the subscription gives the DID back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.did_inventory import ASSIGNED, did_by_number, hand_out, take_back
from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion
from pbxbill.billing.subscriptions.plan_terms import PlanKind
from pbxbill.billing.subscriptions.service import set_did
from pbxbill.billing.subscriptions.subscribing import NewSubscription, When, begin, cancel
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import DidRow, SubscriptionRow
from pbxbill.store.models import AccountRow


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an account gets a DID by."""

    version: PlanVersion | None = None
    """None: it costs nothing, and calls to it are charged by the account's inbound tariff."""
    prices: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    by: str = ""
    from_us: int | None = None
    """Since when it is charged; None: now. The number is the account's from now on."""
    charged_to_us: int | None = None
    """Up to when another system has charged it, as of any subscription."""
    term_until_us: int | None = None


def assign_did(
    session: Session,
    books: Bookkeeper,
    number: str,
    account: AccountRow,
    wanted: Assignment,
    now_us: int,
) -> tuple[DidRow, BroughtUp | None]:
    """Give a DID to an account, which is charged from now on; a prepaid one is called once it can pay."""
    did = did_by_number(session, number, lock=True)
    version = wanted.version
    if version is not None and version.terms.kind is not PlanKind.DID:
        raise InputRefused(f"plan {version.name} is no plan for DIDs; its kind is {version.terms.kind}")
    if version is None and (wanted.from_us, wanted.charged_to_us, wanted.term_until_us) != (None, None, None):
        raise InputRefused("without a plan a DID costs nothing: there is nothing to be charged from a day on")
    if wanted.from_us is not None and wanted.from_us > now_us:
        raise InputRefused("a DID is assigned now; what it costs cannot begin later")
    hand_out(session, did, account, now_us)
    if version is None:
        return did, None
    new = NewSubscription(
        version=version,
        prices=wanted.prices,
        from_us=wanted.from_us,
        charged_to_us=wanted.charged_to_us,
        term_until_us=wanted.term_until_us,
        reason=wanted.reason or f"DID {did.number}",
        by=wanted.by,
    )
    done = begin(session, books, account, new, now_us)
    did.subscription_id = done.subscribed.row.id
    session.flush()
    set_did(session, session.get_one(SubscriptionRow, did.subscription_id), version.terms)
    return did, done


def release_did(session: Session, books: Bookkeeper, number: str, when: When, now_us: int) -> DidRow:
    """Take a DID back: its subscription ends, nobody is called there any more, its quarantine begins.

    At a later moment, or the cycle's end, it happens with the end of its subscription.
    """
    did = did_by_number(session, number)
    if did.subscription_id is not None:
        # The subscription's rows are locked before the DID's, here as where a subscription ends by itself.
        cancel(session, books, did.subscription_id, when, now_us)
        session.refresh(did)
        return did
    did = did_by_number(session, number, lock=True)
    if did.state == ASSIGNED and did.subscription_id is not None:
        raise InputRefused(f"DID {did.number} was assigned anew at this moment; look what is there now")
    if when.at_us is not None and when.at_us > now_us:
        raise InputRefused(f"DID {did.number} has no subscription that could end later; release it then")
    take_back(session, did, now_us)
    return did
