"""Jobs of billing: subscriptions, invoices, revenue as it is earned, quotes."""

import structlog
from sqlalchemy import delete, select

from pbxbill.billing.books.recognition import recognise_all
from pbxbill.billing.invoices.quotes import expire
from pbxbill.billing.invoices.runs import Definition, Worker, counts, end_run, start_run
from pbxbill.billing.invoices.sending import Queued, send_invoice
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.billing.subscriptions.renewals import due_accounts, renew_account
from pbxbill.errors import PbxbillError
from pbxbill.jobs.job import JobWork
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import BillingRunRow, InvoiceRow

QUOTES_AT_ONCE = 500
ISSUED = ("issued", "partly_paid", "paid")
_log = structlog.get_logger()


def renewals(work: JobWork) -> str:
    """Make charges of subscriptions that are due, carry out what was planned, try unpaid ones again."""
    accounts = charges = failed = last = 0
    while not work.stop():
        with transaction(reading(work.application.database)) as session:
            page = due_accounts(session, work.now_us, after_id=last)
        if not page:
            break
        for account_id in page:
            if work.stop():
                break
            last = account_id
            try:
                with work.billing() as (session, books):
                    charges += len(renew_account(session, books, account_id, work.now_us).charge_ids)
            except PbxbillError as error:
                failed += 1
                _log.warning("subscriptions_not_renewed", account=account_id, error=str(error))
            accounts += 1
            work.tell(accounts)
    if not charges and not failed:
        return ""
    return f"{charges} charges of {accounts} accounts" + (f"; {failed} accounts failed" if failed else "")


def invoices(work: JobWork) -> str:
    """Bill what was over at the beginning of this day; a run that was stopped before goes on first."""
    database = work.application.database
    until_us = day_start_us(local_date(work.now_us, "UTC"), "UTC")
    with transaction(database) as session:
        run_id = start_run(session, Definition(until_us), work.now_us)
        begun = counts(session, run_id)
        if not sum(begun):
            session.execute(delete(BillingRunRow).where(BillingRunRow.id == run_id))
            return ""
    done = begun.done + begun.failed

    def count(_billed: object) -> None:
        nonlocal done
        done += 1
        work.tell(done, sum(begun))

    try:
        Worker(database, work.books, work.application.clock, run_id).work(work.stop, count)
    finally:
        with transaction(database) as session:
            end_run(session, run_id, work.now_us)
            found = counts(session, run_id)
    sent = _send(work, run_id)
    failed = f", {found.failed} failed (`pbxbill bill show {run_id}`)" if found.failed else ""
    return f"run {run_id}: {found.done} accounts billed{failed}, {sent} invoices to be sent"


def revenue(work: JobWork) -> str:
    """Book what was charged in advance and has been served, month by month."""
    found = 0
    for batch in recognise_all(work.application.database, work.books, work.now_us, work.now_us):
        found += batch.charges
        work.tell(found)
        if work.stop():
            break
    return f"{found} charges earned" if found else ""


def quotes(work: JobWork) -> str:
    """End quotes whose last day is over."""
    ended = 0
    while not work.stop():
        with transaction(work.application.database) as session:
            found = expire(session, work.now_us, at_most=QUOTES_AT_ONCE)
        ended += found
        if found < QUOTES_AT_ONCE:
            break
    return f"{ended} quotes expired" if ended else ""


def _send(work: JobWork, run_id: int) -> int:
    """Send what a run issued; who has no address gets his invoices another way, and stops nothing."""
    database = work.application.database
    with transaction(reading(database)) as session:
        of_run = select(InvoiceRow.id).where(InvoiceRow.run_id == run_id, InvoiceRow.state.in_(ISSUED))
        ids = session.scalars(of_run.order_by(InvoiceRow.id)).all()
    sent = 0
    for invoice_id in ids:
        if work.stop():
            break
        try:
            sent += isinstance(send_invoice(database, invoice_id, work.now_us), Queued)
        except PbxbillError as error:
            _log.warning("invoice_not_sent", invoice=invoice_id, error=str(error))
    return sent
