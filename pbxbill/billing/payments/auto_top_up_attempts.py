"""How a wallet is filled from a saved card: one attempt at a time, within caps, later after each decline.

An attempt is a gateway payment, written down together with the row that it is for while that row is locked:
whoever else looks finds it, and waits until it is known how it ended, however long the gateway takes to say.
Only then is the gateway told. A process that dies anywhere leaves what the next one goes on with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from pbxbill.billing.payments.auto_top_ups import (
    ON,
    locked_auto_top_up,
    resume_by_new_cards,
    stop,
    tell_trouble,
)
from pbxbill.billing.payments.gateway_payments import GatewayDesk, NewGatewayPayment, ask_charge
from pbxbill.billing.period import day_start_us, local_date, months_after
from pbxbill.billing.profiles import profile_of
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.notice_models import BalanceMarkRow
from pbxbill.store.payment_models import AutoTopUpRow, GatewayPaymentRow, SavedMethodRow
from pbxbill.store.thresholds import available, edge

HOUR_US = 3_600 * SECOND_US
BACK_OFF_H = (1, 6, 24)
"""How long after each decline in a row the next attempt comes; one decline more and it stops."""
LATER_US = HOUR_US
"""When it is tried again where nobody declined: the gateway was closed, or the account is suspended."""
LOOK_AGAIN_US = 15 * SECOND_US
"""While an attempt is under way."""
HELD_AGAIN_US = HOUR_US
"""While a person decides about one."""
FARTHEST_US = 32 * 24 * HOUR_US
"""Nothing is put off for longer: a monthly cap begins anew within 31 days, and some hours of its zone."""
TOGETHER = 100
MOST_AN_HOUR = 5
"""Of a wallet, whatever its caps are: what is spent faster than so is more often fraud than talk."""
UNDER_WAY = ("asking", "open", "held")
COUNTED = (*UNDER_WAY, "paid")
"""States of payments that count towards the caps: what may have been taken counts as taken."""
BY = "auto top-up"
_ON_DUTY = (AccountStatus.ACTIVE, AccountStatus.NO_OUTGOING)
_log = structlog.get_logger()


@dataclass(slots=True)
class Filled:
    """What came of looking at wallets that are to be filled."""

    asked: int = 0
    paid: int = 0
    declined: int = 0
    waiting: int = 0
    """Nobody knows yet."""
    resumed: int = 0

    def told(self) -> str:
        """In one line; empty where nothing happened."""
        parts = ((self.asked, "asked for"), (self.paid, "paid"), (self.declined, "declined"))
        more = ((self.waiting, "not answered"), (self.resumed, "resumed with a new card"))
        return ", ".join(f"{count} {what}" for count, what in (*parts, *more) if count)


def fill_wallets(desk: GatewayDesk, stopped: Callable[[], bool] = lambda: False) -> Filled:
    """Make the attempts that are due. A gateway that fails one keeps back no other."""
    filled = Filled()
    now_us = desk.clock.now_us()
    with desk.writing() as (session, _):
        filled.resumed = resume_by_new_cards(session, now_us)
    with transaction(reading(desk.database)) as session:
        wallet_ids = session.scalars(
            select(AutoTopUpRow.wallet_id)
            .where(
                or_(
                    AutoTopUpRow.next_us <= now_us,
                    AutoTopUpRow.next_us > now_us + FARTHEST_US,
                    and_(AutoTopUpRow.payment_id.is_not(None), AutoTopUpRow.next_us > now_us + HELD_AGAIN_US),
                )
            )
            .order_by(AutoTopUpRow.next_us)
            .limit(TOGETHER)
        ).all()
    for wallet_id in wallet_ids:
        if stopped():
            break
        try:
            _attempt(desk, wallet_id, filled)
        except PbxbillError as error:  # its payment is written down: a poll finds out what became of it
            _log.warning("wallet_not_filled", wallet=wallet_id, error=str(error))
    return filled


def _attempt(desk: GatewayDesk, wallet_id: int, filled: Filled) -> None:
    with desk.writing() as (session, _):
        row = locked_auto_top_up(session, wallet_id)
        now_us = desk.clock.now_us()
        if row is None or not _is_due(row, now_us):
            return
        row.next_us = now_us
        payment_id = _next(session, row, now_us, filled)
    if payment_id is None:
        return
    filled.asked += 1
    desk.go_on(payment_id)
    with desk.writing() as (session, _):
        row = locked_auto_top_up(session, wallet_id)
        if row is not None and row.payment_id == payment_id:
            _conclude(session, row, desk.clock.now_us(), filled)


def _is_due(row: AutoTopUpRow, now_us: int) -> bool:
    """Whether it is time. What is further away than anything is put off, a clock was set back after."""
    if row.next_us is None:
        return False
    farthest_us = FARTHEST_US if row.payment_id is None else HELD_AGAIN_US
    return not now_us < row.next_us <= now_us + farthest_us


def _next(session: Session, row: AutoTopUpRow, now_us: int, filled: Filled) -> int | None:
    """The payment to ask the gateway for now, written down; None: nothing is to be asked for now."""
    if row.payment_id is not None and not _conclude(session, row, now_us, filled):
        return None
    if row.state != ON or (row.next_us is not None and row.next_us > now_us):
        return None
    wallet = session.get_one(WalletRow, row.wallet_id)
    account = session.get_one(AccountRow, wallet.account_id)
    unit = unit_of(session, wallet.unit)
    row.next_us = None
    if available(wallet) >= edge(row.below, unit):
        # Whoever reads marks holds the wallet: he listens for the next fall, or comes back here.
        session.add(BalanceMarkRow(wallet_id=wallet.id, at_us=now_us, can_spend=available(wallet)))
        return None
    if account.status not in _ON_DUTY or account.shadow:
        row.next_us = None if account.status == AccountStatus.TERMINATED else now_us + LATER_US
        return None
    capped = _capped(session, row, wallet, now_us)
    if capped is not None:
        row.next_us, what = capped
        why = f"its {what} cap is reached: it goes on when the next one begins"
        tell_trouble(session, row, why, key=f"cap:{row.wallet_id}:{row.next_us}", now_us=now_us)
        return None
    again_us = _too_many_until_us(session, wallet, now_us)
    if again_us is not None:
        row.next_us = again_us
        why = f"it was filled {MOST_AN_HOUR} times within an hour: it goes on when that hour is over"
        tell_trouble(session, row, why, key=f"hour:{row.wallet_id}:{again_us}", now_us=now_us)
        return None
    method = session.get_one(SavedMethodRow, row.method_id)
    try:
        new = NewGatewayPayment(row.amount, wallet.unit, by=BY)
        payment = ask_charge(session, account, method, new, now_us, automatic=True)
    except InputRefused as refused:
        stop(session, row, str(refused), key=f"{row.wallet_id}:{now_us}", now_us=now_us)
        return None
    row.payment_id, row.next_us = payment.id, now_us + LOOK_AGAIN_US
    session.flush()
    return payment.id


def _conclude(session: Session, row: AutoTopUpRow, now_us: int, filled: Filled) -> bool:
    """Whether the attempt has ended; then the row says what comes next."""
    payment = session.get_one(GatewayPaymentRow, row.payment_id, populate_existing=True)
    if payment.state in UNDER_WAY:
        row.next_us = now_us + (HELD_AGAIN_US if payment.state == "held" else LOOK_AGAIN_US)
        filled.waiting += 1
        return False
    row.payment_id = None
    if payment.state == "paid":
        filled.paid += 1
        row.declines = 0
        row.next_us = now_us if row.state == ON else None  # what came may not be enough
    elif payment.state == "declined":
        filled.declined += 1
        _declined(session, row, payment, now_us)
    else:
        row.next_us = now_us + LATER_US if row.state == ON else None
    session.flush()
    return True


def _declined(session: Session, row: AutoTopUpRow, payment: GatewayPaymentRow, now_us: int) -> None:
    row.declines += 1
    if row.state != ON:
        row.next_us = None
    elif row.declines > len(BACK_OFF_H):
        why = f"declined {row.declines} times in a row: {payment.error or 'no reason given'}"
        stop(session, row, why, key=str(payment.id), now_us=now_us)
    else:
        row.next_us = now_us + BACK_OFF_H[row.declines - 1] * HOUR_US


def _capped(session: Session, row: AutoTopUpRow, wallet: WalletRow, now_us: int) -> tuple[int, str] | None:
    """When the cap that stands in the way begins anew, and which; None: none does."""
    zone = profile_of(session, wallet.account_id).cycle.zone
    today = local_date(now_us, zone)
    first = today.replace(day=1)
    windows = (
        ("monthly", row.monthly_cap, first, months_after(first, 1)),
        ("daily", row.daily_cap, today, today + timedelta(days=1)),
    )
    for what, cap, begins, ends in windows:
        if cap is None:
            continue
        taken = session.scalar(
            select(func.coalesce(func.sum(GatewayPaymentRow.amount), 0)).where(
                GatewayPaymentRow.account_id == wallet.account_id,
                GatewayPaymentRow.unit == wallet.unit,
                GatewayPaymentRow.automatic,
                GatewayPaymentRow.state.in_(COUNTED),
                GatewayPaymentRow.created_us >= day_start_us(begins, zone),
            )
        )
        if int(taken or 0) + row.amount > cap:
            return day_start_us(ends, zone), what
    return None


def _too_many_until_us(session: Session, wallet: WalletRow, now_us: int) -> int | None:
    """When it may be filled again, after it was filled as often as it may be within an hour; None: now."""
    lately = session.scalars(
        select(GatewayPaymentRow.created_us)
        .where(
            GatewayPaymentRow.account_id == wallet.account_id,
            GatewayPaymentRow.unit == wallet.unit,
            GatewayPaymentRow.automatic,
            GatewayPaymentRow.state.in_(COUNTED),
            GatewayPaymentRow.created_us > now_us - HOUR_US,
            GatewayPaymentRow.created_us <= now_us,
        )
        .order_by(GatewayPaymentRow.created_us.desc())
        .limit(MOST_AN_HOUR)
    ).all()
    return lately[-1] + HOUR_US if len(lately) == MOST_AN_HOUR else None
