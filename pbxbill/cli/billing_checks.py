"""What `pbxbill doctor` tries of billing: mail, gateways and the web before them, jobs."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.payments.payment_gateways import open_gateway
from pbxbill.cli.finding import Finding, Verdict
from pbxbill.cli.output import moment, visible
from pbxbill.clock import SECOND_US
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.jobs.schedule import JOBS
from pbxbill.notify.sending import mail_settings
from pbxbill.settings import Settings
from pbxbill.settings import mail_settings as configured_mail
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import JobRow, JobRunRow
from pbxbill.store.payment_models import PaymentGatewayRow

OVERDUE_US = 600 * SECOND_US
"""A job that waits for longer than this has nobody who runs it."""
RUN_JOBS = "`pbxbill run` runs them unless [jobs] has enabled = false; `pbxbill jobs` does so by itself"


def check_billing(session: Session, settings: Settings, now_us: int) -> Iterator[Finding]:
    """Each is a hint where nothing of the kind is set up."""
    yield _mail(session, settings)
    gateways = list(session.scalars(select(PaymentGatewayRow).order_by(PaymentGatewayRow.id)))
    if gateways:
        yield _web(settings)
    yield from map(_gateway, gateways)
    yield _jobs(session, now_us)


def _mail(session: Session, settings: Settings) -> Finding:
    operator_id = session.scalars(select(AccountRow.id).where(AccountRow.kind == "operator")).one()
    try:
        found = mail_settings(session, operator_id, configured_mail(settings.mail))
    except (ConfigurationError, InputRefused, ValueError) as error:
        return Finding("mail", Verdict.FAIL, str(error), "mend [mail], or what `pbxbill mail set` has set")
    if not found.host:
        return Finding(
            "mail",
            Verdict.WARN,
            "no mail server is set: no invoice and no notice is sent",
            "set host and sender in [mail], then try `pbxbill mail test`",
        )
    return Finding("mail", Verdict.OK, f"goes through {found.host}:{found.port} as {found.sender}")


def _web(settings: Settings) -> Finding:
    web = settings.web
    if not web.public_url:
        return Finding(
            "web",
            Verdict.WARN,
            "there are payment gateways, and web.public_url is not set: payers and webhooks find no way here",
            'set public_url = "https://..." in [web]',
        )
    if not web.enabled:
        return Finding(
            "web",
            Verdict.WARN,
            f"`pbxbill run` does not serve {web.public_url}",
            "set enabled = true in [web], unless `pbxbill web` runs by itself",
        )
    return Finding("web", Verdict.OK, f"is served as {web.public_url}")


def _gateway(row: PaymentGatewayRow) -> Finding:
    check = f"gateway {row.name}"
    try:
        open_gateway(row)
    except (ConfigurationError, InputRefused) as error:
        # One that is switched off still hears of the payments that it had; no new ones fail.
        verdict = Verdict.FAIL if row.enabled else Verdict.WARN
        return Finding(
            check,
            verdict,
            str(error),
            f"mend the file, or `pbxbill payment-gateways set {row.name} --set ...`",
        )
    return Finding(check, Verdict.OK, "its settings and secrets can be read")


def _jobs(session: Session, now_us: int) -> Finding:
    names = {job.name for job in JOBS}
    rows = [row for row in session.scalars(select(JobRow)) if row.name in names]
    if all(row.last_us is None for row in rows):
        return Finding("jobs", Verdict.WARN, "none ever ran: nothing is billed or sent by itself", RUN_JOBS)
    late = [x for x in rows if x.enabled and x.next_us < now_us - OVERDUE_US and not _runs(x, now_us)]
    if late:
        oldest = min(late, key=lambda row: row.next_us)
        detail = f"{len(late)} are overdue, {oldest.name} since {moment(oldest.next_us)}"
        return Finding("jobs", Verdict.WARN, detail, RUN_JOBS)
    failed = {row.name for row in rows if row.failures}
    if failed:
        newest = session.scalars(
            select(JobRunRow)
            .where(JobRunRow.job.in_(failed), JobRunRow.outcome != "done")
            .order_by(JobRunRow.id.desc())
            .limit(1)
        ).first()
        why = ""
        if newest is not None:
            why = f"; {newest.job} at {moment(newest.started_us)}: {visible(newest.detail)}"
        return Finding(
            "jobs",
            Verdict.WARN,
            f"failed when they last ran: {', '.join(sorted(failed))}{why}",
            "`pbxbill jobs history NAME` says why; `pbxbill jobs run NAME` tries it now",
        )
    return Finding("jobs", Verdict.OK, "run, and none is overdue or failed last")


def _runs(row: JobRow, now_us: int) -> bool:
    return bool(row.holder) and row.held_to_us is not None and now_us < row.held_to_us
