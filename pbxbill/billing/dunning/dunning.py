"""Duns one account: does the levels that its overdue invoices have reached, and stops by itself.

Each invoice reaches each level once, one level a day at most, with the days of the policy between what was
really done. What a level did to the account is lifted in the transaction in which its invoice is paid,
credited, disputed or promised; an account that is closed for another reason is left alone. If dunning goes on
afterwards, what was lifted is put back first, and the next level comes its days later.

Locks: the account's invoices, what dunning knows of them, then its wallets and the account.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning_catalogue import ACTIVE, PenaltyClass, Policy, PolicyBook
from pbxbill.billing.dunning.dunning_facts import LOOKED_AT_US, Dunned, PutBack, act, of_account, of_invoice
from pbxbill.billing.dunning.dunning_policy import Action, Reached, asks
from pbxbill.billing.dunning.dunning_steps import Acting, do_level, lift_effects, put_back
from pbxbill.billing.dunning.late_charges import charge_late, is_late, next_penalty_us
from pbxbill.billing.dunning.promise_keeping import settle_promises
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US
from pbxbill.store.driver import row_lock, rows_within
from pbxbill.store.dunning_models import DunningStateRow
from pbxbill.store.invoice_models import InvoiceRow

_INVOICES = (
    "SELECT id FROM invoices WHERE id IN "
    "(SELECT invoice_id FROM dunning_states WHERE account_id = :account_id) ORDER BY id"
)
_STATES = "SELECT invoice_id FROM dunning_states WHERE account_id = :account_id ORDER BY invoice_id"
_LAST_STEP = (
    "SELECT MAX(at_us) FROM dunning_steps WHERE invoice_id = :invoice_id AND level = :level "
    "AND at_us <= :now_us"
)
_WRITE_STATE = text(
    "UPDATE dunning_states SET level = :level, since_us = CAST(:since_us AS BIGINT), "
    "next_us = CAST(:next_us AS BIGINT), penalty_to_us = CAST(:penalty_to_us AS BIGINT) "
    "WHERE invoice_id = :invoice_id"
)
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
    acting = Acting(session, books, book, account_id, now_us)
    steps: list[StepDone] = []
    looked_at: dict[int, Policy] = {}
    for place, invoice in enumerate(found):
        policy = invoice.policy(book)
        if policy is None or policy.state != ACTIVE or not invoice.due(now_us):
            continue
        looked_at[invoice.invoice_id] = policy
        found[place] = _do(acting, policy, invoice, steps)
    if not looked_at:
        return AccountDunned((), 0)
    charges, charged_to = _charge_late(acting, found)
    for invoice in found:
        if invoice.invoice_id in looked_at or invoice.invoice_id in charged_to:
            penalty_to_us = charged_to.get(invoice.invoice_id, invoice.penalty_to_us)
            now = invoice._replace(penalty_to_us=penalty_to_us)
            looked_policy = looked_at.get(invoice.invoice_id)
            next_us = invoice.next_us if looked_policy is None else _next_us(acting, looked_policy, now)
            _write_state(session, now, next_us)
    return AccountDunned(tuple(steps), charges)


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
        going_on = invoice is not None and policy is not None and asks(policy.terms, invoice.standing)
        if not going_on and lift_effects(session, row.account_id, invoice_id, now_us):
            state.since_us = None
        state.next_us = now_us
        session.flush()


def _lock(session: Session, account_id: int) -> None:
    """So that nobody pays or corrects what is dunned meanwhile; SQLite has locked the whole database."""
    lock = row_lock(session)
    if lock:
        rows_within(session, _INVOICES + lock, {"account_id": account_id})
        rows_within(session, _STATES + lock, {"account_id": account_id})


def _do(acting: Acting, policy: Policy, invoice: Dunned, steps: list[StepDone]) -> Dunned:
    """Do what is to be done about an invoice now, if anything is; the invoice as it stands then."""
    if invoice.since_us is not None and invoice.since_us > acting.now_us:
        # Its level was done while the clock was ahead: the days to the next one count from now.
        invoice = invoice._replace(since_us=acting.now_us)
    days = acting.book.days(policy, invoice.zone)
    found = act(days, invoice, acting.now_us)
    if isinstance(found, Reached) and invoice.level:
        # A clock that is ahead again finds what it did then.
        last_us = rows_within(acting.session, _LAST_STEP, invoice._asdict() | {"now_us": acting.now_us})[0][0]
        if last_us is not None and last_us > (invoice.since_us or 0):
            found = act(days, invoice._replace(since_us=last_us), acting.now_us)
    if isinstance(found, Reached):
        action = policy.terms.levels[found.number - 1].action
        steps.append(StepDone(invoice.invoice_id, found.number, action, again=False))
        return do_level(acting, policy, invoice, found.number)
    if isinstance(found, PutBack):
        again = put_back(acting, policy, invoice)
        if again is not None:
            steps.append(StepDone(invoice.invoice_id, again.level, Action(again.action), again=True))
        return invoice._replace(since_us=acting.now_us)
    if invoice.level and not (asks(policy.terms, invoice.standing) and invoice.due_us < acting.now_us):
        lifted = lift_effects(acting.session, invoice.account_id, invoice.invoice_id, acting.now_us)
        return invoice._replace(since_us=None) if lifted else invoice
    return invoice


def _charge_late(acting: Acting, found: Sequence[Dunned]) -> tuple[int, dict[int, int]]:
    """Charge the periods that are over, by the class of each invoice's policy or of the account."""
    by_class: dict[int, tuple[PenaltyClass, list[Dunned]]] = {}
    for invoice in found:
        policy = invoice.policy(acting.book)
        if policy is None or policy.state != ACTIVE or not asks(policy.terms, invoice.standing):
            continue
        late = acting.book.penalty(policy, invoice.chosen_penalty_id)
        if late is not None and late.terms.unit == invoice.unit:
            by_class.setdefault(late.id, (late, []))[1].append(invoice)
    count, charged_to = 0, dict[int, int]()
    for late, invoices in by_class.values():
        if is_late(late, invoices, acting.now_us):
            made, moments = charge_late(
                acting.session, acting.books, acting.account, late, invoices, acting.now_us
            )
            count, charged_to = count + made, charged_to | moments
    return count, charged_to


def _next_us(acting: Acting, policy: Policy, invoice: Dunned) -> int:
    """When an invoice is to be looked at next, if nothing changes."""
    if invoice.closed:
        return acting.now_us + LOOK_AGAIN_US
    found = act(acting.book.days(policy, invoice.zone), invoice, acting.now_us)
    moments = [acting.now_us + LOOKED_AT_US]
    if isinstance(found, Reached | PutBack):
        moments.append(acting.now_us + LOOK_AGAIN_US)  # two levels on one day: no policy has them
    elif found.until_us is not None:
        moments.append(found.until_us)
    if asks(policy.terms, invoice.standing):
        late = acting.book.penalty(policy, invoice.chosen_penalty_id)
        penalty_us = next_penalty_us(late, invoice, acting.now_us)
        moments += [] if penalty_us is None else [penalty_us]
    return min(moments)


def _write_state(session: Session, invoice: Dunned, next_us: int | None) -> None:
    values = {
        "invoice_id": invoice.invoice_id,
        "level": invoice.level,
        "since_us": invoice.since_us,
        "next_us": next_us,
        "penalty_to_us": invoice.penalty_to_us,
    }
    session.execute(_WRITE_STATE, values)
