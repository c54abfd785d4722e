"""What an account can do by its subscriptions: the tariffs of its calls, its bundles, calls to its DIDs.

Called in the transaction that changes a subscription, so that both are durable or neither is. An unpaid or
paused subscription gives no service: its bundles rest and go on where they were, its DID cannot be called,
and its tariff is no longer the account's. Calls to other DIDs stay charged as they were: without an inbound
tariff they would be free.
"""

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.plan_catalogue import version_by_id
from pbxbill.billing.subscriptions.plan_terms import PlanKind, PlanTerms, Unpaid
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import bump_catalogue, tariff_of_issuer
from pbxbill.store.billing_models import DidRow, SubscriptionRow
from pbxbill.store.bundles import bundle_of_issuer, give_bundle
from pbxbill.store.catalogue_models import AccountBundleRow, BundleRow
from pbxbill.store.models import AccountRow, EndpointRow, TariffRow

SERVING = ("trial", "active")
"""States of subscriptions that give service."""
MAX_BUNDLES = 100
"""Of one plan times the quantity: every call of the account looks at each."""
OURS = ("paused", "unpaid")
"""What a DID's endpoint may be because of its subscription; suspended it is by a limit or by hand."""


def begin_service(
    session: Session, subscription: SubscriptionRow, terms: PlanTerms, windows_from_us: int
) -> None:
    """Give what a plan brings; windows_from_us: on whose day the windows of its bundles begin."""
    account = session.get_one(AccountRow, subscription.account_id)
    check_bundles(terms, subscription.quantity)
    _give(session, account, wanted_bundles(terms, subscription.quantity), windows_from_us)
    set_tariffs(session, account)
    set_did(session, subscription, terms)


def change_service(
    session: Session,
    subscription: SubscriptionRow,
    before: tuple[PlanTerms, int],
    after: tuple[PlanTerms, int],
    at_us: int,
    windows_from_us: int,
) -> None:
    """From one plan and quantity to another; bundles that both bring go on."""
    account = session.get_one(AccountRow, subscription.account_id)
    check_bundles(*after)
    old, new = wanted_bundles(*before), wanted_bundles(*after)
    _take(session, account, old - new, at_us)
    _give(session, account, new - old, windows_from_us)
    set_tariffs(session, account, left=before[0])
    set_did(session, subscription, after[0])


def rest_service(session: Session, subscription: SubscriptionRow, terms: PlanTerms, at_us: int) -> None:
    """Give nothing until go_on(), or for ever: the subscription is paused, unpaid or ended."""
    account = session.get_one(AccountRow, subscription.account_id)
    _take(session, account, wanted_bundles(terms, subscription.quantity), at_us)
    set_tariffs(session, account, left=terms)
    set_did(session, subscription, terms)


def go_on(
    session: Session, subscription: SubscriptionRow, terms: PlanTerms, rested_us: int, windows_from_us: int
) -> None:
    """Give again what rested; bundles go on with what was left of them."""
    account = session.get_one(AccountRow, subscription.account_id)
    wanted = wanted_bundles(terms, subscription.quantity)
    for name, count in wanted.items():
        rested = session.scalars(
            select(AccountBundleRow)
            .join(BundleRow, BundleRow.id == AccountBundleRow.bundle_id)
            .where(
                AccountBundleRow.account_id == account.id,
                BundleRow.name == name,
                AccountBundleRow.to_us == rested_us,
            )
            .order_by(AccountBundleRow.id)
            .limit(count)
        ).all()
        for row in rested:
            row.to_us = None
        wanted[name] -= len(rested)
    session.flush()
    bump_catalogue(session)
    _give(session, account, wanted, windows_from_us)
    set_tariffs(session, account)
    set_did(session, subscription, terms)


def wanted_bundles(terms: PlanTerms, quantity: int) -> Counter[str]:
    """How many of each bundle so many of a plan bring."""
    return Counter(dict.fromkeys(terms.bundles, quantity)) if quantity else Counter()


