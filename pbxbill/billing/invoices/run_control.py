"""Billing runs that somebody else watches: worked on, asked to stop by another process, seen to be alive."""

from collections.abc import Callable

import structlog
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.parallel import work_in_processes
from pbxbill.billing.invoices.runs import definition_of, end_run, start_run
from pbxbill.billing.invoices.sending import send_run
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import BillingRunAccountRow, BillingRunRow

SILENT_US = 300 * SECOND_US
"""Of a run that has billed no account for so long it is said that nobody seems to work on it."""
_log = structlog.get_logger()


def ask_to_stop(session: Session, run_id: int) -> None:
    """Have whoever works on a run stop after the account that he is at."""
    row = session.get_one(BillingRunRow, run_id, with_for_update=True)
    if row.state != "running":
        raise InputRefused("nobody works on this run: there is nothing to stop")
    row.state = "stopping"
    session.flush()


def until_asked(
    database: Engine, clock: Clock, run_id: int, stop: Callable[[], bool] = lambda: False
) -> Callable[[], bool]:
    """stop(), or that somebody asked the run to stop; the database is asked once a second."""
    looked_us: int | None = None
    asked = False

    def is_over() -> bool:
        nonlocal looked_us, asked
        now_us = clock.monotonic_us()
        if not asked and (looked_us is None or now_us - looked_us >= SECOND_US):
            looked_us = now_us
            with transaction(reading(database)) as session:
                state = session.scalar(select(BillingRunRow.state).where(BillingRunRow.id == run_id))
            asked = state == "stopping"
        return asked or stop()

    return is_over


def go_on(session: Session, run_id: int, now_us: int, by: str = "") -> int:
    """Begin a run again where it ended, or another of the same kind if it was done: its number."""
    row = session.get_one(BillingRunRow, run_id)
    return start_run(session, definition_of(session, run_id), now_us, scope_id=row.scope_id, by=by)


def work_on(  # noqa: PLR0913  # one parameter per fact
    database: Engine,
    url: str,
    redis_url: str | None,
    clock: Clock,
    run_id: int,
    *,
    processes: int = 1,
    sends: bool = False,
) -> None:
    """Bill a run's accounts until none waits or somebody asks it to stop; sends: what it issued."""
    stop = until_asked(database, clock, run_id)
    try:
        work_in_processes(url, redis_url, run_id, processes, stop=stop, clock=clock)
    finally:
        with transaction(database) as session:
            state = end_run(session, run_id, clock.now_us())
    if sends and state == "done":
        send_run(database, clock, run_id, _not_sent)


def is_silent(session: Session, row: BillingRunRow, now_us: int) -> bool:
    """Whether nobody seems to work on a run that says it is running: it was killed, say."""
    if row.state not in ("running", "stopping"):
        return False
    last = session.scalar(
        select(func.max(BillingRunAccountRow.at_us)).where(BillingRunAccountRow.run_id == row.id)
    )
    return max(last or 0, row.started_us) < now_us - SILENT_US


def _not_sent(invoice_id: int, error: PbxbillError) -> None:
    _log.warning("invoice_not_sent", invoice=invoice_id, error=str(error))
