"""Notices that a switch or a carrier is lost, from what the database shows of them; each loss is one alert.

A switch is lost when its daemon has not renewed its lease for a while: one that is stopped gives it back. A
carrier is lost when calls that went through it a short while ago are answered no more, while calls fail for
reasons of the network. What comes back is watched anew.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.alerts import alert_since, raise_alert
from pbxbill.store.catalogue_models import CarrierRow
from pbxbill.store.driver import rows_within
from pbxbill.store.switch_models import DaemonLeaseRow

SILENT_US = 60 * SECOND_US
"""A lease is renewed every few seconds; a restart of the daemon takes less than this."""
FORGOTTEN_US = 7 * 86_400 * SECOND_US
"""A lease this old belongs to a switch that nobody misses."""
CARRIER_LOST_US, CARRIER_BEFORE_US = 600 * SECOND_US, 3_000 * SECOND_US
"""No answered call for so long, after some in the time before."""
ANSWERED_BEFORE, FAILED_NOW = 10, 10

_ANSWERED = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM cdrs c JOIN call_costs k ON k.session_id = c.session_id "
    "WHERE k.carrier_id = :carrier_id AND c.started_us >= :from_us AND c.started_us < :to_us LIMIT :most) x"
)
_FAILED = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM cdrs WHERE started_us >= :from_us AND started_us < :to_us "
    "AND denial IS NULL AND answered_us IS NULL AND hangup_cause IN (3, 27, 34, 38, 41, 42, 102) "
    "LIMIT :most) x"
)
"""Q.850: no route, out of order, no circuit, network out of order, failures and congestion, a timer."""


def lost_switches(session: Session, now_us: int) -> int:
    """Raise an alert for each switch whose daemon is silent; how many are new."""
    rows = session.scalars(
        select(DaemonLeaseRow).where(
            DaemonLeaseRow.renewed_us < now_us - SILENT_US,
            DaemonLeaseRow.renewed_us > now_us - FORGOTTEN_US,
        )
    ).all()
    raised = 0
    for row in rows:
        subject = f"switch {row.switch}"
        if alert_since(session, "switch_lost", subject, row.renewed_us):
            continue
        silent_s = (now_us - row.renewed_us) // SECOND_US
        detail = f"its daemon {row.holder.rsplit(':', 1)[0]} was last heard of {silent_s} seconds ago"
        raised += raise_alert(session, "switch_lost", subject, detail, at_us=now_us) is not None
    return raised


def lost_carriers(session: Session, now_us: int) -> int:
    """Raise an alert for each carrier that answers no more; how many are new."""
    since_us = now_us - CARRIER_LOST_US
    failed = _count(session, _FAILED, since_us, now_us + 1, FAILED_NOW)
    if failed < FAILED_NOW:
        return 0
    raised = 0
    for carrier in session.scalars(select(CarrierRow).order_by(CarrierRow.id)).all():
        before_us = since_us - CARRIER_BEFORE_US
        subject = f"carrier {carrier.name}"
        if (
            _count(session, _ANSWERED, since_us, now_us + 1, 1, carrier.id)
            or _count(session, _ANSWERED, before_us, since_us, ANSWERED_BEFORE, carrier.id) < ANSWERED_BEFORE
            or alert_since(session, "carrier_lost", subject, before_us)
        ):
            continue
        detail = (
            f"no call was answered for {CARRIER_LOST_US // SECOND_US // 60} minutes, "
            "and calls fail in the network"
        )
        raised += raise_alert(session, "carrier_lost", subject, detail, at_us=now_us) is not None
    return raised


def _count(
    session: Session, query: str, from_us: int, to_us: int, most: int, carrier_id: int | None = None
) -> int:
    asked = {"from_us": from_us, "to_us": to_us, "most": most, "carrier_id": carrier_id}
    if carrier_id is None:
        del asked["carrier_id"]
    return int(rows_within(session, query, asked)[0][0])
