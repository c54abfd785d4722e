"""What the operator is told of a run that could not rate everything: a log line, a metric, an alert."""

import structlog
from prometheus_client import Counter
from sqlalchemy import Engine

from pbxbill.clock import Clock
from pbxbill.mediation.runs import Run
from pbxbill.mediation.tally import COUNTS, Tally
from pbxbill.store.alerts import raise_alert
from pbxbill.store.engine import transaction

_log = structlog.get_logger()

RECORDS = Counter("pbxbill_mediation_records", "Records that mediation dealt with", ["fate"])
QUARANTINED = Counter("pbxbill_mediation_quarantined", "Records that could not be rated", ["reason"])


def count(batch: Tally) -> None:
    """Count a batch that is durable."""
    for name in COUNTS[1:]:
        RECORDS.labels(name).inc(getattr(batch, name))
    for reason, records in batch.reasons().items():
        QUARANTINED.labels(reason).inc(records)


def tell(database: Engine, run: Run, state: str, clock: Clock) -> None:
    """Say what a run did, and alert if something is in quarantine."""
    tally = run.tally
    _log.info("mediation_run_ended", run=run.id, source=run.source, state=state, read=tally.read)
    reasons = tally.reasons()
    if not reasons:
        return
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    detail = (
        f"run {run.id} could not rate {tally.quarantined} records: {counted}; see pbxbill quarantine list"
    )
    with transaction(database) as session:
        raise_alert(session, "quarantine", run.source[-200:], detail[:500], at_us=clock.now_us())
    _log.warning("mediation_quarantined", run=run.id, source=run.source, reasons=counted)
