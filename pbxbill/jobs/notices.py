"""Jobs of notices: alerts told, digests written, mail sent, webhooks posted, losses noticed."""

from sqlalchemy import or_, select

from pbxbill.billing.notices.alert_notices import AT_ONCE, tell_alerts
from pbxbill.billing.notices.notice_digests import due_digests, write_digest
from pbxbill.billing.notices.watching import lost_carriers, lost_switches
from pbxbill.clock import SECOND_US
from pbxbill.jobs.job import JobWork
from pbxbill.notify.outbox import LONGEST_WAIT_S, purge
from pbxbill.notify.posting import post_waiting
from pbxbill.notify.sending import Sent, send_waiting
from pbxbill.settings import mail_settings
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import MessageRow

PURGED_AT_ONCE = 500


def notices(work: JobWork) -> str:
    """Tell of alerts, and write the digests that are due."""
    alerts = messages = told = digests = 0
    while not work.stop():
        with transaction(work.application.database) as session:
            found, written = tell_alerts(session, work.now_us)
        alerts, messages = alerts + found, messages + written
        if found < AT_ONCE:
            break
    with transaction(reading(work.application.database)) as session:
        due = due_digests(session, work.now_us)
    for account_id, recipient in due:
        if work.stop():
            break
        with transaction(work.application.database) as session:
            told += write_digest(session, account_id, recipient, work.now_us)
        digests += 1
    parts = []
    if alerts:
        parts.append(f"{alerts} alerts, {messages} messages")
    if digests:
        parts.append(f"{digests} digests of {told} notices")
    return "; ".join(parts)


def mail(work: JobWork) -> str:
    """Send what waits in the outbox."""
    if not mail_waits(work):
        return ""
    default = mail_settings(work.settings.mail)
    return _said(
        send_waiting(
            work.application.database,
            work.application.clock,
            default,
            stop=work.stop,
            progress=lambda sent: work.tell(sent.sent),
        )
    )


def webhooks(work: JobWork) -> str:
    """Post what waits in the outbox to endpoints."""
    if not webhooks_wait(work):
        return ""
    private = work.settings.webhooks.private_addresses
    application = work.application
    return _said(post_waiting(application.database, application.clock, private=private, stop=work.stop))


def watch(work: JobWork) -> str:
    """Notice that a switch or a carrier is lost."""
    with transaction(work.application.database) as session:
        switches = lost_switches(session, work.now_us)
        carriers = lost_carriers(session, work.now_us)
    lost = [f"{n} {what} lost" for n, what in ((switches, "switches"), (carriers, "carriers")) if n]
    return ", ".join(lost)


def purging(work: JobWork) -> str:
    """Forget deliveries of webhooks that are long over."""
    gone = work.in_batches(PURGED_AT_ONCE, purge)
    return f"{gone} old deliveries forgotten" if gone else ""


def mail_waits(work: JobWork) -> bool:
    """Whether a mail is to be sent."""
    return _waits(work, "mail")


def webhooks_wait(work: JobWork) -> bool:
    """Whether a notice is to be posted."""
    return _waits(work, "webhook")


def _waits(work: JobWork, channel: str) -> bool:
    too_far_us = work.now_us + LONGEST_WAIT_S * SECOND_US  # noted by a clock that was ahead
    due = select(MessageRow.id).where(
        or_(
            MessageRow.state.in_(("waiting", "sending")) & (MessageRow.next_us <= work.now_us),
            MessageRow.state.in_(("waiting", "sending", "gathered")) & (MessageRow.next_us > too_far_us),
        ),
        MessageRow.channel == channel,
    )
    return work.finds(due)


def _said(sent: Sent) -> str:
    if sent == Sent():
        return ""
    return f"{sent.sent} sent, {sent.waiting} tried again later, {sent.failed} given up"
