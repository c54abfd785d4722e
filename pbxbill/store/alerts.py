"""Alerts: what a person should know of, kept in a table, logged and counted, each once an hour.

The charging path writes them in its batch's transaction with write_alerts() and says so after the commit
with announce_alerts(); whoever has a session calls raise_alert(), which does both.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog
from prometheus_client import Counter
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.driver import Driver

AGAIN_US = 3600 * SECOND_US
"""The same kind, account and subject is not told again for so long."""
LAST_READ = 1000
"""How many alerts back the charging path looks for an equal one: a flood of others may hide it."""
MARKED_AT_ONCE = 500
KIND_LENGTH, SUBJECT_LENGTH, DETAIL_LENGTH = 32, 200, 500

_LAST = f"SELECT kind, account_id, subject, at_us FROM alerts ORDER BY at_us DESC LIMIT {LAST_READ}"  # noqa: S608
_COLUMNS = ("at_us", "kind", "account_id", "subject", "detail")
_log = structlog.get_logger()
RAISED = Counter("pbxbill_alerts", "Alerts that were raised", ["kind"])


class NewAlert(NamedTuple):
    """Something that a person should know of."""

    at_us: int
    kind: str
    account_id: int | None
    subject: str
    """What it is about, the same words each time: an account, an endpoint, a country, a file."""
    detail: str = ""


def raise_alert(
    session: Session, kind: str, subject: str, detail: str, account_id: int | None = None, *, at_us: int
) -> AlertRow | None:
    """Keep an alert and, once the session has committed, log and count it; None if it was told already."""
    alert = _fitted(NewAlert(at_us, kind, account_id, subject, detail))
    known = session.scalar(
        select(AlertRow.id).where(
            AlertRow.at_us > at_us - AGAIN_US,
            AlertRow.kind == alert.kind,
            AlertRow.subject == alert.subject,
            AlertRow.account_id.is_(None) if account_id is None else AlertRow.account_id == account_id,
        )
    )
    if known is not None:
        return None
    row = AlertRow(**alert._asdict())
    session.add(row)
    session.flush()
    event.listen(session, "after_commit", lambda _session: announce_alerts([alert]), once=True)
    return row


def alert_since(session: Session, kind: str, subject: str, since_us: int) -> bool:
    """Whether something was told of since a moment."""
    query = select(AlertRow.id).where(
        AlertRow.at_us >= since_us, AlertRow.kind == kind, AlertRow.subject == subject
    )
    return session.scalar(query.limit(1)) is not None


def write_alerts(driver: Driver, alerts: Sequence[NewAlert]) -> list[NewAlert]:
    """Keep alerts within the driver's transaction; those that are new, to be announced after its commit."""
    if not alerts:
        return []
    told = {
        (kind, account_id, subject): at_us
        for kind, account_id, subject, at_us in reversed(driver.select(_LAST))
    }
    new = []
    for alert in map(_fitted, alerts):
        key = (alert.kind, alert.account_id, alert.subject)
        if key not in told or told[key] <= alert.at_us - AGAIN_US:
            told[key] = alert.at_us
            new.append(alert)
    if new:
        driver.insert(AlertRow.__table__, _COLUMNS, new)  # type: ignore[arg-type]
    return new


def announce_alerts(alerts: Iterable[NewAlert]) -> None:
    """Log and count alerts that are in the database."""
    for alert in alerts:
        RAISED.labels(alert.kind).inc()
        _log.warning(
            "alert", kind=alert.kind, account=alert.account_id, subject=alert.subject, detail=alert.detail
        )


def list_alerts(
    session: Session,
    *,
    since_us: int = 0,
    kind: str | None = None,
    account_id: int | None = None,
    most: int = 1000,
) -> list[AlertRow]:
    """The newest alerts, the newest first."""
    query = select(AlertRow).where(AlertRow.at_us >= since_us)
    if kind is not None:
        query = query.where(AlertRow.kind == kind)
    if account_id is not None:
        query = query.where(AlertRow.account_id == account_id)
    return list(session.scalars(query.order_by(AlertRow.at_us.desc(), AlertRow.id.desc()).limit(most)))


def _fitted(alert: NewAlert) -> NewAlert:
    return NewAlert(
        alert.at_us,
        alert.kind[:KIND_LENGTH],
        alert.account_id,
        alert.subject[:SUBJECT_LENGTH],
        alert.detail[:DETAIL_LENGTH],
    )


def mark(row: AlertRow, by: str, now_us: int, *, done: bool) -> None:
    """Somebody has dealt with it, or opens it again."""
    row.done_us, row.done_by = (now_us, by) if done else (None, "")


def mark_done(session: Session, ids: Sequence[int], by: str, now_us: int) -> None:
    """Somebody has dealt with these; what was dealt with before stays as it is."""
    for start in range(0, len(ids), MARKED_AT_ONCE):
        session.execute(
            update(AlertRow)
            .where(AlertRow.id.in_(ids[start : start + MARKED_AT_ONCE]), AlertRow.done_us.is_(None))
            .values(done_us=now_us, done_by=by)
        )
