"""Jobs that watch balances: wallets that fell below a threshold, and wallets that fill themselves."""

from sqlalchemy import select

from pbxbill.billing.payments.auto_top_up_attempts import fill_wallets
from pbxbill.billing.payments.auto_top_ups import STOPPED
from pbxbill.billing.payments.balance_marks import read_marks
from pbxbill.billing.payments.gateway_payments import GatewayDesk
from pbxbill.jobs.job import JobWork
from pbxbill.store.engine import reading, transaction
from pbxbill.store.payment_models import AutoTopUpRow


def balances(work: JobWork) -> str:
    """Tell accounts whose wallets fell below a threshold."""
    looked = read_marks(work.application.database, work.application.clock, work.stop)
    if not looked.reached:
        return ""
    return f"{looked.reached} thresholds reached, {looked.messages} messages"


def auto_top_ups(work: JobWork) -> str:
    """Fill wallets from saved cards."""
    due = (AutoTopUpRow.next_us <= work.now_us) | (AutoTopUpRow.state == STOPPED)
    with transaction(reading(work.application.database)) as session:
        if session.scalar(select(AutoTopUpRow.wallet_id).where(due).limit(1)) is None:
            return ""
    desk = GatewayDesk(work.application.database, work.books, work.application.clock)
    return fill_wallets(desk, work.stop).told()