def check_bundles(terms: PlanTerms, quantity: int) -> None:
    """Refuse more bundles than calls could be charged with in time."""
    if len(terms.bundles) * quantity > MAX_BUNDLES:
        raise InputRefused(
            f"{quantity} of this plan would bring {len(terms.bundles) * quantity} bundles; one subscription "
            f"brings up to {MAX_BUNDLES}; make a bundle with more pieces"
        )


def set_tariffs(session: Session, account: AccountRow, left: PlanTerms | None = None) -> None:
    """Let the newest subscription that serves say which; if none does, that of the plan left ends."""
    tariff = inbound = ""
    for terms in _serving(session, account):
        tariff, inbound = tariff or terms.tariff, inbound or terms.inbound_tariff
    if tariff:
        account.tariff_id = tariff_of_issuer(session, account.parent_id, tariff).id
    elif left is not None and left.tariff:
        present = None if account.tariff_id is None else session.get(TariffRow, account.tariff_id)
        if present is not None and present.name == left.tariff:
            account.tariff_id = None
    if inbound:
        account.inbound_tariff_id = tariff_of_issuer(session, account.parent_id, inbound).id
    session.flush()


def _serving(session: Session, account: AccountRow) -> Iterable[PlanTerms]:
    rows = session.scalars(
        select(SubscriptionRow)
        .where(SubscriptionRow.account_id == account.id, SubscriptionRow.state.in_((*SERVING, "unpaid")))
        .order_by(SubscriptionRow.started_us.desc(), SubscriptionRow.id.desc())
    )
    for row in rows:
        terms = version_by_id(session, row.plan_version_id).terms
        if terms.kind is PlanKind.SERVICE and serves(row, terms):
            yield terms


def serves(subscription: SubscriptionRow, terms: PlanTerms) -> bool:
    """Whether a subscription gives service now."""
    kept = subscription.state == "unpaid" and terms.unpaid is Unpaid.KEEP
    return kept or subscription.state in SERVING


def set_did(session: Session, subscription: SubscriptionRow, terms: PlanTerms) -> None:
    """Let calls to the subscription's DID pass by the plan's tariff, or not, as its state says."""
    if terms.kind is not PlanKind.DID:
        return
    did = session.scalar(select(DidRow).where(DidRow.subscription_id == subscription.id))
    endpoint = None if did is None or did.endpoint_id is None else session.get(EndpointRow, did.endpoint_id)
    if endpoint is None:
        return
    account = session.get_one(AccountRow, subscription.account_id)
    inbound = terms.inbound_tariff
    endpoint.tariff_id = tariff_of_issuer(session, account.parent_id, inbound).id if inbound else None
    if serves(subscription, terms):
        endpoint.status = "active" if endpoint.status in OURS else endpoint.status
    elif endpoint.status == "active" or endpoint.status in OURS:
        endpoint.status = subscription.state if subscription.state in OURS else "paused"
    session.flush()


def _give(session: Session, account: AccountRow, bundles: Counter[str], from_us: int) -> None:
    for name, count in bundles.items():
        bundle = bundle_of_issuer(session, account.parent_id, name)
        for _ in range(count):
            give_bundle(session, account, bundle, from_us)


def _take(session: Session, account: AccountRow, bundles: Counter[str], at_us: int) -> None:
    for name, count in bundles.items():
        # Those given last first; one that was taken by hand is not there, which is all right.
        rows = session.scalars(
            select(AccountBundleRow)
            .join(BundleRow, BundleRow.id == AccountBundleRow.bundle_id)
            .where(
                AccountBundleRow.account_id == account.id,
                BundleRow.name == name,
                (AccountBundleRow.to_us.is_(None)) | (AccountBundleRow.to_us > at_us),
            )
            .order_by(AccountBundleRow.from_us.desc(), AccountBundleRow.id.desc())
            .limit(count)
        ).all()
        for row in rows:
            row.to_us = max(at_us, row.from_us)
    if bundles:
        session.flush()
        bump_catalogue(session)
