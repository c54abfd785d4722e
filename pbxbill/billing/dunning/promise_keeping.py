"""Whether promises to pay are kept: looked at with every payment, and when their day is over."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import ASKING, UNSETTLED, happened, said
from pbxbill.billing.notices.notice_facts import Fact, Money
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.noticing import tell
from pbxbill.billing.period import local_date
from pbxbill.billing.profiles import profile_of
from pbxbill.store.accounts import unit_of
from pbxbill.store.dunning_models import DunningStateRow, PromiseToPayRow
from pbxbill.store.invoice_models import AllocationRow, InvoiceRow

OPEN, KEPT, BROKEN, WITHDRAWN = "open", "kept", "broken", "withdrawn"
"""States of a promise."""


def settle_promises(session: Session, account_id: int, now_us: int) -> int:
    """End an account's promises that are kept, or that nothing is left to pay of; how many.

    Those whose day is over without enough having been paid are broken, and the account is told.
    """
    query = select(PromiseToPayRow).where(
        PromiseToPayRow.account_id == account_id, PromiseToPayRow.state == OPEN
    )
    ended = 0
    for row in session.scalars(query.with_for_update()).all():
        state = _judged(session, row, now_us)
        if state == OPEN:
            continue
        row.state, row.ended_us = state, now_us
        ended += 1
        if state == BROKEN:
            _broken(session, row, now_us)
    session.flush()
    return ended


def promised_invoices(session: Session, row: PromiseToPayRow) -> list[InvoiceRow]:
    """The invoices that a promise is about, as far as something is open of them."""
    query = select(InvoiceRow).where(
        InvoiceRow.account_id == row.account_id,
        InvoiceRow.unit == row.unit,
        InvoiceRow.kind.in_(ASKING),
        InvoiceRow.state.in_(UNSETTLED),
        InvoiceRow.open > 0,
        InvoiceRow.due_us <= row.made_us if row.invoice_id is None else InvoiceRow.id == row.invoice_id,
    )
    return list(session.scalars(query.order_by(InvoiceRow.id)))


def _judged(session: Session, row: PromiseToPayRow, now_us: int) -> str:
    paid = _paid_since(session, row)
    if paid >= row.amount:
        return KEPT
    if not promised_invoices(session, row):
        return WITHDRAWN  # what was promised is credited, say
    return BROKEN if row.until_us < now_us else OPEN


def _paid_since(session: Session, row: PromiseToPayRow) -> int:
    """What came for the promised invoices in time; what was taken back does not count."""
    query = (
        select(func.coalesce(func.sum(AllocationRow.amount), 0))
        .join(InvoiceRow, InvoiceRow.id == AllocationRow.invoice_id)
        .where(
            InvoiceRow.account_id == row.account_id,
            InvoiceRow.unit == row.unit,
            AllocationRow.kind == "payment",
            AllocationRow.at_us >= row.made_us,
            AllocationRow.at_us <= row.until_us,
        )
    )
    if row.invoice_id is not None:
        query = query.where(AllocationRow.invoice_id == row.invoice_id)
    return int(session.scalar(query) or 0)


def _broken(session: Session, row: PromiseToPayRow, now_us: int) -> None:
    invoices = promised_invoices(session, row)
    unit = unit_of(session, row.unit)
    for invoice in invoices:
        detail = f"{said(row.amount, unit)} was promised, and not paid in time"
        happened(session, invoice.id, "promise_broken", detail, at_us=now_us, by="dunning")
        state = session.get(DunningStateRow, invoice.id)
        if state is not None:
            state.next_us = now_us
    zone = profile_of(session, row.account_id).cycle.zone
    facts: dict[str, Fact] = {
        "amount": Money(row.amount, row.unit),
        "promised_on": local_date(row.until_us, zone),
    }
    if row.invoice_id is not None and invoices and invoices[0].number:
        facts["number"] = invoices[0].number
    tell(session, row.account_id, NoticeKind.PROMISE_BROKEN, key=f"{row.id}", facts=facts, now_us=now_us)
