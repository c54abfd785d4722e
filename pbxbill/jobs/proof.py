"""Jobs that look after what calls and processes left: reservations nobody steers, books that do not hold."""

from sqlalchemy import select

from pbxbill.app import open_charging
from pbxbill.billing.promises import verify_all
from pbxbill.charging.events import Expire
from pbxbill.clock import SECOND_US
from pbxbill.jobs.job import JobWork
from pbxbill.store.alerts import raise_alert
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import ReservationRow
from pbxbill.store.switch_models import DaemonLeaseRow

ABANDONED_US = 24 * 3_600 * SECOND_US
"""A daemon that comes back settles its calls exactly, by the switch's records: it gets a day for that."""
RESERVATIONS_AT_ONCE = 500
COMMAND_TIMEOUT_MS = 30_000
PROBLEMS_TOLD = 5


def reservations(work: JobWork) -> str:
    """Close calls that ended long ago on a switch that no daemon steers, by the best evidence there is."""
    before_us = work.now_us - ABANDONED_US
    # The switch ends a call at the end of what was granted, with or without a daemon.
    over = ((ReservationRow.state == "reserved") & (ReservationRow.requested_us < before_us)) | (
        (ReservationRow.state == "answered")
        & (ReservationRow.answered_us + ReservationRow.granted_us < before_us)
    )
    steered = select(DaemonLeaseRow.switch).where(DaemonLeaseRow.renewed_us > before_us)
    abandoned = (
        select(ReservationRow.session_id)
        .where(
            ReservationRow.state.in_(("reserved", "answered")), over, ReservationRow.switch.not_in(steered)
        )
        .order_by(ReservationRow.requested_us)
        .limit(RESERVATIONS_AT_ONCE)
    )
    with transaction(reading(work.application.database)) as session:
        session_ids = session.scalars(abandoned).all()
    if not session_ids:
        return ""
    closed = 0
    with open_charging(work.application) as charging:
        for session_id in session_ids:
            if work.stop():
                break
            charging.engine.execute(Expire(session_id, work.now_us), COMMAND_TIMEOUT_MS)
            closed += 1
            work.tell(closed, len(session_ids))
    return f"{closed} calls closed that no daemon will settle any more"


def books(work: JobWork) -> str:
    """Prove what `pbxbill verify` proves; each promise that does not hold is an alert."""
    driver = work.application.connect()
    try:
        broken = [x for x in verify_all(driver, work.application.clock) if not x.holds]
    finally:
        driver.close()
    if not broken:
        return ""
    with transaction(work.application.database) as session:
        for promise in broken:
            detail = "; ".join(promise.problems[:PROBLEMS_TOLD])
            raise_alert(session, "books", promise.name, detail, at_us=work.now_us)
    return f"{len(broken)} promises do not hold: `pbxbill verify`"
