"""Jobs of payments: gateways are asked, cards that expire are told of, old webhooks are forgotten."""

from pbxbill.billing.payments.gateway_payments import GatewayDesk
from pbxbill.billing.payments.refunds import RefundDesk
from pbxbill.billing.payments.saved_methods import tell_expiring
from pbxbill.billing.payments.webhook_handling import forget_handled
from pbxbill.jobs.job import JobWork

FORGOTTEN_AT_ONCE = 500


def polling(work: JobWork) -> str:
    """Ask gateways what became of payments and refunds that they did not tell of."""
    application = work.application
    desk = GatewayDesk(
        application.database, work.books, application.clock, public_url=work.settings.web.public_url
    )
    payments = desk.poll_due(work.stop)
    refunds = RefundDesk(desk).poll_due(work.stop)
    return f"{payments} payments and {refunds} refunds asked about" if payments or refunds else ""


def cards(work: JobWork) -> str:
    """Tell accounts whose saved cards expire soon."""
    with work.billing() as (session, _):
        told = tell_expiring(session, work.now_us)
    return f"{told} messages about cards that expire" if told else ""


def old_webhooks(work: JobWork) -> str:
    """Forget what gateways sent long ago, and was handled."""
    gone = work.in_batches(FORGOTTEN_AT_ONCE, forget_handled)
    return f"{gone} webhooks of gateways forgotten" if gone else ""
