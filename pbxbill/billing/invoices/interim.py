"""An invoice in the middle of a period, up to now: for who leaves, or wants to see what there is.

The account's next period begins where this one ends, and is over when it would have been: nothing is on two
invoices, and no day is left out.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.billed import RunMemory
from pbxbill.billing.invoices.billing_account import (
    AccountBilled,
    BilledInvoice,
    bill_account,
    issued_by_itself,
)
from pbxbill.billing.invoices.drafting import Drafted, draft_period
from pbxbill.billing.period import Period
from pbxbill.billing.profiles import billed_up_to, profile_of
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.store.models import WalletRow


def bill_to_now(session: Session, books: Bookkeeper, account_id: int, now_us: int) -> AccountBilled:
    """Charge and invoice an account up to now; where there is nothing to invoice its period goes on."""
    before = bill_account(session, books, account_id, now_us, now_us)
    profile = profile_of(session, account_id)
    if not profile.invoiced:
        raise InputRefused("the account gets no invoices: `pbxbill billing set --invoicing` changes that")
    period = Period(profile.next_period().from_us, now_us)
    if period.from_us >= period.to_us:
        return before
    memory, invoices, nothing = RunMemory(), list(before.invoices), list(before.nothing)
    units = select(WalletRow.unit).where(WalletRow.account_id == account_id).order_by(WalletRow.unit)
    for unit in session.scalars(units).all():
        made = draft_period(session, account_id, unit, period, now_us, memory=memory)
        if not isinstance(made, Drafted):
            nothing.append(f"{unit}: {made.reason}")
            continue
        at_once = profile.terms.invoicing == "issue"
        issued, why_not = issued_by_itself(session, books, made, now_us, at_once=at_once)
        if why_not:
            nothing.append(f"{unit}: {why_not}")
        invoices.append(BilledInvoice(made.invoice_id, unit, made.total, issued, not made.repeated))
    if len(invoices) > len(before.invoices):
        billed_up_to(session, account_id, now_us)
    return AccountBilled(tuple(invoices), tuple(nothing), before.unpaid)
