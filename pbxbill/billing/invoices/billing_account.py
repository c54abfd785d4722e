"""Bills one account up to a moment: its subscriptions' charges, and an invoice for every period that is over.

All of it is one transaction of the caller's. Periods that were missed are billed one after the other, each
with the charges that were due by its end. Done again it finds the same invoices; so a caller may let it end
between two periods, commit, and go on.
"""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.billed import RunMemory
from pbxbill.billing.invoices.drafting import Drafted, draft_period
from pbxbill.billing.invoices.issuing import NotIssued, issue
from pbxbill.billing.invoices.preparing import prepare
from pbxbill.billing.profiles import Profile, ProfileTerms, note_billed, profile_of, set_profile
from pbxbill.billing.subscriptions.collecting import UnpaidSubscription, charge_subscriptions
from pbxbill.billing.taxes.tax_conflicts import review_of
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.driver import rows_within

_SUBSCRIBED = "SELECT id FROM subscriptions WHERE account_id = :account_id AND state <> 'ended' LIMIT 1"
_UNITS = "SELECT unit FROM wallets WHERE account_id = :account_id ORDER BY unit"


class BilledInvoice(NamedTuple):
    """An invoice of a period."""

    invoice_id: int
    unit: str
    total: int
    issued: bool
    made: bool
    """By this call; else it was found."""


class AccountBilled(NamedTuple):
    """What billing an account came to."""

    invoices: tuple[BilledInvoice, ...]
    nothing: tuple[str, ...]
    """Why there is no invoice of a period, or it is a draft for review, unit by unit."""
    unpaid: tuple[UnpaidSubscription, ...]
    is_whole: bool = True
    """Nothing is left to do; else it was made to end between two periods."""


def bill_account(  # noqa: PLR0913 what billing an account goes by
    session: Session,
    books: Bookkeeper,
    account_id: int,
    until_us: int,
    now_us: int,
    *,
    run_id: int | None = None,
    drafts_only: bool = False,
    memory: RunMemory | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> AccountBilled:
    """Charge and invoice what is over at a moment; books.announce() after the commit.

    go_on: asked between two periods.
    """
    memory = memory or RunMemory()
    row, profile = _locked(session, account_id)
    invoices: list[BilledInvoice] = []
    nothing: list[str] = []
    subscribed = has_subscriptions(session, account_id)
    for number, period in enumerate(profile.periods_until(until_us) if profile.invoiced else ()):
        if number and not go_on():
            return AccountBilled(tuple(invoices), tuple(nothing), (), is_whole=False)
        if subscribed:
            charge_subscriptions(session, books, account_id, period.to_us, now_us)
        for unit in _units(session, account_id):
            made = draft_period(session, account_id, unit, period, now_us, run_id, memory)
            if not isinstance(made, Drafted):
                nothing.append(f"{unit}: {made.reason}")
                continue
            at_once = profile.terms.invoicing == "issue" and not drafts_only
            issued, why_not = issued_by_itself(session, books, made, now_us, at_once=at_once)
            if why_not:
                nothing.append(f"{unit}: {why_not}")
            invoices.append(BilledInvoice(made.invoice_id, unit, made.total, issued, not made.repeated))
        profile = note_billed(row, profile, period.to_us)
    unpaid: tuple[UnpaidSubscription, ...] = ()
    if subscribed:
        unpaid = charge_subscriptions(session, books, account_id, until_us, now_us).unpaid
    return AccountBilled(tuple(invoices), tuple(nothing), unpaid)


def issued_by_itself(
    session: Session, books: Bookkeeper, made: Drafted, now_us: int, *, at_once: bool
) -> tuple[bool, str]:
    """Issue a draft, if its account wants that and nobody need look at it; whether it is issued, why not."""
    if made.state != "draft":
        return True, ""
    if made.tax_conflict:
        return False, review_of(made.invoice_id, made.tax_conflict)
    if not at_once:
        return False, ""
    outcome = issue(session, books, made.invoice_id, now_us)
    return (False, outcome.reason) if isinstance(outcome, NotIssued) else (True, "")


def prepare_account(session: Session, account_id: int, until_us: int, memory: RunMemory) -> None:
    """Reckon the next period ahead, in a session that only reads."""
    profile = profile_of(session, account_id)
    for period in profile.periods_until(until_us) if profile.invoiced else ():
        for unit in _units(session, account_id):
            prepare(session, account_id, unit, period, memory)
        return


def charge_ahead(session: Session, books: Bookkeeper, account_id: int, until_us: int, now_us: int) -> None:
    """Make the charges of the next period, so that they are there to be reckoned."""
    profile = profile_of(session, account_id)
    if profile.invoiced:
        until_us = min(until_us, profile.next_period().to_us)
    charge_subscriptions(session, books, account_id, until_us, now_us)


def has_subscriptions(session: Session, account_id: int) -> bool:
    """Whether anything may have to be charged."""
    return bool(rows_within(session, _SUBSCRIBED, {"account_id": account_id}))


def _locked(session: Session, account_id: int) -> tuple[BillingProfileRow, Profile]:
    """How the account is billed, its row locked: whoever bills an account does so alone."""
    row = session.get(BillingProfileRow, account_id, with_for_update=True)
    if row is None:
        set_profile(session, account_id, ProfileTerms())
        row = session.get_one(BillingProfileRow, account_id)
    return row, profile_of(session, account_id)


def _units(session: Session, account_id: int) -> list[str]:
    # Asked anew for each period: a subscription opens a wallet in its unit.
    return [row[0] for row in rows_within(session, _UNITS, {"account_id": account_id})]
