"""Promises to pay: an account says when it will pay, and is not dunned until then.

What dunning did to it is lifted in the same transaction. A promise that is not kept is broken once its day is
over: the account is told, and dunning goes on where it was.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning import settled_or_changed
from pbxbill.billing.dunning.dunning_catalogue import Policy, PolicyBook
from pbxbill.billing.dunning.promise_keeping import OPEN, WITHDRAWN, promised_invoices, settle_promises
from pbxbill.billing.invoices.standing import happened, listed, locked_open, said, whole_coins
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.billing.profiles import profile_of
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.dunning_models import PromiseToPayRow
from pbxbill.store.models import AccountRow

STANDARD_DAYS = 14
"""How far ahead a promise may lie where no policy says it."""
MAX_REMARK_LENGTH = 300


@dataclass(frozen=True, slots=True)
class NewPromise:
    """What an account says."""

    unit: str
    until: date
    """Its last local day."""
    invoice_id: int | None = None
    """None: all that is overdue."""
    amount: int | None = None
    """None: all that is open of them and not disputed."""
    remark: str = ""
    by: str = ""


def promise(session: Session, account: AccountRow, new: NewPromise, now_us: int) -> PromiseToPayRow:
    """Write a promise down; InputRefused where there is nothing to promise, or its day is too far away."""
    if account.parent_id is None:
        raise InputRefused("the operator is billed by nobody, and owes nobody")
    if not new.remark.isprintable() or len(new.remark) > MAX_REMARK_LENGTH:
        raise InputRefused(f"a remark has up to {MAX_REMARK_LENGTH} printable characters, on one line")
    zone = profile_of(session, account.id).cycle.zone
    today = local_date(now_us, zone)
    last = today + timedelta(days=_most_days(session, account, now_us))
    if not today <= new.until <= last:
        raise InputRefused(f"a promise is for a day from {today} to {last}, not {new.until}")
    ids = None if new.invoice_id is None else (new.invoice_id,)
    rows = [row for row in locked_open(session, account.id, new.unit, ids) if row.open > row.disputed]
    if ids is None:
        rows = [row for row in rows if row.due_us is not None and row.due_us < now_us]
    if not rows:
        raise InputRefused("nothing is overdue that could be promised; name an invoice that is open")
    settle_promises(session, account.id, now_us)
    _refuse_second(session, account, new)
    unit = unit_of(session, new.unit)
    owed = sum(row.open - row.disputed for row in rows)
    amount = whole_coins(owed if new.amount is None else new.amount, unit, "what is promised")
    if amount > owed:
        raise InputRefused(f"only {said(owed, unit)} is open of {listed(rows)}")
    row = PromiseToPayRow(
        account_id=account.id,
        invoice_id=new.invoice_id,
        unit=new.unit,
        amount=amount,
        until_us=day_start_us(new.until + timedelta(days=1), zone) - 1,
        state=OPEN,
        made_us=now_us,
        ended_us=None,
        remark=new.remark.strip(),
        by=new.by[:64],
    )
    session.add(row)
    session.flush()
    for invoice in rows:
        detail = f"{said(amount, unit)} until {new.until}"
        happened(session, invoice.id, "promised", detail, at_us=now_us, by=new.by)
    settled_or_changed(session, [invoice.id for invoice in rows], now_us)
    return row


def withdraw(session: Session, promise_id: int, now_us: int, by: str = "") -> PromiseToPayRow:
    """Take a promise back; dunning goes on."""
    known = session.get(PromiseToPayRow, promise_id)
    if known is None:
        raise InputRefused(f"there is no promise {promise_id}; `pbxbill promises list` shows them")
    invoices = [invoice.id for invoice in promised_invoices(session, known)]
    if invoices:
        locked_open(session, known.account_id, known.unit, sorted(invoices))
    row = session.get_one(PromiseToPayRow, promise_id, with_for_update=True, populate_existing=True)
    if row.state != OPEN:
        raise InputRefused(f"promise {promise_id} is {row.state} already")
    row.state, row.ended_us = WITHDRAWN, now_us
    session.flush()
    for invoice_id in invoices:
        happened(session, invoice_id, "promise_withdrawn", "dunning goes on", at_us=now_us, by=by)
    settled_or_changed(session, invoices, now_us)
    return row


def due_promises(session: Session, now_us: int, most: int = 500) -> list[int]:
    """Accounts with promises whose day is over."""
    query = (
        select(PromiseToPayRow.account_id)
        .where(PromiseToPayRow.state == OPEN, PromiseToPayRow.until_us < now_us)
        .distinct()
        .order_by(PromiseToPayRow.account_id)
        .limit(most)
    )
    return list(session.scalars(query))


def end_due(session: Session, account_id: int, now_us: int) -> int:
    """Say of an account's promises whose day is over whether they were kept; how many ended."""
    # What is about invoices locks them first, as payments do.
    units = select(PromiseToPayRow.unit).where(
        PromiseToPayRow.account_id == account_id, PromiseToPayRow.state == OPEN
    )
    for unit in sorted(set(session.scalars(units))):
        locked_open(session, account_id, unit)
    return settle_promises(session, account_id, now_us)


def promises_of(
    session: Session, account: AccountRow | None = None, *, open_only: bool = False, most: int = 1_000
) -> list[tuple[PromiseToPayRow, str]]:
    """Promises with their account's code, the newest first."""
    query = select(PromiseToPayRow, AccountRow.code).join(
        AccountRow, AccountRow.id == PromiseToPayRow.account_id
    )
    if account is not None:
        query = query.where(PromiseToPayRow.account_id == account.id)
    if open_only:
        query = query.where(PromiseToPayRow.state == OPEN)
    query = query.order_by(PromiseToPayRow.id.desc()).limit(most)
    return [(row, code) for row, code in session.execute(query)]


def _refuse_second(session: Session, account: AccountRow, new: NewPromise) -> None:
    query = select(PromiseToPayRow).where(
        PromiseToPayRow.account_id == account.id,
        PromiseToPayRow.unit == new.unit,
        PromiseToPayRow.state == OPEN,
    )
    for row in session.scalars(query):
        if row.invoice_id is None or new.invoice_id is None or row.invoice_id == new.invoice_id:
            raise InputRefused(f"promise {row.id} is open already; withdraw it first")


def _most_days(session: Session, account: AccountRow, now_us: int) -> int:
    policy = policy_of(session, account, now_us)
    return STANDARD_DAYS if policy is None else policy.terms.promise_days


def policy_of(session: Session, account: AccountRow, now_us: int) -> Policy | None:
    """By which an account is dunned; None: by none."""
    if account.parent_id is None:
        return None
    profile = session.get(BillingProfileRow, account.id)
    book = PolicyBook(session, now_us, with_holidays=False)
    chosen, group = (None, "") if profile is None else (profile.dunning_policy_id, profile.group_name)
    return book.of(account.parent_id, chosen, group)
