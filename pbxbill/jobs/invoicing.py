"""Jobs of billing: subscriptions, invoices, revenue as it is earned, quotes."""

import structlog
from sqlalchemy import delete

from pbxbill.billing.books.recognition import recognise_all
from pbxbill.billing.invoices.quotes import expire
from pbxbill.billing.invoices.run_control import until_asked
from pbxbill.billing.invoices.runs import Definition, Worker, counts, end_run, start_run
from pbxbill.billing.invoices.sending import send_run
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.billing.subscriptions.renewals import renew_due
from pbxbill.errors import PbxbillError
from pbxbill.jobs.job import JobWork
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import BillingRunRow

QUOTES_AT_ONCE = 500
_log = structlog.get_logger()


def renewals(work: JobWork) -> str:
    """Make charges of subscriptions that are due, carry out what was planned, try unpaid ones again."""
    application = work.application
    done = renew_due(application.database, work.books, application.clock, stop=work.stop, tell=work.tell)
    for account_id, error in done.failed:
        _log.warning("subscriptions_not_renewed", account=account_id, error=error)
    if not done.charges and not done.failed:
        return ""
    failed = f"; {len(done.failed)} accounts failed" if done.failed else ""
    return f"{done.charges} charges of {done.accounts} accounts{failed}"


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

    stop = until_asked(database, work.application.clock, run_id, work.stop)
    try:
        Worker(database, work.books, work.application.clock, run_id).work(stop, count)
    finally:
        with transaction(database) as session:
            end_run(session, run_id, work.now_us)
            found = counts(session, run_id)
    sent = send_run(database, work.application.clock, run_id, _not_sent, work.stop)
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
    ended = work.in_batches(
        QUOTES_AT_ONCE, lambda session, now_us, at_once: expire(session, now_us, at_most=at_once)
    )
    return f"{ended} quotes expired" if ended else ""


def _not_sent(invoice_id: int, error: PbxbillError) -> None:
    _log.warning("invoice_not_sent", invoice=invoice_id, error=str(error))
