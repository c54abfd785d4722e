"""Switches as they are now: who steers each, when it was last heard of, what it carries."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.store.lease import STALE_US
from pbxbill.store.models import CdrRow, ReservationRow
from pbxbill.store.switch_models import DaemonLeaseRow, DifferenceRow, ReconciliationRow

HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class SwitchNow:
    """One switch."""

    name: str
    state: str
    """ok: a daemon steers it; lost: its daemon was silent for too long; off: none has steered it."""
    holder: str
    renewed_us: int | None
    live: int
    """Calls that it has up."""
    ended: int
    """Calls that ended in the last hour."""
    compared_us: int | None
    differences: int
    """Found in the last day."""


def switches_now(session: Session, known: Iterable[str], now_us: int) -> list[SwitchNow]:
    """Those that are known, have a daemon, or carry calls."""
    leases = {x.switch: x for x in session.scalars(select(DaemonLeaseRow))}
    live = _counts(
        session,
        select(ReservationRow.switch, func.count().label("number"))
        .where(ReservationRow.state.in_([str(x) for x in OPEN_STATES]))
        .group_by(ReservationRow.switch),
    )
    ended = _counts(
        session,
        select(CdrRow.switch, func.count().label("number"))
        .where(CdrRow.started_us > now_us - HOUR_US)
        .group_by(CdrRow.switch),
    )
    compared = _counts(
        session,
        select(ReconciliationRow.switch, func.max(ReconciliationRow.at_us).label("number")).group_by(
            ReconciliationRow.switch
        ),
    )
    differences = _counts(
        session,
        select(ReconciliationRow.switch, func.count().label("number"))
        .join(DifferenceRow, DifferenceRow.reconciliation_id == ReconciliationRow.id)
        .where(ReconciliationRow.at_us > now_us - DAY_US)
        .group_by(ReconciliationRow.switch),
    )
    names = dict.fromkeys((*known, *sorted(leases), *sorted(live)))
    return [
        SwitchNow(
            name,
            _state(leases.get(name), now_us),
            leases[name].holder if name in leases else "",
            leases[name].renewed_us if name in leases else None,
            live.get(name, 0),
            ended.get(name, 0),
            compared.get(name),
            differences.get(name, 0),
        )
        for name in names
    ]


def _state(lease: DaemonLeaseRow | None, now_us: int) -> str:
    if lease is None:
        return "off"
    return "ok" if now_us - lease.renewed_us < STALE_US else "lost"


def _counts(session: Session, query: Select[str, int]) -> dict[str, int]:
    return {name: number for name, number in session.execute(query)}  # noqa: C416  # rows are no pairs to dict()
