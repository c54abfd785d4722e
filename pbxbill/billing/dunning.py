"""Duns one account: does the levels that its overdue invoices have reached, and stops by itself.

Each invoice reaches each level once, one level a day at most, with the days of the policy between what was
really done. What a level did to the account is lifted in the transaction in which its invoice is paid,
credited, disputed or promised; an account that is closed for another reason is left alone. If dunning goes on
afterwards, what was lifted is put back first, and the next level comes its days later.

Locks: the account's invoices, what dunning knows of them, then its wallets and the account.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.dunning_catalogue import ACTIVE, PenaltyClass, Policy, PolicyBook
from pbxbill.billing.dunning_facts import Dunned, PutBack, act, of_account, of_invoice
from pbxbill.billing.dunning_policy import Action, Reached, asks
from pbxbill.billing.dunning_steps import Acting, do_level, lift_effects, put_back
from pbxbill.billing.late_charges import charge_late, next_penalty_us
from pbxbill.billing.promise_keeping import settle_promises
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US
from pbxbill.store.dunning_models import DunningStateRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

LOOK_AGAIN_US = 86_400 * SECOND_US
"""After so long a closed account is looked at again: it may have been opened."""


class StepDone(NamedTuple):
    """What was done about an invoice."""

    invoice_id: int
    level: int
    action: Action
    again: bool
    """It was put back after it had been lifted."""


class AccountDunned(NamedTuple):
    """What was done about an account."""

    steps: tuple[StepDone, ...]
    charges: int
    """Penalties, beside fees of levels."""


def dun_account(
    session: Session, books: Bookkeeper, book: PolicyBook, account_id: int, now_us: int
) -> AccountDunned:
    """Do what is due about an account's invoices now."""
    _lock(session, account_id)
    found = of_account(session, account_id, now_us)
    due: list[tuple[Dunned, Policy]] = []
    for invoice in found:
        policy = invoice.policy(book)
        if policy is not None and policy.state == ACTIVE and (invoice.next_us or now_us + 1) <= now_us:
            due.append((invoice, policy))
    if not due:
        return AccountDunned((), 0)
    acting = Acting(session, books, book, session.get_one(AccountRow, account_id), now_us)
    steps = [_do(acting, policy, invoice) for invoice, policy in due]
    charges = _charge_late(acting, found)
    for invoice, policy in due:
        _look_ahead(acting, policy, invoice)
    session.flush()
    return AccountDunned(tuple(step for step in steps if step is not None), charges)


def settled_or_changed(session: Session, invoice_ids: Iterable[int], now_us: int) -> None:
    """Look at invoices of which more or less is open, disputed or promised than before; they are locked.

    What dunning did to the account for an invoice that asks for nothing now is lifted at once; what else is
    to be done, the next run does. Of an invoice that never was overdue there is nothing to do.
    """
    book: PolicyBook | None = None
    looked_at: set[int] = set()
    for invoice_id in invoice_ids:
        row = session.get_one(InvoiceRow, invoice_id)
        if row.account_id not in looked_at:
            looked_at.add(row.account_id)
            settle_promises(session, row.account_id, now_us)
        state = session.get(DunningStateRow, invoice_id, with_for_update=True, populate_existing=True)
        if state is None:
            continue
        if not row.open:
            lift_effects(session, row.account_id, invoice_id, now_us)
            session.delete(state)
            session.flush()
            continue
        book = book or PolicyBook(session, now_us, with_holidays=False)
        invoice = of_invoice(session, invoice_id, now_us)
        policy = None if invoice is None else invoice.policy(book)
        if invoice is None or policy is None or not asks(policy.terms, invoice.standing):
            _let_go(session, state, now_us)
        state.next_us = now_us
        session.flush()


def _lock(session: Session, account_id: int) -> None:
    """So that nobody pays or corrects what is dunned meanwhile."""
    query = (
        select(InvoiceRow)
        .join(DunningStateRow, DunningStateRow.invoice_id == InvoiceRow.id)
        .where(DunningStateRow.account_id == account_id)
        .order_by(InvoiceRow.id)
        .with_for_update(of=InvoiceRow)
        .execution_options(populate_existing=True)
    )
    session.scalars(query).all()
    states = select(DunningStateRow).where(DunningStateRow.account_id == account_id)
    session.scalars(states.order_by(DunningStateRow.invoice_id).with_for_update()).all()


def _do(acting: Acting, policy: Policy, invoice: Dunned) -> StepDone | None:
    """What is to be done about an invoice now, if anything is."""
    found = act(acting.book.days(policy, invoice.zone), invoice, acting.now_us)
    if isinstance(found, Reached):
        step = do_level(acting, policy, invoice, found.number)
        return StepDone(invoice.invoice_id, found.number, Action(step.action), again=False)
    if isinstance(found, PutBack):
        again = put_back(acting, policy, invoice)
        if again is not None:
            return StepDone(invoice.invoice_id, again.level, Action(again.action), again=True)
    elif not asks(policy.terms, invoice.standing):
        state = acting.session.get_one(DunningStateRow, invoice.invoice_id)
        _let_go(acting.session, state, acting.now_us)
    return None


def _let_go(session: Session, state: DunningStateRow, now_us: int) -> None:
    if lift_effects(session, state.account_id, state.invoice_id, now_us):
        state.since_us = None


def _charge_late(acting: Acting, found: Sequence[Dunned]) -> int:
    """Charge the periods that are over, by the class of each invoice's policy or of the account."""
    by_class: dict[int, tuple[PenaltyClass, list[Dunned]]] = {}
    for invoice in found:
        policy = invoice.policy(acting.book)
        if policy is None or policy.state != ACTIVE or not asks(policy.terms, invoice.standing):
            continue
        late = acting.book.penalty(policy, invoice.chosen_penalty_id)
        if late is not None and late.terms.unit == invoice.unit:
            by_class.setdefault(late.id, (late, []))[1].append(invoice)
    return sum(
        len(charge_late(acting.session, acting.books, acting.account, late, invoices, acting.now_us))
        for late, invoices in by_class.values()
    )


def _look_ahead(acting: Acting, policy: Policy, before: Dunned) -> None:
    """Note when an invoice is to be looked at next."""
    state = acting.session.get_one(DunningStateRow, before.invoice_id)
    invoice = before._replace(level=state.level, since_us=state.since_us, penalty_to_us=state.penalty_to_us)
    if invoice.closed:
        state.next_us = acting.now_us + LOOK_AGAIN_US
        return
    found = act(acting.book.days(policy, invoice.zone), invoice, acting.now_us)
    moments = []
    if isinstance(found, Reached | PutBack):
        moments.append(acting.now_us + LOOK_AGAIN_US)  # the clock was set while it was done
    elif found.until_us is not None:
        moments.append(found.until_us)
    if asks(policy.terms, invoice.standing):
        late = acting.book.penalty(policy, invoice.chosen_penalty_id)
        penalty_us = next_penalty_us(late, invoice, acting.now_us)
        moments += [] if penalty_us is None else [penalty_us]
    state.next_us = min(moments, default=None)
