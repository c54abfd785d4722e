"""Jobs that watch balances: wallets that fell below a threshold, and wallets that fill themselves."""

from sqlalchemy import select

from pbxbill.billing.payments.auto_top_up_attempts import fill_wallets
from pbxbill.billing.payments.auto_top_ups import STOPPED
from pbxbill.billing.payments.balance_marks import read_marks
from pbxbill.billing.payments.gateway_payments import GatewayDesk
from pbxbill.jobs.job import JobWork
from pbxbill.store.notice_models import BalanceMarkRow
from pbxbill.store.payment_models import AutoTopUpRow


def balances(work: JobWork) -> str:
    """Tell accounts whose wallets fell below a threshold."""
    looked = read_marks(work.application.database, work.application.clock, work.stop)
    if not looked.reached:
        return ""
    return f"{looked.reached} thresholds reached, {looked.messages} messages"


def balances_wait(work: JobWork) -> bool:
    """Whether calls left marks of wallets that passed a threshold."""
    return work.finds(select(BalanceMarkRow.id))


def auto_top_ups(work: JobWork) -> str:
    """Fill wallets from saved cards."""
    if not auto_top_ups_wait(work):
        return ""
    desk = GatewayDesk(work.application.database, work.books, work.application.clock)
    return fill_wallets(desk, work.stop).told()


def auto_top_ups_wait(work: JobWork) -> bool:
    """Whether a wallet is to be filled."""
    due = (AutoTopUpRow.next_us <= work.now_us) | (AutoTopUpRow.state == STOPPED)
    return work.finds(select(AutoTopUpRow.wallet_id).where(due))
