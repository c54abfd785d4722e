"""Wallets that are filled from a saved card when their funds fall below a threshold: on which terms.

How an attempt goes is in auto_top_up_attempts.py. The account agreed to these charges when it saved its card.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import locked_wallet
from pbxbill.billing.notices.noticing import Fact, Money, NoticeKind, tell
from pbxbill.billing.payments.balance_thresholds import set_thresholds
from pbxbill.billing.payments.payment_gateways import minor_units, takes
from pbxbill.billing.payments.saved_methods import active_method, preferred_method
from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT, Unit
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import (
    AutoTopUpRow,
    GatewayPaymentRow,
    PaymentGatewayRow,
    SavedMethodRow,
)
from pbxbill.store.thresholds import AUTO_TOP_UP, available, edge

ON, OFF, STOPPED = "on", "off", "stopped"
"""States; stopped: after too many declines, until there is a new card or somebody resumes it."""


@dataclass(frozen=True, slots=True)
class AutoTopUpTerms:
    """When a wallet is filled, by how much, from what."""

    below: int
    amount: int
    method_id: int | None = None
    """None: the account's preferred one."""
    daily_cap: int | None = None
    """The most that it takes in one of the account's local days; None: no cap."""
    monthly_cap: int | None = None


def locked_auto_top_up(session: Session, wallet_id: int) -> AutoTopUpRow | None:
    """What fills a wallet, for this transaction alone; locked before the wallet itself."""
    return session.scalar(
        select(AutoTopUpRow)
        .where(AutoTopUpRow.wallet_id == wallet_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def stopped_units(session: Session, account_id: int) -> list[str]:
    """What an account's wallets count that filled themselves until their card was declined too often."""
    query = (
        select(WalletRow.unit)
        .join(AutoTopUpRow, AutoTopUpRow.wallet_id == WalletRow.id)
        .where(WalletRow.account_id == account_id, AutoTopUpRow.state == STOPPED)
    )
    return list(session.scalars(query.order_by(WalletRow.id)))


def set_auto_top_up(
    session: Session, account: AccountRow, unit_code: str, terms: AutoTopUpTerms, now_us: int
) -> AutoTopUpRow:
    """Let a wallet be filled, or change how. One whose funds are below the threshold is filled at once."""
    unit = unit_of(session, unit_code)
    method = _method(session, account, unit, terms)
    _refuse_bad(terms, unit)
    found = session.scalar(
        select(WalletRow.id).where(WalletRow.account_id == account.id, WalletRow.unit == unit.code)
    )
    if found is None:
        raise InputRefused(f"account {account.code} has no {unit.code} wallet")
    row = locked_auto_top_up(session, found)
    if row is None:
        row = AutoTopUpRow(wallet_id=found, created_us=now_us, declines=0)
        session.add(row)
    row.below, row.amount, row.method_id = terms.below, terms.amount, method.id
    row.daily_cap, row.monthly_cap = terms.daily_cap, terms.monthly_cap
    row.state, row.declines = ON, 0
    wallet = locked_wallet(session, account.id, unit.code)
    set_thresholds(session, wallet, AUTO_TOP_UP, [terms.below], now_us)
    is_below = available(wallet) < edge(terms.below, unit)
    if row.payment_id is None:
        row.next_us = now_us if is_below else None
    session.flush()
    return row


def _method(session: Session, account: AccountRow, unit: Unit, terms: AutoTopUpTerms) -> SavedMethodRow:
    if terms.method_id is None:
        method = preferred_method(session, account.id)
    else:
        method = active_method(session, terms.method_id)
    if method.account_id != account.id:
        raise InputRefused(f"account {account.code} has no saved method {method.id}")
    gateway = session.get_one(PaymentGatewayRow, method.gateway_id)
    if not gateway.enabled or not takes(gateway, unit.code):
        raise InputRefused(f"gateway {gateway.name} takes no {unit.code} now: choose another saved method")
    return method


def _refuse_bad(terms: AutoTopUpTerms, unit: Unit) -> None:
    if terms.amount <= 0:
        raise InputRefused("an automatic top-up must be more than zero")
    minor_units(terms.amount, unit)
    if not 0 <= terms.below <= MAX_AMOUNT:
        raise InputRefused("the threshold is 0 or more; 0 means once nothing is left")
    for what, cap in (("daily", terms.daily_cap), ("monthly", terms.monthly_cap)):
        if cap is not None and cap < terms.amount:
            raise InputRefused(f"the {what} cap is less than one top-up: it would never be made")


def turn_off(session: Session, account: AccountRow, unit_code: str, now_us: int) -> AutoTopUpRow:
    """Fill the wallet no more. An attempt that is under way still ends as the gateway says."""
    row = _row_of(session, account, unit_code)
    row.state = OFF
    if row.payment_id is None:
        row.next_us = None
    wallet = locked_wallet(session, account.id, unit_code)
    set_thresholds(session, wallet, AUTO_TOP_UP, [], now_us)
    session.flush()
    return row


def resume(session: Session, account: AccountRow, unit_code: str, now_us: int) -> AutoTopUpRow:
    """Go on after it stopped, was turned off or waits after a decline: by hand, at once if funds are low."""
    row = _row_of(session, account, unit_code)
    active_method(session, row.method_id)
    row.state, row.declines = ON, 0
    wallet = locked_wallet(session, account.id, unit_code)
    set_thresholds(session, wallet, AUTO_TOP_UP, [row.below], now_us)
    if row.payment_id is None:
        row.next_us = now_us
    session.flush()
    return row


def _row_of(session: Session, account: AccountRow, unit_code: str) -> AutoTopUpRow:
    wallet_id = session.scalar(
        select(WalletRow.id).where(WalletRow.account_id == account.id, WalletRow.unit == unit_code)
    )
    row = None if wallet_id is None else locked_auto_top_up(session, wallet_id)
    if row is None:
        raise InputRefused(
            f"account {account.code} has no automatic top-up in {unit_code}: make one by `auto-topup set`"
        )
    return row


def stop(session: Session, row: AutoTopUpRow, why: str, *, key: str, now_us: int) -> None:
    """Give up until somebody does something about it, and tell the account."""
    row.state, row.next_us, row.payment_id = STOPPED, None, None
    tell_trouble(session, row, why, key=f"stopped:{key}", now_us=now_us)


def turn_off_after(
    session: Session, account_id: int, unit_code: str, why: str, *, key: str, now_us: int
) -> None:
    """Fill a wallet no more once money went back, or the hole would be filled from the same card at once.

    Called before the money goes: the row is locked before wallets, and before invoices.
    """
    wallet_id = session.scalar(
        select(WalletRow.id).where(WalletRow.account_id == account_id, WalletRow.unit == unit_code)
    )
    row = None if wallet_id is None else locked_auto_top_up(session, wallet_id)
    if row is None or row.state == OFF:
        return
    row.state = OFF
    if row.payment_id is None:
        row.next_us = None
    tell_trouble(session, row, why, key=f"off:{key}", now_us=now_us)
    session.flush()


def tell_trouble(session: Session, row: AutoTopUpRow, why: str, *, key: str, now_us: int) -> None:
    """Tell the account that its wallet is not filled now."""
    wallet = session.get_one(WalletRow, row.wallet_id)
    method = session.get_one(SavedMethodRow, row.method_id)
    facts: dict[str, Fact] = {"why": why, "amount": Money(row.amount, wallet.unit)}
    card = f"{method.brand} {method.last4}".strip()
    if card:
        facts["method"] = card
    tell(session, wallet.account_id, NoticeKind.AUTO_TOP_UP_STOPPED, key=key, facts=facts, now_us=now_us)


def resume_by_new_cards(session: Session, now_us: int) -> int:
    """Let those that stopped go on with a card that was saved since; how many."""
    stopped = session.scalars(
        select(AutoTopUpRow).where(AutoTopUpRow.state == STOPPED).order_by(AutoTopUpRow.wallet_id)
    ).all()
    resumed = 0
    for row in stopped:
        wallet = session.get_one(WalletRow, row.wallet_id)
        card = _newer_card(session, wallet, row)
        locked = None if card is None else locked_auto_top_up(session, row.wallet_id)
        if card is None or locked is None or locked.state != STOPPED:
            continue
        locked.method_id, locked.state, locked.declines, locked.next_us = card.id, ON, 0, now_us
        resumed += 1
    session.flush()
    return resumed


def _newer_card(session: Session, wallet: WalletRow, row: AutoTopUpRow) -> SavedMethodRow | None:
    """A card that was saved since the trouble began; one that was there before was not chosen for this."""
    failed = session.get_one(SavedMethodRow, row.method_id)
    return session.scalar(
        select(SavedMethodRow)
        .where(
            SavedMethodRow.account_id == wallet.account_id,
            SavedMethodRow.state == "active",
            SavedMethodRow.id > failed.id,
            SavedMethodRow.created_us >= _in_trouble_since_us(session, wallet, row),
        )
        .order_by(SavedMethodRow.id.desc())
        .limit(1)
    )


def _in_trouble_since_us(session: Session, wallet: WalletRow, row: AutoTopUpRow) -> int:
    """When the first of its declines in a row was asked for; without any, its last payment."""
    tries = select(GatewayPaymentRow.created_us).where(
        GatewayPaymentRow.account_id == wallet.account_id,
        GatewayPaymentRow.unit == wallet.unit,
        GatewayPaymentRow.automatic,
    )
    if row.declines:
        tries = tries.where(GatewayPaymentRow.state == "declined")
    found = session.scalars(tries.order_by(GatewayPaymentRow.id.desc()).limit(row.declines or 1)).all()
    return found[-1] if found else row.created_us
